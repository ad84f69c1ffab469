"""Two hosts with one connection, on a link that the test plays: it holds every frame until it is told what to do."""

import random

from stack import fastpath
from stack.addresses import Ipv4Address, ipv4, mac
from stack.clock import MILLISECOND
from stack.config import HostConfig, InterfaceConfig, TcpConfig
from stack.host import Host
from stack.transport.tcp import protocol
from stack.transport.tcp.sequence import MASK, seq_diff
from stack.wire import ethernet, tcp
from stack.wire import ipv4 as ipv4_wire

ADDRESSES = (ipv4("10.0.0.1"), ipv4("10.0.0.2"))
MACS = (mac("02:00:00:00:00:01"), mac("02:00:00:00:00:02"))
ETHERNET = ethernet.HEADER_LENGTH


class Side:
    """A host, its application, and what both of them must not break."""

    def __init__(self, number: int, config: TcpConfig) -> None:
        interface = InterfaceConfig(MACS[number], ADDRESSES[number], 24)
        self.host = Host(
            HostConfig((interface,), tcp=config), secret=bytes([number + 1]) * 16, random=random.Random(number)
        )
        self.connection = None
        self.written = bytearray()
        self.read = bytearray()
        self.gone = False  # the application has closed or aborted
        self.has_shut_down = False
        self.aborted = False
        self.edge = None  # the highest right edge that it has offered
        self.highest_ack = None
        self.sent_up_to = None  # one past the highest sequence number of text that it has sent


class BadLink:
    """The two sides, and the frames on their way: `air[n]` are those towards side n."""

    def __init__(self, config: TcpConfig, iss=(-700, -300)) -> None:
        self.now = 0
        self.sides = (Side(0, config), Side(1, config))
        self.air = ([], [])
        self._fix_initial_sequence_numbers(iss)
        self.listener = self.sides[1].host.listen(80, self.now)
        self.sides[0].connection = self.sides[0].host.connect(ADDRESSES[1], 80, self.now)
        self.collect()

    def _fix_initial_sequence_numbers(self, iss) -> None:
        numbers = dict(zip(ADDRESSES, iss, strict=True))
        self._original = protocol.initial_sequence_number
        protocol.initial_sequence_number = lambda secret, key, now: numbers[key.local_addr] & MASK

    def restore(self) -> None:
        protocol.initial_sequence_number = self._original

    # What the link does

    def collect(self) -> None:
        """Take what both hosts send, and let their listeners accept."""
        for number, side in enumerate(self.sides):
            for subject, _ in side.host.take_events():
                if subject is self.listener:
                    accepted = side.host.accept(self.listener)
                    if side.connection is None:
                        side.connection = accepted
            while frames := side.host.take_frames():
                for frame in frames:
                    self._check_sent(number, bytes(frame))
                    self.air[1 - number].append(bytes(frame))
                frames.clear()

    def deliver(self, number: int, index: int, *, keep: bool = False) -> None:
        """One frame arrives; `keep`: a copy of it stays on its way."""
        frames = self.air[number]
        if frames:
            index %= len(frames)
            frame = frames[index] if keep else frames.pop(index)
            self.inject(number, frame)

    def inject(self, number: int, frame: bytes) -> None:
        """A frame arrives, whoever sent it."""
        self.sides[number].host.receive(0, [frame], self.now)
        self.collect()

    def elapse(self, duration: int) -> None:
        """Time passes, and timers fire, each at its time."""
        end = self.now + duration
        while True:
            due = [d for side in self.sides if (d := side.host.deadline()) is not None and d <= end]
            if not due:
                break
            self.now = max(self.now, min(due))
            for side in self.sides:
                side.host.advance(self.now)
            self.collect()
        self.now = end

    def run_clean(self, duration: int) -> None:
        """From now on the link is good: everything arrives in order, after a millisecond, for `duration`."""
        end = self.now + duration
        for side in self.sides:
            self.read_all(side)  # it may all have arrived before
        while self.now < end:
            if not any(self.air):
                due = [d for side in self.sides if (d := side.host.deadline()) is not None]
                if not due or min(due) > end:
                    break
                self.elapse(max(min(due) - self.now, 0))
                continue
            self.elapse(MILLISECOND)
            for number in (0, 1):
                frames, self.air[number][:] = list(self.air[number]), []
                for frame in frames:
                    self.inject(number, frame)
            for side in self.sides:
                self.read_all(side)

    # What the applications do

    def write(self, number: int, data: bytes) -> None:
        side = self.sides[number]
        if side.connection is not None and not side.gone and not side.has_shut_down and side.connection.error is None:
            try:
                taken = side.host.write(side.connection, data, self.now)
            except OSError:
                return
            side.written += data[:taken]
            self.collect()

    def read_some(self, number: int, limit: int) -> None:
        side = self.sides[number]
        if side.connection is not None and not side.gone:
            try:
                side.read += side.host.read(side.connection, limit, self.now)
            except OSError:
                return
            self.collect()

    def read_all(self, side: Side) -> None:
        if side.connection is not None and not side.gone:
            while side.connection.readable:
                side.read += side.host.read(side.connection, 1 << 16, self.now)
            self.collect()

    def shutdown(self, number: int) -> None:
        side = self.sides[number]
        if side.connection is not None and not side.gone:
            try:
                side.host.shutdown(side.connection, self.now)
            except OSError:
                return
            side.has_shut_down = True
            self.collect()

    def close(self, number: int, *, abort: bool = False) -> None:
        side = self.sides[number]
        if side.connection is not None and not side.gone:
            unread = bool(side.connection.readable or side.connection.receiver.has_gap)
            side.aborted = side.aborted or abort or unread
            if abort:
                side.host.abort(side.connection, self.now)
            side.host.close(side.connection, self.now)
            side.gone = True
            self.collect()

    # What must always hold

    def _check_sent(self, number: int, frame: bytes) -> None:
        header, packet = ethernet.parse(frame)
        if header.ethertype != ethernet.ETHERTYPE_IPV4:
            return
        ip, payload = ipv4_wire.parse(packet)
        if ip.protocol != ipv4_wire.PROTOCOL_TCP:
            return
        segment = tcp.parse(payload, ip.src, ip.dst)  # verifies
        side, peer = self.sides[number], self.sides[1 - number]
        if segment.payload:
            end = (segment.seq + len(segment.payload)) & MASK
            if side.sent_up_to is None or seq_diff(end, side.sent_up_to) > 0:
                side.sent_up_to = end
            if peer.edge is not None:
                beyond = seq_diff(end, peer.edge)
                assert beyond <= 1, f"side {number} sent {beyond} octets beyond the offered window"
        if not segment.flags & tcp.ACK or segment.flags & tcp.RST:
            return
        if segment.flags & tcp.SYN:
            if side.edge is None:
                side.edge = (segment.ack + segment.window) & MASK
            return
        connection = side.connection
        if connection is None:
            return
        if peer.sent_up_to is not None:
            assert seq_diff(segment.ack, peer.sent_up_to) <= 1, f"side {number} acknowledged what was never sent"
        if side.highest_ack is not None:
            assert seq_diff(segment.ack, side.highest_ack) >= 0, f"side {number}: RCV.NXT went back"
        side.highest_ack = segment.ack
        edge = (segment.ack + (segment.window << connection.receiver.shift)) & MASK
        if side.edge is not None:
            assert seq_diff(edge, side.edge) >= 0, f"side {number}: the window's right edge went back"
        side.edge = edge

    def check(self) -> None:
        """What holds at every moment."""
        for side, peer in (self.sides, self.sides[::-1]):
            assert peer.written.startswith(side.read), "what was read is not what was written"
            assert all(count >= 0 for count in side.host.counters.values())

    def check_end(self) -> None:
        """Both applications let go, and after some minutes of a good link nothing is left of the connection."""
        self.run_clean(300_000 * MILLISECOND)
        orderly = not any(side.aborted or (side.connection and side.connection.error) for side in self.sides)
        one, other = self.sides
        if orderly and one.connection is not None and other.connection is not None:
            if not other.gone:
                assert one.written == other.read, "not everything arrived"
            if not one.gone:
                assert other.written == one.read, "not everything arrived"
        for number in (0, 1):
            self.close(number)
        self.run_clean(1_200_000 * MILLISECOND)
        self.check()
        for side in self.sides:
            assert not list(side.host.connections()), f"left over: {list(side.host.connections())}"
            assert not side.host.take_events()


def forged(number: int, link: BadLink, flags: int, seq_offset: int, ack_offset: int, text: bytes) -> bytes | None:
    """A segment towards side `number` that somebody off the path might send: near the mark, and not on it."""
    connection = link.sides[number].connection
    if connection is None:
        return None
    key = connection.key
    seq = (connection.receiver.nxt + seq_offset) & MASK
    ack = (connection.sender.una + ack_offset) & MASK
    segment = tcp.Segment(key.remote_port, key.local_port, seq, ack, flags, 100, text)
    octets = tcp.build(segment, key.remote_addr, key.local_addr, fastpath.checksum)
    header = ipv4_wire.Ipv4Header(Ipv4Address(key.remote_addr), Ipv4Address(key.local_addr), ipv4_wire.PROTOCOL_TCP)
    frame = ethernet.EthernetHeader(MACS[number], MACS[1 - number], ethernet.ETHERTYPE_IPV4)
    return ethernet.build(frame, ipv4_wire.build(header, octets))
