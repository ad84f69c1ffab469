"""HyStart++: leave slow start when the round-trip time says that the queue fills, before it overflows (RFC 9406).

A round ends when what was sent at its beginning is acknowledged. When the lowest round-trip time of a round lies
clearly above that of the round before, growth goes on cautiously (conservative slow start) for a few rounds: if the
time falls again it was noise, and otherwise slow start is over.
"""

from typing import Final

from stack.clock import MILLISECOND, Duration
from stack.transport.tcp.congestion.interface import AckSample

_MIN_RTT_THRESH: Final = 4 * MILLISECOND
_MAX_RTT_THRESH: Final = 16 * MILLISECOND
_MIN_RTT_DIVISOR: Final = 8
_N_RTT_SAMPLE: Final = 8
_CSS_GROWTH_DIVISOR: Final = 4
_CSS_ROUNDS: Final = 5
_L: Final = 8  # segments, where sending is not paced
_NEVER: Final[Duration] = 1 << 62


class HyStart:
    """The variables of RFC 9406 section 4.2; durations in nanoseconds."""

    __slots__ = ("_baseline", "_css_rounds", "_last_minimum", "_minimum", "_samples", "_window_end", "in_css")

    def __init__(self) -> None:
        self._window_end = 0  # stream offset at which the round ends
        self._last_minimum: Duration = _NEVER  # lastRoundMinRTT
        self._minimum: Duration = _NEVER  # currentRoundMinRTT
        self._samples = 0
        self._baseline: Duration = _NEVER  # cssBaselineMinRtt
        self._css_rounds = 0
        self.in_css = False

    def growth(self, sample: AckSample, mss: int) -> int:
        """By how many octets cwnd grows for this acknowledgment in slow start; -1: slow start is over.

        Of what is acknowledged at once L segments count, and where sending is paced, all of it (RFC 9406 4.2, 4.3).
        """
        if sample.una >= self._window_end and self._end_round(sample.nxt):
            return -1
        if sample.rtt is not None:
            self._minimum = min(self._minimum, sample.rtt)
            self._samples += 1
            self._judge()
        acked = sample.acked if sample.is_paced else min(sample.acked, _L * mss)
        return acked // _CSS_GROWTH_DIVISOR if self.in_css else acked

    def _judge(self) -> None:
        if self._samples < _N_RTT_SAMPLE:
            return
        if self.in_css:
            if self._minimum < self._baseline:  # the rise was spurious: on with slow start
                self.in_css = False
                self._baseline = _NEVER
        elif self._last_minimum != _NEVER:
            threshold = min(max(self._last_minimum // _MIN_RTT_DIVISOR, _MIN_RTT_THRESH), _MAX_RTT_THRESH)
            if self._minimum >= self._last_minimum + threshold:
                self._baseline = self._minimum
                self.in_css = True
                self._css_rounds = 0

    def _end_round(self, nxt: int) -> bool:
        self._window_end = nxt
        self._last_minimum = self._minimum
        self._minimum = _NEVER
        self._samples = 0
        if self.in_css:
            self._css_rounds += 1
            return self._css_rounds >= _CSS_ROUNDS
        return False
