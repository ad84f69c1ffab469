"""A host: the layers put together, without input, output or a clock of its own.

The whole contract with the world outside is here. Frames and the time come in, frames and events go out; the same
inputs give the same outputs, octet for octet, so one driver can serve a TAP device, another a virtual network of a
thousand hosts in virtual time, a third the replay of a capture.

    host.receive(port, frames, now)      frames have arrived on an interface
    host.advance(now)                    time has passed: timers fire
    host.deadline()                      when to call advance() next, at the latest
    host.dispatch(now)                   let the applications' handlers see what happened
    host.take_frames(port)               what is to be sent; replies are gathered until here

Nothing is sent before take_frames(): an answer that an application writes carries the acknowledgment of the request.
"""

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from stack import fastpath
from stack.addresses import UNSPECIFIED, Ipv4Address, show_ipv4
from stack.clock import Duration, Instant, Timer, TimerQueue
from stack.config import HostConfig, TcpConfig
from stack.counters import Counters
from stack.echo import EchoResponder
from stack.errors import ChecksumMismatch, MalformedPacket
from stack.events import EventQueue, Subject
from stack.fastpath.ring import FrameRing
from stack.internet.icmp import Icmp
from stack.internet.ipv4 import Ipv4
from stack.internet.routing import RoutingTable
from stack.link.interface import Interface
from stack.octets import Octets
from stack.path import TcpPath
from stack.transport.flow import FlowKey, Path, RandomSource
from stack.transport.tcp import expected
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.listener import Listener
from stack.transport.tcp.protocol import Tcp
from stack.transport.tcp.states import State
from stack.transport.udp import Datagram, Udp, UdpSocket
from stack.wire import icmp, tcp_options
from stack.wire import tcp as tcp_wire
from stack.wire.ipv4 import PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, Ipv4Header
from stack.wire.tcp import Segment
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions

_Owner = TypeVar("_Owner")


class Observer(Protocol):
    """Who wants to see every frame: a capture."""

    def observe(self, received: bool, port: int, frames: FrameRing, now: Instant) -> None:
        """`frames` were received on, or are about to be sent by, interface `port`; they are not to be changed."""


class Host:
    """One host. `secret` keys what must not be guessed, `random` gives what must not be foreseen."""

    def __init__(
        self,
        config: HostConfig,
        *,
        secret: bytes,
        random: RandomSource,
        observers: Sequence[Observer] = (),
        now: Instant = 0,
    ) -> None:
        self.config = config
        self.counters = Counters()
        self._now = now
        self._observers = tuple(observers)
        self._timers = TimerQueue()
        self._events = EventQueue()
        self.interfaces = [
            Interface(index, each, config.arp, self.counters, self._timers, random)
            for index, each in enumerate(config.interfaces)
        ]
        routing = RoutingTable(self.interfaces, config.routes)
        self._ipv4 = Ipv4(config.ipv4, self.counters, self._timers, random, routing, self.interfaces)
        self._icmp = Icmp(config.icmp, self.counters, self._ipv4)
        self._echo = EchoResponder(config.icmp.echo_reply, self._ipv4, self.interfaces, self.counters)
        self._udp = Udp(config.udp, self.counters, self._events, self._ipv4, random)
        self._tcp = Tcp(config.tcp, self.counters, self._timers, self._events, self, secret, random)
        self.on_echo_reply: Callable[[Ipv4Address, int, int, bytes, Instant], None] | None = None
        """Called with source, identifier, sequence number, data and the instant of an echo reply."""
        self._rings = [FrameRing.of_link(each.mtu, offload=False) for each in self.interfaces]
        self._connect_layers()
        for interface in self.interfaces:
            interface.start(now)

    # Frames and time

    def receive(self, port: int, frames: FrameRing | Sequence[bytes], now: Instant) -> None:
        """Process frames that arrived on interface `port`; whatever they are, this does not raise.

        With offload they come in a ring, which says what was left out of them.
        """
        self._now = now
        if isinstance(frames, FrameRing):
            self._receive_ring(port, frames, now)
            return
        ring = self._rings[port]
        ring.clear()
        for frame in frames:
            if not ring.append(frame):
                if len(frame) > ring.max_frame:
                    self.counters["EthInOversized"] += 1
                    continue
                self._receive_ring(port, ring, now)
                ring.clear()
                ring.append(frame)
        self._receive_ring(port, ring, now)

    def advance(self, now: Instant) -> None:
        """Fire the timers that are due."""
        self._now = now
        self._timers.expire(now)

    def deadline(self) -> Instant | None:
        """When the next timer fires, or None."""
        return self._timers.deadline()

    def take_frames(self, port: int = 0) -> FrameRing:
        """What interface `port` has to send: send it, clear() the ring, and ask again until it is empty."""
        self._tcp.flush(self._now)
        while self._ipv4.loopback:
            self._ipv4.drain_loopback(self._now)
            self._tcp.flush(self._now)
        ring = self.interfaces[port].tx
        if ring.count:
            self.counters["EthOutFrames"] += ring.count
            for observer in self._observers:
                observer.observe(False, port, ring, self._now)
        return ring

    @property
    def has_events(self) -> bool:
        """Whether take_events() gives any: after take_frames() too, if what was sent was for the host itself."""
        return bool(self._events)

    def take_events(self) -> list[tuple[Subject, int]]:
        """What has happened: each subject once, with the kinds of its events (stack.events)."""
        return self._events.take()

    def dispatch(self, now: Instant) -> None:
        """Hand what has happened to the subjects' handlers, until nothing more happens."""
        self._now = now
        while self._events:
            for subject, kinds in self._events.take():
                if subject.handler is not None:
                    subject.handler(kinds, now)

    def timer(self, action: Callable[[_Owner, Instant], None], owner: _Owner) -> Timer:
        """A timer for an application, in the host's time: `action` gets `owner`, and the instant."""
        return Timer(self._timers, action, owner)

    # TCP

    def listen(
        self,
        port: int,
        now: Instant,
        address: Ipv4Address | None = None,
        backlog: int | None = None,
        config: TcpConfig | None = None,
    ) -> Listener:
        """Take connections to `port`, of one address of ours or of all. Raises OSError."""
        self._now = now
        if address is not None:
            self._check_own(address)
        return self._tcp.listen(UNSPECIFIED if address is None else address, port, backlog, config)

    def accept(self, listener: Listener) -> Connection | None:
        """The oldest connection that waits to be accepted, or None."""
        return listener.accept()

    def close_listener(self, listener: Listener, now: Instant) -> None:
        """Stop listening; connections not yet accepted are reset."""
        self._now = now
        listener.close(now)

    def connect(
        self,
        remote: Ipv4Address,
        remote_port: int,
        now: Instant,
        local: Ipv4Address | None = None,
        local_port: int | None = None,
        config: TcpConfig | None = None,
    ) -> Connection:
        """Open a connection; ESTABLISHED or CLOSED is its first event. Raises OSError."""
        self._now = now
        if local is not None:
            self._check_own(local)
        return self._tcp.connect(remote, remote_port, now, local, local_port, config)

    def write(self, connection: Connection, data: Octets, now: Instant, urgent: bool = False) -> int:
        """Take octets to send; fewer than len(data) means: wait for WRITABLE. Raises OSError."""
        self._now = now
        return connection.write(data, now, urgent)

    def read(self, connection: Connection, limit: int, now: Instant) -> bytes:
        """Up to `limit` octets that have arrived; b"" when there are none now. Raises OSError."""
        self._now = now
        return connection.read(limit, now)

    def read_into(self, connection: Connection, buffer: memoryview, now: Instant) -> int:
        """As read(), into `buffer`, which is of octets and can be written to; returns how many. Raises OSError."""
        self._now = now
        return connection.read_into(buffer, now)

    def shutdown(self, connection: Connection, now: Instant) -> None:
        """Send a FIN behind what was written; reading goes on. Raises OSError."""
        self._now = now
        connection.shutdown(now)

    def cork(self, connection: Connection, on: bool, now: Instant) -> None:
        """Let what is written wait for whole segments, 200 ms at most, or send at once what has waited."""
        self._now = now
        connection.set_cork(on, now)

    def close(self, connection: Connection, now: Instant, linger: Duration | None = None) -> None:
        """Let go of a connection: in order, or with a reset when unread octets would be lost, or not all that was
        written is acknowledged within `linger`."""
        self._now = now
        connection.close(now, linger)

    def abort(self, connection: Connection, now: Instant) -> None:
        """Reset a connection."""
        self._now = now
        connection.abort(now)

    def connections(self) -> Iterable[Connection]:
        """Every TCP connection, in whatever state, but for those that are half open, or rest in TIME-WAIT."""
        return self._tcp.connections()

    def resting(self) -> Iterable[FlowKey]:
        """Every flow in TIME-WAIT that nobody holds any more."""
        return self._tcp.resting()

    def states(self) -> Counter[State]:
        """How many TCP connections there are in each state."""
        return self._tcp.states()

    @property
    def buffered(self) -> int:
        """Octets that all TCP connections hold together, of which config.tcp.memory_limit is the bound."""
        return self._tcp.memory.used

    def half_open(self) -> Iterable[FlowKey]:
        """Every flow in SYN-RECEIVED of which there is only the peer's SYN, and our answer."""
        return self._tcp.half_open()

    # UDP and ICMP

    def bind_udp(self, port: int | None, now: Instant, address: Ipv4Address | None = None) -> UdpSocket:
        """A socket for datagrams to `port`, or to an ephemeral one. Raises OSError."""
        self._now = now
        if address is not None:
            self._check_own(address)
        return self._udp.bind(port, UNSPECIFIED if address is None else address)

    def send_datagram(
        self,
        socket: UdpSocket,
        data: Octets,
        address: Ipv4Address,
        port: int,
        now: Instant,
        source: Ipv4Address | None = None,
    ) -> None:
        """Send one datagram, from `source` where a socket of all addresses answers what came to one. Raises OSError."""
        self._now = now
        if source is not None:
            self._check_own(source)
        self._udp.send(socket, data, address, port, now, source)

    def receive_datagram(self, socket: UdpSocket) -> Datagram | None:
        """The oldest datagram that has arrived; None when there is none. Raises OSError."""
        return self._udp.receive_datagram(socket)

    def close_udp(self, socket: UdpSocket, now: Instant) -> None:
        """Give the port back."""
        self._now = now
        self._udp.close(socket)

    def ping(self, address: Ipv4Address, identifier: int, sequence: int, data: Octets, now: Instant) -> None:
        """Send an echo request; on_echo_reply tells of the answer. Raises OSError."""
        self._now = now
        self._icmp.send_echo(address, identifier, sequence, data, now)

    # What TCP asks (stack.transport.flow.PathFinder)

    def path(self, key: FlowKey) -> Path:
        """The way to the remote end of `key`."""
        return TcpPath(key, self._ipv4, self.interfaces, self.counters)

    def source_for(self, remote: Ipv4Address) -> Ipv4Address:
        """The address of ours that faces `remote`."""
        return self._ipv4.source_for(remote)

    def is_broadcast(self, address: Ipv4Address) -> bool:
        """Whether `address` is a broadcast address of one of our networks, or of all."""
        return self._ipv4.is_broadcast(address)

    # How the layers are connected

    def _connect_layers(self) -> None:
        self._ipv4.icmp = self._icmp
        self._ipv4.protocols[PROTOCOL_ICMP] = self._icmp.receive
        self._ipv4.protocols[PROTOCOL_UDP] = self._udp.receive
        self._ipv4.protocols[PROTOCOL_TCP] = self._on_tcp
        self._icmp.errors[PROTOCOL_TCP] = self._tcp.on_icmp_error
        self._icmp.errors[PROTOCOL_UDP] = self._udp.on_icmp_error
        self._icmp.on_echo_reply = self._on_echo_reply
        self._udp.on_no_port = self._on_no_port
        for interface in self.interfaces:
            interface.on_ipv4 = self._ipv4.receive
            interface.on_unreachable = self._on_unreachable

    def _receive_ring(self, port: int, ring: FrameRing, now: Instant) -> None:
        for observer in self._observers:
            observer.observe(True, port, ring, now)
        interface = self.interfaces[port]
        plain = 0
        for record in fastpath.parse_tcp(ring, interface.mac):
            if record[0] == fastpath.RECORD_TCP and self._on_plain_segment(ring, record, now):
                plain += record[2]
            elif record[0] != fastpath.RECORD_ECHO or not self._echo.answer(ring, record, now):
                interface.receive_frame(ring[record[1]], now)
        counters = self.counters
        counters["EthInFrames"] += ring.count
        counters["IpInReceives"] += plain
        counters["IpInDelivers"] += plain
        counters["TcpInSegs"] += plain
        while self._ipv4.loopback:
            self._ipv4.drain_loopback(now)

    def _on_plain_segment(self, ring: FrameRing, record: fastpath.Record, now: Instant) -> bool:
        """A segment that the fastpath has verified goes straight to TCP; False: it is not for us after all."""
        (
            _, _, segments, src, dst, src_port, dst_port, seq, ack, flags, window, tos, has_ts, ts_val, ts_ecr,
            options_start, options_length, start, length,
        ) = record  # fmt: skip
        payload: Octets = (ring.view[start : start + length] if start else ring.texts[record[1]]) if length else b""
        connection = self._tcp.find((dst, dst_port, src, src_port)) if has_ts else None
        if connection is not None and expected.take(
            connection, flags, seq, ack, window, tos, ts_val, payload, segments, now
        ):
            return True
        if not self._ipv4.is_local(dst) or self._ipv4.is_broadcast(src) or self._ipv4.is_local(src):
            return False
        options = NO_OPTIONS
        if has_ts:
            options = TcpOptions(None, None, False, (), ts_val, ts_ecr)
        elif options_length:
            try:
                options = tcp_options.parse(ring.view[options_start : options_start + options_length])
            except MalformedPacket:
                self.counters["TcpInErrs"] += 1
                return True
        segment = Segment(src_port, dst_port, seq, ack, flags, window, payload, options, 0, segments, tos)
        self._tcp.receive(src, dst, segment, now)
        return True

    def _on_no_port(self, header: Ipv4Header, payload: memoryview, was_group: bool, now: Instant) -> None:
        """RFC 1122 4.1.3.1: port unreachable."""
        self._icmp.send_error(icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, header, payload, was_group, now)

    def _on_tcp(self, header: Ipv4Header, payload: memoryview, was_broadcast: bool, now: Instant) -> None:
        """A segment by way of the layers: one that was fragmented, has options of IPv4, or is not in order."""
        self.counters["TcpInSegs"] += 1
        if was_broadcast:  # RFC 9293 MUST-57
            self.counters["TcpInErrs"] += 1
            return
        try:
            segment = tcp_wire.parse(payload, header.src, header.dst, fastpath.checksum)
        except ChecksumMismatch:
            self.counters["TcpInCsumErrors"] += 1
        except MalformedPacket:
            self.counters["TcpInErrs"] += 1
        else:
            segment.tos = header.tos
            self._tcp.receive(header.src, header.dst, segment, now)

    def _on_echo_reply(self, source: Ipv4Address, identifier: int, sequence: int, data: bytes, now: Instant) -> None:
        if self.on_echo_reply is not None:
            self.on_echo_reply(source, identifier, sequence, data, now)

    def _on_unreachable(self, next_hop: Ipv4Address, packets: list[bytes], now: Instant) -> None:
        """A next hop does not answer ARP: tell those whose packets waited for it and cannot go another way."""
        for packet in self._ipv4.on_dead_next_hop(next_hop, packets, now):
            self._icmp.on_next_hop_unreachable(packet, now)

    def _check_own(self, address: Ipv4Address) -> None:
        if not self._ipv4.is_local(address):
            raise OSError(errno.EADDRNOTAVAIL, f"{show_ipv4(address)} is not an address of this host")
