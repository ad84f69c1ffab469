"""Connections of which only the SYN has come: what little they need until the peer shows that it is there.

Anybody can send SYNs from addresses that are not his. So a listener keeps a few words for each, from which the SYN-ACK
can be made as often as it is needed (the SYN cache of RFC 4987 3.4), and makes a Connection of them when something
else arrives.
"""

from typing import TYPE_CHECKING, Final

from stack.clock import Instant, Timer
from stack.transport.flow import FlowKey
from stack.transport.tcp.isn import timestamp_offset
from stack.transport.tcp.output import announced_mss
from stack.transport.tcp.receiver import initial_capacity, window_shift
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.terms import Terms
from stack.transport.tcp.timestamps import Timestamps
from stack.transport.tcp.user_timeout import seconds_of
from stack.wire import tcp_options
from stack.wire.tcp import ACK, ECE, SYN
from stack.wire.tcp_options import TcpOptions

if TYPE_CHECKING:
    from stack.transport.tcp.listener import Listener

_MAXIMUM_WINDOW: Final = 0xFFFF  # of a SYN, which is never scaled (RFC 7323 2.2)


class HalfOpen:
    """What is known of a connection in SYN-RECEIVED: the peer's ISN, ours, and what the SYNs settle."""

    __slots__ = ("_listener", "_timer", "began_at", "irs", "iss", "key", "sent_at", "terms", "timeouts")

    def __init__(self, listener: "Listener", key: FlowKey, irs: int, iss: int, terms: Terms, now: Instant) -> None:
        self._listener = listener
        self._timer: Timer | None = None
        self.key = key
        self.irs = irs
        self.iss = iss
        self.terms = terms
        self.began_at = now
        self.sent_at: Instant | None = None  # when our last SYN-ACK went; None: it was a cookie, and nobody knows
        self.timeouts = 0

    def clock(self, now: Instant) -> int:
        """The time stamp that the connection would send now."""
        return Timestamps(timestamp_offset(self._listener.tcp.secret, self.key), 0, now).clock(now)

    def open(self, now: Instant) -> bool:
        """Answer the SYN, and again until stop() or until it has taken too long; False: there is no way to the peer."""
        if not self.answer(self.clock(now), now):
            return False
        self.sent_at = now
        self._timer = self._listener.tcp.timer(HalfOpen._on_unanswered, self)
        self._timer.arm(now + self._listener.config.initial_rto)
        return True

    def answer(self, ts_val: int, now: Instant) -> bool:
        """<SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK> (RFC 9293 3.10.7.2); False: there is no way to the peer."""
        tcp, config, terms = self._listener.tcp, self._listener.config, self.terms
        try:
            path = tcp.path(self.key)
        except OSError:
            tcp.counters["IpOutNoRoutes"] += 1
            return False
        mss = announced_mss(path, config)
        options = TcpOptions(
            mss=mss,
            window_scale=None if terms.shift is None else window_shift(config.receive_buffer),
            sack_permitted=terms.sack,
            ts_val=None if terms.ts_val is None else ts_val,
            ts_ecr=terms.ts_val or 0,
            user_timeout=seconds_of(config),
        )
        flags = SYN | ACK | (ECE if terms.ecn else 0)
        window = min(initial_capacity(config), _MAXIMUM_WINDOW)
        path.send(
            self.iss, self.irs + 1 & MASK, flags, window, tcp_options.build(options), b"", mss, now, config.dscp << 2
        )
        tcp.counters["TcpOutSegs" if self.sent_at is None else "TcpRetransSegs"] += 1
        return True

    def repeat(self, now: Instant) -> None:
        """Answer once more, and then wait for twice as long as after the last timeout."""
        self.answer(self.clock(now), now)
        self.sent_at = now
        config = self._listener.config
        rto = min(config.initial_rto << self.timeouts, config.maximum_rto)
        if self._timer is not None:
            self._timer.arm(min(now + rto, self.began_at + config.syn_received_timeout))

    def release_timer(self) -> Timer | None:
        """The timer, which is the caller's now and armed as it was; None: nobody waited."""
        timer, self._timer = self._timer, None
        return timer

    def stop(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.disarm()
            self._timer = None

    def _on_unanswered(self, now: Instant) -> None:
        listener = self._listener
        if now >= self.began_at + listener.config.syn_received_timeout:
            listener.tcp.counters["TcpAttemptFails"] += 1
            listener.withdraw(self)
        else:
            listener.tcp.counters["TcpExtTCPTimeouts"] += 1
            self.timeouts += 1
            self.repeat(now)
