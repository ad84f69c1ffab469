"""Hosts whose link cuts and sums for them: the same stream, and on the wire nothing but whole segments."""

import random

import pytest

from stack.addresses import ipv4, mac
from stack.clock import MILLISECOND, SECOND
from stack.config import HostConfig, InterfaceConfig
from stack.fastpath import reference
from stack.host import Host
from stack.virtual.capture import FlightRecorder
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network
from stack.wire import ethernet, tcp
from stack.wire import ipv4 as ipv4_wire

OCTETS = bytes(range(256)) * 4000


def make_host(last, offload, mtu=1500, observers=()):
    interface = InterfaceConfig(mac(f"02:00:00:00:00:0{last}"), ipv4(f"10.0.0.{last}"), 24, mtu, offload=offload)
    return Host(HostConfig((interface,)), secret=bytes(32), random=random.Random(last), observers=observers)


class Transfer:
    """`client` writes OCTETS to `server`, which sends them back; both then close."""

    def __init__(self, client, server, now):
        self.client, self.server = client, server
        self.received, self.answer, self.echo, self.left = bytearray(), bytearray(), bytearray(), OCTETS
        self.listener = server.listen(7, now)
        self.listener.handler = self._on_acceptable
        self.connection = client.connect(ipv4("10.0.0.2"), 7, now)
        self.connection.handler = self._on_client

    def _on_acceptable(self, kinds, now):
        accepted = self.server.accept(self.listener)

        def on_server(kinds, now):
            while data := self.server.read(accepted, 1 << 20, now):
                self.received += data
            if accepted.at_end_of_stream and len(self.received) == len(OCTETS):
                rest = memoryview(self.received)[len(self.answer) :]
                self.answer += rest[: self.server.write(accepted, rest, now)]
                if len(self.answer) == len(OCTETS):
                    self.server.close(accepted, now)

        accepted.handler = on_server

    def _on_client(self, kinds, now):
        if self.left:
            self.left = self.left[self.client.write(self.connection, self.left, now) :]
            if not self.left:
                self.client.shutdown(self.connection, now)
        while data := self.client.read(self.connection, 1 << 20, now):
            self.echo += data

    @property
    def is_done(self):
        return len(self.echo) == len(OCTETS)


@pytest.mark.parametrize("mtu", [576, 1500, 9000])
@pytest.mark.parametrize("theirs", [False, True])
def test_a_link_that_loses_loses_segments_and_not_super_frames(mtu, theirs):
    network = Network(seed=mtu)
    client, server = network.add(make_host(1, True, mtu)), network.add(make_host(2, theirs, mtu))
    link = network.connect(client, server, LinkProfile(delay=10 * MILLISECOND, loss=0.03, reordering=0.01))
    transfer = Transfer(client, server, network.now)
    assert network.run_until(lambda: transfer.is_done, 600 * SECOND)
    assert transfer.received == transfer.echo == OCTETS
    assert link.forward.counters.octets / link.forward.counters.frames <= mtu + 14
    assert client.counters["TcpRetransSegs"] > 0


def test_corruption_is_noticed():
    network = Network(seed=5)
    client, server = network.add(make_host(1, True)), network.add(make_host(2, True))
    network.connect(client, server, LinkProfile(delay=MILLISECOND, corruption=0.02))
    transfer = Transfer(client, server, network.now)
    assert network.run_until(lambda: transfer.is_done, 600 * SECOND)
    assert transfer.received == transfer.echo == OCTETS
    assert server.counters["TcpInCsumErrors"] + client.counters["TcpInCsumErrors"] > 0


@pytest.mark.parametrize("theirs", [False, True])
@pytest.mark.parametrize("loss", [0.0, 0.02, 0.1])
def test_super_frames_from_host_to_host(loss, theirs):
    """A link that hands on super-frames as they are, and loses whole ones."""
    chance = random.Random(1)
    recorder = FlightRecorder(1 << 24)
    client, server = make_host(1, True, observers=[recorder]), make_host(2, theirs)
    transfer = Transfer(client, server, 0)
    now, longest = 0, 0
    while not transfer.is_done:
        now += MILLISECOND
        assert now < 600 * SECOND
        for sender, receiver in ((client, server), (server, client)):
            sender.advance(now)
            while frames := sender.take_frames():
                longest = max(longest, *map(len, frames))
                if max(map(len, frames)) < 100 or chance.random() >= loss:
                    receiver.receive(0, frames, now)
                frames.clear()
            receiver.dispatch(now)
    assert transfer.received == transfer.echo == OCTETS
    assert longest > 1514
    segments = sum(count_segment(frame.octets) for frame in recorder.frames() if not frame.received)
    assert segments > 50, "those of bulk are not remembered"


def count_segment(frame):
    """1 for a segment, which has to be whole and not too long, and 0 for any other frame."""
    header, packet = ethernet.parse(frame)
    if header.ethertype != ethernet.ETHERTYPE_IPV4:
        return 0
    datagram, text = ipv4_wire.parse(packet)
    tcp.parse(text, datagram.src, datagram.dst, reference.checksum)
    assert len(packet) <= 1500
    return 1
