"""TCP of one host: who gets a segment, who may open a connection, and who has something to send."""

import errno
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from stack.addresses import UNSPECIFIED, Ipv4Address, is_multicast
from stack.clock import Instant, Timer, TimerQueue
from stack.config import TcpConfig
from stack.counters import Counters
from stack.events import EventQueue
from stack.transport.flow import FlowKey, IcmpReport, Path, PathFinder, RandomSource
from stack.transport.ports import ephemeral_port
from stack.transport.tcp import arrives, handshake, icmp_errors, output
from stack.transport.tcp.congestion import AckSample
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.half_open import HalfOpen
from stack.transport.tcp.isn import initial_sequence_number
from stack.transport.tcp.listener import Listener
from stack.transport.tcp.memory import Memory
from stack.transport.tcp.sent import Delivered
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.transport.tcp.time_wait import RestingPlace
from stack.wire import tcp_options
from stack.wire.tcp import ACK, RST, Segment
from stack.wire.tcp_options import TcpOptions

_NO_WINDOW: Final = 0
_Owner = TypeVar("_Owner")


class Tcp:
    """The connections and listeners of a host. `secret` keys the hash of initial sequence numbers (RFC 6528)."""

    def __init__(
        self,
        config: TcpConfig,
        counters: Counters,
        timers: TimerQueue,
        events: EventQueue,
        paths: PathFinder,
        secret: bytes,
        random: RandomSource,
    ) -> None:
        self.config = config
        self.counters = counters
        self.events = events
        self.secret = secret
        self.memory = Memory(config.memory_limit, counters)
        self.sample = AckSample()  # of the acknowledgment that is being processed, whosever it is,
        self.delivered = Delivered()  # and what it delivers
        self._timers = timers
        self._paths = paths
        self._random = random
        self._connections: dict[tuple[int, int, int, int], Connection] = {}
        self._listeners: dict[tuple[int, int], Listener] = {}
        self._resting = RestingPlace()
        self._orphans: dict[Connection, None] = {}
        self._dirty: list[Connection] = []

    # What the user asks

    def listen(self, address: Ipv4Address, port: int, backlog: int | None, config: TcpConfig | None) -> Listener:
        """The passive OPEN. Raises OSError(EADDRINUSE)."""
        config = config or self.config
        if not 0 < port < 65536:
            raise OSError(errno.EINVAL, f"a TCP port is 1 to 65535, not {port}")
        if (address, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, f"TCP port {port} is being listened on already")
        listener = Listener(self, address, port, max(backlog or config.backlog, 1), config)
        self._listeners[address, port] = listener
        return listener

    def connect(
        self,
        remote: Ipv4Address,
        remote_port: int,
        now: Instant,
        local: Ipv4Address | None = None,
        local_port: int | None = None,
        config: TcpConfig | None = None,
    ) -> Connection:
        """The active OPEN. Raises OSError: EADDRINUSE, EADDRNOTAVAIL, ENETUNREACH, EINVAL."""
        if not 0 < remote_port < 65536 or remote == UNSPECIFIED:
            raise OSError(errno.EINVAL, "cannot connect to an unspecified address or port")
        if is_multicast(remote) or self._paths.is_broadcast(remote):
            raise OSError(errno.ENETUNREACH, "TCP connects to one host, not to a group (RFC 9293 MUST-59)")
        address = local if local is not None else self._paths.source_for(remote)
        if local_port is None:
            local_port = ephemeral_port(
                self.config.ephemeral_ports,
                self._random,
                lambda port: not self._is_taken((address, port, remote, remote_port)),
            )
        key = FlowKey(address, local_port, remote, remote_port)
        if self._is_taken(key) or self._is_half_open(key):
            raise OSError(errno.EADDRINUSE, "connection already exists")
        if self.is_full:
            raise OSError(errno.ENOBUFS, f"there are {self.config.connection_limit} connections already")
        iss = initial_sequence_number(self.secret, key, now)
        connection = self._new_connection(key, config or self.config, iss, now)
        handshake.open_actively(connection, now)
        return connection

    def connections(self) -> Iterable[Connection]:
        """Every connection, in whatever state, but for those that are half open, or rest in TIME-WAIT."""
        return self._connections.values()

    def resting(self) -> Iterable[FlowKey]:
        """Every flow in TIME-WAIT that nobody holds any more."""
        return self._resting

    def states(self) -> Counter[State]:
        """How many connections there are in each state."""
        states = Counter(connection.state for connection in self._connections.values())
        states[State.SYN_RECEIVED] += sum(len(listener.half_open) for listener in self._listeners.values())
        states[State.TIME_WAIT] += len(self._resting)
        return +states

    def half_open(self) -> Iterable[FlowKey]:
        """Every flow in SYN-RECEIVED of which there is only the peer's SYN, and our answer."""
        return (key for listener in self._listeners.values() for key in listener.half_open)

    # What arrives

    def find(self, key: tuple[int, int, int, int]) -> Connection | None:
        """The connection of a FlowKey, or of the bare tuple."""
        return self._connections.get(key)

    def receive(self, src: Ipv4Address, dst: Ipv4Address, seg: Segment, now: Instant) -> None:
        """A segment with a right checksum, for an address of ours (RFC 9293 3.10.7)."""
        connection = self._connections.get((dst, seg.dst_port, src, seg.src_port))
        if connection is not None:
            arrives.on_segment(connection, seg, now)
            return
        key = FlowKey(dst, seg.dst_port, src, seg.src_port)
        if key in self._resting:
            self._wake(key, seg, now)
            return
        listener = self.listener_for(dst, seg.dst_port)
        if listener is not None:
            listener.on_segment(key, seg, now)
        else:  # CLOSED (3.10.7.1)
            self.counters["TcpNoConnection"] += 1
            self.reset_stray(key, seg, now)

    def process(self, connection: Connection, seg: Segment, now: Instant) -> None:
        """Process what is left of a segment whose SYN has been dealt with."""
        arrives.on_segment(connection, seg, now)

    def resume(self, half_open: HalfOpen, config: TcpConfig, now: Instant) -> Connection | None:
        """A connection in SYN-RECEIVED, whose SYN has been answered; None, and counted: there cannot be one."""
        if self.is_full:
            self.counters["TcpConnectionOverflows"] += 1
            return None
        try:
            connection = self._new_connection(half_open.key, config, half_open.iss, now)
        except OSError:
            self.counters["IpOutNoRoutes"] += 1
            return None
        handshake.resume(connection, half_open, now)
        return connection

    def on_icmp_error(self, report: IcmpReport, now: Instant) -> None:
        """An ICMP error quotes a segment of ours (RFC 5927)."""
        ports = int.from_bytes(report.quoted[:4], "big")
        connection = self._connections.get((report.src, ports >> 16, report.dst, ports & 0xFFFF))
        if connection is None:
            self.counters["IcmpInQuoteUnmatched"] += 1
        else:
            icmp_errors.on_icmp_error(connection, report, now)

    # What connections and listeners ask

    @property
    def is_full(self) -> bool:
        """Whether there can be no connection more; those that rest in TIME-WAIT have a bound of their own."""
        return len(self._connections) >= self.config.connection_limit

    def path(self, key: FlowKey) -> Path:
        """The way to the remote end of `key`. Raises OSError(ENETUNREACH)."""
        return self._paths.path(key)

    def timer(self, action: Callable[[_Owner, Instant], None], owner: _Owner) -> Timer:
        """A new timer of this host; `action` gets `owner`, and the instant."""
        return Timer(self._timers, action, owner)

    def mark_dirty(self, connection: Connection) -> None:
        """`connection` may have something to send; it does when the host's frames are taken."""
        if not connection.is_dirty:
            connection.is_dirty = True
            self._dirty.append(connection)

    def flush(self, now: Instant) -> None:
        """Let every connection that has something to send do so, as far as there is room for frames."""
        dirty, self._dirty = self._dirty, []
        for index, connection in enumerate(dirty):
            connection.is_dirty = False
            if not output.flush(connection, now):
                connection.is_dirty = True
                self._dirty[:0] = dirty[index:]
                return
            if connection.state is State.TIME_WAIT and connection.is_released:
                self._rest(connection)

    def listener_for(self, address: Ipv4Address, port: int) -> Listener | None:
        """Who listens on `port` of `address`: the listener for just that address before one for all."""
        listener = self._listeners.get((address, port)) or self._listeners.get((UNSPECIFIED, port))
        return None if listener is None or listener.is_reserved else listener

    def remove_listener(self, listener: Listener) -> None:
        """`listener` is closed."""
        del self._listeners[listener.address, listener.port]

    def entered_time_wait(self, connection: Connection) -> None:
        """`connection` may rest once it has acknowledged the FIN, unless somebody holds it."""
        self._orphans.pop(connection, None)
        self.mark_dirty(connection)

    def orphaned(self, connection: Connection, now: Instant) -> None:
        """Nobody holds `connection` any more, and its peer is not done: bound the number of those, as above."""
        self._orphans[connection] = None
        if len(self._orphans) > self.config.orphan_limit:
            self.counters["TcpOrphanOverflows"] += 1
            next(iter(self._orphans)).abort(now)

    def forget(self, connection: Connection, now: Instant) -> None:
        """`connection` is CLOSED."""
        self._connections.pop(connection.key, None)
        self._orphans.pop(connection, None)
        if connection.listener is not None:
            connection.listener.forget(connection)

    def reset_stray(self, key: FlowKey, seg: Segment, now: Instant) -> None:
        """Answer a segment to nobody so that its sender finds the reset acceptable (RFC 9293 3.10.7.1)."""
        if seg.flags & RST:
            return
        if seg.flags & ACK:
            self._send_reset(key, seg.ack, 0, RST, seg, now)
        else:
            self._send_reset(key, 0, (seg.seq + seg.length) & MASK, RST | ACK, seg, now)

    def reset_unacceptable(self, key: FlowKey, seg: Segment, now: Instant) -> None:
        """Answer an ACK for something never sent, before the connection is synchronized: <SEQ=SEG.ACK><CTL=RST>."""
        self._send_reset(key, seg.ack, 0, RST, seg, now)

    def _new_connection(self, key: FlowKey, config: TcpConfig, iss: int, now: Instant) -> Connection:
        connection = Connection(self, key, self._paths.path(key), config, iss, now)
        self._connections[key] = connection
        return connection

    def _rest(self, connection: Connection) -> None:
        """Keep of `connection` what TIME-WAIT needs, and bound the number of those: the oldest makes room."""
        if self._connections.get(connection.key) is not connection:
            return  # it rests already
        del self._connections[connection.key]
        self._resting.put(connection)
        if len(self._resting) > self.config.time_wait_limit:
            self.counters["TcpExtTCPTimeWaitOverflow"] += 1
            self._resting.evict()

    def _wake(self, key: FlowKey, seg: Segment, now: Instant) -> None:
        """A segment for a connection that rests."""
        try:
            path = self._paths.path(key)
        except OSError:
            self.counters["IpOutNoRoutes"] += 1
            return
        connection = self._resting.wake(self, key, path, now)
        self._connections[key] = connection
        self.mark_dirty(connection)
        arrives.on_segment(connection, seg, now)

    def _is_taken(self, key: tuple[int, int, int, int]) -> bool:
        return key in self._connections or key in self._resting

    def _is_half_open(self, key: FlowKey) -> bool:
        listener = self.listener_for(key.local_addr, key.local_port)
        return listener is not None and key in listener.half_open

    def _send_reset(self, key: FlowKey, seq: int, ack: int, flags: int, cause: Segment, now: Instant) -> None:
        try:
            path = self._paths.path(key)
        except OSError:
            self.counters["IpOutNoRoutes"] += 1
            return
        self.counters["TcpOutRsts"] += 1
        self.counters["TcpOutSegs"] += 1
        # RFC 7323 5.2: time stamps are answered with TSval 0, since this reset belongs to no connection with a clock.
        ts_val = cause.options.ts_val
        options = b"" if ts_val is None else tcp_options.build(TcpOptions(ts_val=0, ts_ecr=ts_val))
        path.send(seq, ack, flags, _NO_WINDOW, options, b"", path.link_mtu, now)
