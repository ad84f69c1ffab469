"""A listener: the LISTEN state, as an object of its own (RFC 9293 3.9.1.1, 3.10.7.2), and its two queues.

    SYN --> SYN queue (SYN-RECEIVED) --> accept queue (ESTABLISHED and later) --> accept()

Both are bounded, and as in Linux neither bound shows as a reset. A full SYN queue, which is what a flood of SYNs from
addresses that nobody has leads to, is got around with SYN cookies. When the accept queue is full, because the
application is slow, SYNs are dropped, and so is the ACK that would complete a handshake: the peer, or our repeated
SYN-ACK, tries again.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from stack.addresses import UNSPECIFIED, Ipv4Address
from stack.clock import Instant
from stack.config import TcpConfig
from stack.events import ACCEPTABLE, CLOSED, END_OF_STREAM, READABLE, URGENT, Subject
from stack.transport.flow import FlowKey
from stack.transport.tcp import syn_cookies
from stack.transport.tcp.half_open import HalfOpen
from stack.transport.tcp.isn import beyond_incarnation, initial_sequence_number
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.transport.tcp.terms import terms
from stack.wire.tcp import ACK, RST, SYN, Segment
from stack.wire.tcp_options import NO_OPTIONS

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection
    from stack.transport.tcp.protocol import Tcp


class Listener(Subject):
    """Takes connections for one port of one address, or of all of them (UNSPECIFIED).

    `backlog` bounds the connections that wait to be accepted, the config's `syn_backlog` those that are half open.
    """

    __slots__ = (
        "_accepted",
        "_cookies_until",
        "_half_open",
        "_proceeding",
        "address",
        "backlog",
        "config",
        "is_closed",
        "is_reserved",
        "port",
        "tcp",
    )

    def __init__(self, tcp: "Tcp", address: Ipv4Address, port: int, backlog: int, config: TcpConfig) -> None:
        super().__init__()
        self.tcp = tcp
        self.address = address
        self.port = port
        self.backlog = backlog
        self.config = config
        self.is_closed = False
        self.is_reserved = False  # it has the port, and that is all yet: who comes is refused, as where nobody listens
        self._half_open: dict[FlowKey, HalfOpen] = {}  # the SYN queue: those of whom only the SYN has come,
        self._proceeding: dict[Connection, None] = {}  # and those in SYN-RECEIVED that have sent something else
        self._accepted: dict[Connection, None] = {}  # the accept queue
        self._cookies_until: Instant | None = None  # when the last cookie that was sent loses its worth

    @property
    def is_full(self) -> bool:
        """Whether the accept queue has no room for one more."""
        return len(self._accepted) >= self.backlog

    @property
    def acceptable(self) -> int:
        """Connections that wait to be accepted."""
        return len(self._accepted)

    @property
    def half_open(self) -> Collection[FlowKey]:
        """Whose SYN has come and been answered, and nothing else."""
        return self._half_open

    # What arrives

    def on_segment(self, key: FlowKey, seg: Segment, now: Instant) -> None:
        """SEGMENT ARRIVES in LISTEN (RFC 9293 3.10.7.2), or for one of whom only the SYN has come."""
        half_open = self._half_open.get(key)
        if half_open is not None:
            if seg.flags & (SYN | ACK | RST) == SYN and seg.seq == half_open.irs:
                half_open.repeat(now)  # the same SYN tells nothing new, and costs us nothing but the answer
            else:
                self._proceed(half_open, seg, now)
        elif seg.flags & RST:  # first
            self.tcp.counters["TcpNoConnection"] += 1
        elif seg.flags & ACK:  # second
            self._on_ack(key, seg, now)
        elif seg.flags & SYN:  # third
            self.on_syn(key, seg, now)
        else:
            self.tcp.counters["TcpNoConnection"] += 1

    def on_syn(self, key: FlowKey, seg: Segment, now: Instant, before: int | None = None) -> None:
        """A SYN: remember it, and answer. Text that comes with it is left to be sent again.

        `before`: SND.NXT of the incarnation that it ends.
        """
        tcp = self.tcp
        if self.is_full:
            tcp.counters["TcpExtListenOverflows"] += 1
        elif not key.remote_port:
            tcp.counters["TcpInErrs"] += 1
        elif len(self._half_open) + len(self._proceeding) >= self.config.syn_backlog:
            self._send_cookie(key, seg, now)
        else:
            iss = initial_sequence_number(tcp.secret, key, now)
            if before is not None:
                iss = beyond_incarnation(iss, before)
            half_open = HalfOpen(self, key, seg.seq, iss, terms(self.config, seg), now)
            if half_open.open(now):
                tcp.counters["TcpPassiveOpens"] += 1
                self._half_open[key] = half_open

    def _send_cookie(self, key: FlowKey, seg: Segment, now: Instant) -> None:
        common = syn_cookies.carried(terms(self.config, seg))
        iss = syn_cookies.cookie(self.tcp.secret, key, seg.seq, common, now)
        half_open = HalfOpen(self, key, seg.seq, iss, common, now)
        if half_open.answer(syn_cookies.stamp(half_open.clock(now), common), now):
            self.tcp.counters["TcpExtSyncookiesSent"] += 1
            self._cookies_until = now + syn_cookies.LIFETIME

    def _on_ack(self, key: FlowKey, seg: Segment, now: Instant) -> None:
        """An ACK of nothing that we know: it may bring back a cookie, if any can be out there."""
        tcp = self.tcp
        if seg.flags & SYN or self._cookies_until is None or now > self._cookies_until:
            tcp.counters["TcpNoConnection"] += 1
            tcp.reset_stray(key, seg, now)
            return
        irs, iss = (seg.seq - 1) & MASK, (seg.ack - 1) & MASK
        mss = syn_cookies.opened(iss, tcp.secret, key, irs, now)
        if mss is None:
            tcp.counters["TcpExtSyncookiesFailed"] += 1
            tcp.reset_stray(key, seg, now)
        elif self.is_full:
            tcp.counters["TcpExtListenOverflows"] += 1
        else:
            tcp.counters["TcpExtSyncookiesRecv"] += 1
            tcp.counters["TcpPassiveOpens"] += 1
            common = syn_cookies.terms_of(mss, seg.options if self.config.timestamps else NO_OPTIONS)
            self._proceed(HalfOpen(self, key, irs, iss, common, now), seg, now)

    def _proceed(self, half_open: HalfOpen, seg: Segment, now: Instant) -> None:
        """The peer has sent something other than its SYN."""
        connection = self.tcp.resume(half_open, self.config, now)
        if connection is not None:
            self.withdraw(half_open)
            connection.listener = self
            self._proceeding[connection] = None
            self.tcp.process(connection, seg, now)

    def withdraw(self, half_open: HalfOpen) -> None:
        """It is over, or has become a connection."""
        half_open.stop()
        self._half_open.pop(half_open.key, None)

    # What connections say

    def on_established(self, connection: "Connection") -> None:
        """The handshake is complete."""
        del self._proceeding[connection]
        self._accepted[connection] = None
        self.tcp.events.post(self, ACCEPTABLE)

    def forget(self, connection: "Connection") -> None:
        """The connection is over. One that waits to be accepted goes on to, with what it has to read, and its error."""
        self._proceeding.pop(connection, None)

    # What the user asks

    def accept(self) -> "Connection | None":
        """The oldest established connection that nobody has accepted yet."""
        if not self._accepted:
            return None
        connection = next(iter(self._accepted))
        del self._accepted[connection]
        connection.listener = None
        kinds = READABLE if connection.readable else 0
        if connection.receiver.has_finished:
            kinds |= END_OF_STREAM
        if connection.urgent_left:
            kinds |= URGENT
        if connection.state in (State.TIME_WAIT, State.CLOSED):
            kinds |= CLOSED
        if kinds:
            connection.post(kinds)
        return connection

    def close(self, now: Instant) -> None:
        """Stop listening; connections that nobody has accepted are reset, half-open ones forgotten."""
        if self.is_closed:
            return
        self.is_closed = True
        self.handler = None
        self.tcp.remove_listener(self)
        for half_open in list(self._half_open.values()):
            self.withdraw(half_open)
        for connection in [*self._proceeding, *self._accepted]:
            connection.abort(now)
        self._accepted.clear()

    def __repr__(self) -> str:
        where = "*" if self.address == UNSPECIFIED else self.address
        return f"<Listener {where}:{self.port}>"
