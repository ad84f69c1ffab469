"""The records of the scoreboard (scoreboard.py): runs of octets that were sent; and what an acknowledgment delivers."""

from enum import IntEnum
from typing import Final

from stack.clock import Instant


class Fate(IntEnum):
    """What is known of a record."""

    IN_FLIGHT = 0
    SACKED = 1
    LOST = 2


_IN_FLIGHT: Final = Fate.IN_FLIGHT


class Sent:
    """Octets [start, end) that were last sent at `sent_at`.

    `delivered` and what follows it is what the delivery rate is computed from (AckSample): how things stood at that
    instant.
    """

    __slots__ = (
        "delivered", "delivered_at", "end", "fate", "first_sent_at", "is_app_limited", "newer", "older",
        "retransmitted", "sent_at", "start",
    )  # fmt: skip

    def __init__(self, start: int, end: int, sent_at: Instant) -> None:
        self.start = start
        self.end = end
        self.sent_at = sent_at
        self.fate = _IN_FLIGHT
        self.retransmitted = 0  # how often
        self.delivered = 0
        self.delivered_at: Instant = sent_at
        self.first_sent_at: Instant = sent_at
        self.is_app_limited = False
        self.older: Sent | None = None
        self.newer: Sent | None = None

    def __repr__(self) -> str:
        return f"<Sent {self.start}-{self.end} {self.fate.name} x{self.retransmitted + 1}>"


class Delivered:
    """What one acknowledgment has delivered for the first time; written anew for each.

    `newest` is the record sent last of those delivered, up to offset `newest_end`; `original` the last of those that
    were sent only once, up to `original_end`; `lowest_end` says where the lowest of these ended. `has_repeats`: some
    were sent again, and the originals behind them have waited for these at the receiver.
    """

    __slots__ = (
        "has_repeats", "lowest_end", "newest", "newest_end", "octets", "original", "original_end", "sacked",
    )  # fmt: skip

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Nothing yet."""
        self.octets = 0
        self.sacked = 0  # of them, selectively
        self.newest: Sent | None = None
        self.newest_end = 0
        self.has_repeats = False
        self.original: Sent | None = None
        self.original_end = 0
        self.lowest_end: int | None = None

    def add(self, record: Sent, octets: int, end: int) -> None:
        """The `octets` of `record` before offset `end` are delivered."""
        self.octets += octets
        newest = self.newest
        if newest is None or (record.sent_at, end) >= (newest.sent_at, self.newest_end):
            self.newest = record
            self.newest_end = end
        if record.retransmitted:
            self.has_repeats = True
            return
        if self.original is None or record.sent_at >= self.original.sent_at:
            self.original = record
            self.original_end = end
        if self.lowest_end is None or end < self.lowest_end:
            self.lowest_end = end
