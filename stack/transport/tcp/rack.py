"""RACK: what was sent before something that has been delivered since, and has had time to arrive, is lost (RFC 8985).

Time takes the place of counting duplicate acknowledgments, so a lost retransmission, a lost tail and reordering are
all judged by the same rule.
"""

from typing import Final

from stack.clock import SECOND, Duration, Instant
from stack.transport.tcp.scoreboard import Scoreboard
from stack.transport.tcp.sent import Delivered

_MIN_RTT_VALID: Final = 300 * SECOND  # RFC 8985 6.2 step 1: a windowed minimum; the path may have changed
_PERSISTENCE: Final = 16  # recoveries for which a widened reordering window is kept (6.2 step 4)


class Rack:
    """RACK.* of RFC 8985 section 5.3; offsets of the stream, nanoseconds."""

    __slots__ = (
        "_dsack_round", "_end", "_fack", "_min_rtt_at", "_persist", "_sent_at", "_wnd_mult", "min_rtt",
        "reordering_seen", "round_trips", "rtt",
    )  # fmt: skip

    def __init__(self) -> None:
        self._sent_at: Instant = -1  # RACK.xmit_ts and
        self._end = 0  # RACK.end_seq: of what was sent last of all that is delivered
        self.rtt: Duration = 0
        self.round_trips = 0  # how many were measured
        self.min_rtt: Duration | None = None
        self._min_rtt_at: Instant = 0
        self._fack = 0  # the highest offset delivered
        self.reordering_seen = False
        self._wnd_mult = 1
        self._persist = 0
        self._dsack_round: int | None = None

    def on_rtt(self, rtt: Duration, now: Instant) -> None:
        """Step 1: a round trip that is not ambiguous took `rtt`."""
        self.round_trips += 1
        if self.min_rtt is None or rtt <= self.min_rtt or now - self._min_rtt_at > _MIN_RTT_VALID:
            self.min_rtt = rtt
            self._min_rtt_at = now

    def on_delivered(self, delivered: Delivered, highest: int, is_original: bool, now: Instant) -> None:
        """Steps 2 and 3: take note of what was sent last, and of what arrived late. `highest`: offset delivered.

        `is_original`: what was sent last is a retransmission, and the time stamp says that it did not bring this.
        """
        if delivered.lowest_end is not None and delivered.lowest_end < self._fack:
            self.reordering_seen = True
        self._fack = max(self._fack, highest)
        newest, end = delivered.newest, delivered.newest_end
        if newest is not None and newest.retransmitted:
            too_soon = self.min_rtt is not None and now - newest.sent_at < self.min_rtt
            if is_original or too_soon:  # it says nothing, but what was sent just once does
                newest, end = delivered.original, delivered.original_end
        if newest is not None and (newest.sent_at, end) > (self._sent_at, self._end):
            self._sent_at, self._end = newest.sent_at, end
            self.rtt = now - newest.sent_at

    def on_delivered_in_order(self, sent_at: Instant, una: int, now: Instant) -> None:
        """The same for what was sent once, at `sent_at`, and is delivered up to `una` without a gap."""
        self._fack = una
        if sent_at > self._sent_at or (sent_at == self._sent_at and una > self._end):
            self._sent_at, self._end = sent_at, una
            self.rtt = now - sent_at

    def on_dsack(self, una: int, nxt: int) -> None:
        """Step 4: something was sent twice in vain, so wait longer; once a round trip is enough."""
        if self._dsack_round is not None and una >= self._dsack_round:
            self._dsack_round = None
        if self._dsack_round is None:
            self._dsack_round = nxt
            self._wnd_mult += 1
            self._persist = _PERSISTENCE

    def on_recovered(self) -> None:
        """Step 4: a recovery has ended."""
        self._persist -= 1
        if self._persist <= 0:
            self._wnd_mult = 1

    def reordering_window(self, has_evidence: bool, srtt: Duration | None) -> Duration:
        """Step 4: how long to wait for what may only be late.

        `has_evidence`: recovery is going on, or DupThresh segments are selectively acknowledged.
        """
        if not self.reordering_seen and has_evidence:
            return 0
        return min(self._wnd_mult * (self.min_rtt or 0) // 4, srtt or 0)

    def mark_lost(self, board: Scoreboard, window: Duration, now: Instant) -> Instant | None:
        """Step 5: mark on `board` what is lost by now; returns when the next may be, if nothing arrives meanwhile."""
        latest = (self._sent_at, self._end)
        allowance = self.rtt + window
        record = board.oldest
        while record is not None and (record.sent_at, record.end) < latest:
            if record.sent_at + allowance > now:
                return record.sent_at + allowance
            newer = record.newer
            board.mark_lost(record)
            record = newer
        return None

    def mark_lost_on_timeout(self, board: Scoreboard, window: Duration, now: Instant) -> None:
        """6.3: the first that is outstanding, and all that has had its time."""
        first = board.first
        record = board.oldest
        while record is not None:
            newer = record.newer
            if record is first or record.sent_at + self.rtt + window <= now:
                board.mark_lost(record)
            record = newer
