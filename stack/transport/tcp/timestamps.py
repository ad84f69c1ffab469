"""The time stamps option (RFC 7323 section 3)."""

from dataclasses import dataclass

from stack.clock import MILLISECOND, Instant
from stack.transport.tcp.sequence import MASK


@dataclass(slots=True)
class Timestamps:
    """What a connection that uses time stamps remembers; offered with its SYN, dropped if the peer has none."""

    offset: int  # what is added to our clock
    recent: int  # TS.Recent
    recent_at: Instant

    def clock(self, now: Instant) -> int:
        """TSval: milliseconds (RFC 7323 5.4 asks for a tick of 1 ms to 1 s) from a start of this connection's own."""
        return (now // MILLISECOND + self.offset) & MASK
