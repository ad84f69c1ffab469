"""TCP on a bench: nothing below it, and a peer that says exactly what the test says, when it says it.

Both initial sequence numbers lie just below 2**32, so that every connection wraps. Time is virtual.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest

from stack.addresses import ipv4
from stack.clock import MICROSECOND, SECOND, TimerQueue
from stack.config import TcpConfig
from stack.counters import Counters
from stack.events import EventQueue
from stack.transport.flow import FlowKey
from stack.transport.tcp.isn import initial_sequence_number
from stack.transport.tcp.protocol import Tcp
from stack.transport.tcp.sequence import MASK, seq_diff
from stack.transport.tcp.states import State
from stack.wire import tcp_options
from stack.wire.tcp import ACK, FIN, PSH, RST, SYN, Segment
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions

LOCAL, REMOTE = ipv4("192.0.2.1"), ipv4("192.0.2.2")
LOCAL_PORT, REMOTE_PORT = 80, 40000
SECRET = b"0123456789abcdef0123456789abcdef"
OUR_ISS = -20 & MASK
PEER_ISS = -30 & MASK
MSS = 1000


class Path:
    """The way to the peer, and the end of it: it keeps what was sent, cut into segments."""

    def __init__(self) -> None:
        self.link_mtu = self.path_mtu = 1500
        self.sent: list[Segment] = []
        self.confirmed = self.doubted = 0

    def send(
        self,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        options: bytes,
        payload: Any,
        mss: int,
        now: int,
        tos: int = 0,
        urgent: int = 0,
    ) -> int:
        rest = bytes(payload)
        while True:
            chunk, rest = rest[:mss], rest[mss:]
            shown = flags if not rest else flags & ~(FIN | PSH)
            parsed = tcp_options.parse(options)
            self.sent.append(Segment(LOCAL_PORT, REMOTE_PORT, seq, ack, shown, window, chunk, parsed, urgent, tos=tos))
            seq = (seq + len(chunk)) & MASK
            if not rest:
                return len(payload)

    def confirm(self, now: int) -> None:
        self.confirmed += 1

    def doubt(self, now: int) -> None:
        self.doubted += 1

    def mtu(self, now: int) -> int:
        return self.path_mtu

    def reduce_mtu(self, mtu: int, sent: int, now: int) -> None:
        self.path_mtu = mtu


class Bench:
    """One Tcp, one flow."""

    def __init__(self, config: TcpConfig) -> None:
        self.counters, self.timers, self.events = Counters(), TimerQueue(), EventQueue()
        self.wire = Path()
        self.tcp = Tcp(config, self.counters, self.timers, self.events, self, SECRET, random.Random(1))
        key = FlowKey(LOCAL, LOCAL_PORT, REMOTE, REMOTE_PORT)
        self.now = ((OUR_ISS - initial_sequence_number(SECRET, key, 0)) & MASK) * 4 * MICROSECOND
        self.nxt = PEER_ISS  # the peer's next sequence number
        self.una = OUR_ISS  # what the peer acknowledges, unless told otherwise: all it has seen
        self.window = 65535
        self.connection: Any = None

    # What TCP asks of the layers below

    def path(self, key: FlowKey) -> Path:
        return self.wire

    def source_for(self, remote: int) -> int:
        return LOCAL

    def is_broadcast(self, address: int) -> bool:
        return address & 255 == 255

    # What the test says

    def listen(self, **arguments: Any) -> Any:
        given = {"address": LOCAL, "port": LOCAL_PORT, "backlog": None, "config": None} | arguments
        return self.tcp.listen(given["address"], given["port"], given["backlog"], given["config"])

    def connect(self, **arguments: Any) -> Any:
        given = {"local": LOCAL, "local_port": LOCAL_PORT} | arguments
        self.connection = self.tcp.connect(REMOTE, REMOTE_PORT, self.now, **given)
        self.take()
        return self.connection

    def peer(
        self,
        flags: int = ACK,
        payload: bytes = b"",
        *,
        at: int = 0,
        ack: int = 0,
        window: int | None = None,
        options: TcpOptions = NO_OPTIONS,
        segments: int = 1,
    ) -> list[Segment]:
        """The peer sends a segment, `at` so far from its next sequence number, acknowledging `ack` more than it has
        seen; returns what we send because of it."""
        seq = (self.nxt + at) & MASK
        number = (self.una + ack) & MASK if flags & ACK else 0
        offered = self.window if window is None else window
        seg = Segment(REMOTE_PORT, LOCAL_PORT, seq, number, flags, offered, payload, options, segments=segments)
        if at == 0:
            self.nxt = (self.nxt + seg.length) & MASK
        self.tcp.receive(REMOTE, LOCAL, seg, self.now)
        return self.take()

    def take(self) -> list[Segment]:
        """What we have sent since the last time."""
        self.tcp.flush(self.now)
        sent, self.wire.sent = self.wire.sent, []
        for seg in sent:
            end = (seg.seq + seg.length) & MASK
            if seq_diff(end, self.una) > 0 and not seg.flags & 4:
                self.una = end
        return sent

    def advance(self, duration: int) -> list[tuple[int, Segment]]:
        """Time passes; what we send meanwhile, each with the time since the beginning."""
        began, end = self.now, self.now + duration
        sent = []
        while (deadline := self.timers.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.timers.expire(self.now)
            sent += [(self.now - began, seg) for seg in self.take()]
        self.now = end
        return sent

    def write(self, data: bytes) -> list[Segment]:
        self.connection.write(data, self.now)
        return self.take()

    def read(self, limit: int = 1 << 20) -> bytes:
        return self.connection.read(limit, self.now)

    def shutdown(self) -> list[Segment]:
        self.connection.shutdown(self.now)
        return self.take()

    def close(self) -> list[Segment]:
        self.connection.close(self.now)
        return self.take()

    def abort(self) -> list[Segment]:
        self.connection.abort(self.now)
        return self.take()

    def happened(self) -> int:
        """The union of the events of the connection since the last time."""
        kinds = 0
        for subject, each in self.events.take():
            if subject is self.connection:
                kinds |= each
        return kinds

    @property
    def alive(self) -> bool:
        return self.connection in list(self.tcp.connections())

    # Into each state

    def into(self, state: State, active: bool = False, options: TcpOptions | None = None) -> "Bench":
        """Bring a new connection into `state`, opened by the peer or, when `active`, by us."""
        if state is State.LISTEN:
            self.listen()
            return self
        options = TcpOptions(mss=MSS) if options is None else options
        if active or state is State.SYN_SENT:
            self.connect()
            if state is State.SYN_SENT:
                return self
            if state is State.SYN_RECEIVED:
                self.peer(SYN, options=options)
            else:
                self.peer(SYN | ACK, options=options)
        else:
            listener = self.listen()
            self.peer(SYN, options=options)
            if state is State.SYN_RECEIVED:
                self.peer(RST, at=-1)  # it changes nothing, but shows that the peer is there
                [self.connection] = self.tcp.connections()
            else:
                self.peer(ACK)
                self.connection = listener.accept()
        self._close_into(state)
        assert self.connection.state is state
        self.happened()
        return self

    def _close_into(self, state: State) -> None:
        if state in (State.CLOSE_WAIT, State.LAST_ACK):
            self.peer(FIN | ACK)
        if state in (State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT):
            self.shutdown()
        if state is State.CLOSING:
            self.peer(FIN | ACK, ack=-1)
        if state in (State.FIN_WAIT_2, State.TIME_WAIT):
            self.peer(ACK)
        if state is State.TIME_WAIT:
            self.peer(FIN | ACK)


Factory = Callable[..., Bench]


@pytest.fixture
def bench() -> Factory:
    """bench(STATE, active=..., options=..., CONFIG=...): a connection in that state; without one, an empty bench."""

    def make(
        state: State | None = None, *, active: bool = False, options: TcpOptions | None = None, **config: Any
    ) -> Bench:
        # NewReno, unpaced, where nothing else is asked for: what RFC 5681 counts is exact.
        plain = {
            "congestion": "newreno",
            "timestamps": False,
            "window_scaling": False,
            "challenge_acks_per_second": 100,
        }
        made = Bench(TcpConfig(**{**plain, **config}))
        return made if state is None else made.into(state, active, options)

    return make


@pytest.fixture
def second() -> int:
    return SECOND
