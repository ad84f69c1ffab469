"""The time stamps option (RFC 7323 section 3)."""

from dataclasses import dataclass

from stack.clock import Instant


@dataclass(slots=True)
class Timestamps:
    """What a connection that uses time stamps remembers; offered with its SYN, dropped if the peer has none."""

    offset: int  # what is added to our clock
    recent: int  # TS.Recent
    recent_at: Instant
