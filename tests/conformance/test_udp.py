"""UDP as RFC 768, RFC 1122 4.1 and RFC 8085 ask for it."""

from itertools import pairwise

import pytest

from stack.addresses import BROADCAST_MAC, ipv4
from stack.wire import udp
from stack.wire.ipv4 import PROTOCOL_UDP
from stack.wire.udp import UdpHeader
from tests.conformance.lab import BROADCAST, OTHER, PEER, US, Lab

SECOND_ADDRESS = ipv4("203.0.113.1")
THERE = ipv4("203.0.113.9")


@pytest.fixture
def lab():
    """A host with two addresses."""
    return Lab("192.0.2.1/24", "203.0.113.1/24")


@pytest.mark.req("1122-4.1.3.4-1", "1122-4.1.3.4-3", "8085-3")
@pytest.mark.parametrize("size", [0, 1, 2, 513, 1472])
def test_every_datagram_has_a_checksum_and_it_is_right(lab, size):
    socket = lab.host.bind_udp(5000, lab.now)
    data = bytes(range(256)) * 6
    lab.host.send_datagram(socket, data[:size], PEER, 53, lab.now)
    [sent] = lab.take()
    assert sent.payload[6:8] != b"\0\0"
    assert sent.udp == (UdpHeader(5000, 53), data[:size])  # which raises on a wrong one
    # And so have those that go in fragments.
    lab.host.send_datagram(socket, bytes(4000), PEER, 53, lab.now)
    whole = b"".join(each.payload for each in lab.take())
    assert whole[6:8] != b"\0\0" and len(udp.parse(whole, US, PEER)[1]) == 4000


@pytest.mark.req("1122-4.1.3.4-2", "1122-4.1.3.4-1")
@pytest.mark.parametrize("port", [5000, 9])
@pytest.mark.parametrize("at", [0, 2, 7, 8, 12])
def test_a_datagram_with_a_wrong_checksum_is_dropped_in_silence(lab, port, at):
    socket = lab.host.bind_udp(5000, lab.now)
    octets = bytearray(udp.build(UdpHeader(4000, port), b"hello", PEER, US))
    octets[at] ^= 0x10
    assert lab.datagram(bytes(octets)) == []
    assert lab.host.receive_datagram(socket) is None and lab.counters["UdpInCsumErrors"] == 1


@pytest.mark.req("1122-4.1.3.4-4", "768-4")
def test_a_datagram_without_a_checksum_is_taken(lab):
    socket = lab.host.bind_udp(5000, lab.now)
    octets = bytearray(udp.build(UdpHeader(4000, 5000), b"hello", PEER, US))
    octets[6:8] = b"\0\0"
    lab.datagram(bytes(octets))
    assert lab.host.receive_datagram(socket).data == b"hello"


@pytest.mark.req("1122-4.1.3.5-1")
@pytest.mark.parametrize(("destination", "port"), [(US, 0), (SECOND_ADDRESS, 1), (BROADCAST, 0)])
def test_the_application_learns_where_a_datagram_was_sent_to(lab, destination, port):
    socket = lab.host.bind_udp(5000, lab.now)
    link = BROADCAST_MAC if destination == BROADCAST else None
    lab.udp(5000, b"text", src_port=4001, src=OTHER, dst=destination, port=port, link=link)
    got = lab.host.receive_datagram(socket)
    assert (got.data, got.address, got.port, got.destination) == (b"text", OTHER, 4001, destination)


@pytest.mark.req("1122-4.1.3.5-2", "1122-3.3.4.2-1")
def test_a_socket_is_of_one_address_or_of_all(lab):
    everywhere = lab.host.bind_udp(5000, lab.now)
    here = lab.host.bind_udp(5000, lab.now, SECOND_ADDRESS)
    lab.udp(5000, b"to the first")
    lab.udp(5000, b"to the second", dst=SECOND_ADDRESS, port=1)
    assert lab.host.receive_datagram(everywhere).data == b"to the first"
    assert lab.host.receive_datagram(here).data == b"to the second"
    # What is sent says the address that was chosen, whatever way it goes; else that of the way it goes.
    for socket, to, source in (
        (here, PEER, SECOND_ADDRESS), (here, THERE, SECOND_ADDRESS), (everywhere, PEER, US),
        (everywhere, THERE, SECOND_ADDRESS),
    ):  # fmt: skip
        lab.host.send_datagram(socket, b"", to, 53, lab.now)
        assert [each.header.src for each in lab.take()] == [source]
    connection = lab.host.connect(PEER, 80, lab.now, local=SECOND_ADDRESS)
    assert [each.header.src for each in lab.take()] == [SECOND_ADDRESS]
    assert connection.key.local_addr == SECOND_ADDRESS


@pytest.mark.req("1122-3.3.4.2-2")
def test_an_answer_can_come_from_the_address_that_was_asked(lab):
    socket = lab.host.bind_udp(5000, lab.now)
    lab.udp(5000, b"who are you?", dst=SECOND_ADDRESS, port=1)
    asked = lab.host.receive_datagram(socket)
    lab.host.send_datagram(socket, b"I am", asked.address, asked.port, lab.now, source=asked.destination)
    [answer] = lab.take()
    assert (answer.header.src, answer.header.dst) == (SECOND_ADDRESS, PEER)
    # ICMP and TCP do so by themselves.
    [reply] = lab.echo(dst=SECOND_ADDRESS, port=1)
    assert reply.header.src == SECOND_ADDRESS


@pytest.mark.req("1122-4.1.3.6-1")
@pytest.mark.parametrize("source", ["224.0.0.1", "255.255.255.255", "192.0.2.255", "127.0.0.1", "0.0.0.0"])
def test_a_datagram_of_no_host_is_not_delivered(lab, source):
    socket = lab.host.bind_udp(5000, lab.now)
    lab.udp(5000, b"text", src=ipv4(source))
    assert lab.host.receive_datagram(socket) is None


@pytest.mark.req("8085-4")
def test_ports_are_drawn_at_random(lab):
    ports = [lab.host.bind_udp(None, lab.now).port for _ in range(400)]
    assert len(set(ports)) == 400 and min(ports) >= 1024
    steps = {later - earlier for earlier, later in pairwise(ports)}
    assert len(steps) > 350  # a counter would have one
    assert max(ports) - min(ports) > 10_000


@pytest.mark.req("768-1")
@pytest.mark.parametrize("length", [0, 7, 14, 0xFFFF])
def test_a_length_that_cannot_be_is_dropped(lab, length):
    socket = lab.host.bind_udp(5000, lab.now)
    octets = bytearray(udp.build(UdpHeader(4000, 5000), b"hello", PEER, US))
    octets[4:6] = length.to_bytes(2, "big")
    octets[6:8] = b"\0\0"
    assert lab.datagram(bytes(octets), PROTOCOL_UDP) == []
    assert lab.host.receive_datagram(socket) is None and lab.counters["UdpInErrors"] == 1
