"""Slow start and congestion avoidance (RFC 5681), with the initial window of RFC 6928."""

from typing import Final

from stack.clock import Instant

_UNLIMITED: Final = 1 << 30  # "arbitrarily high" (RFC 5681 3.1): the largest window that can be advertised


class NewReno:
    """The classic: exponential growth up to ssthresh, then one segment a round trip; half the flight on a loss."""

    name = "newreno"
    __slots__ = ("_avoidance_octets", "_initial_window", "cwnd", "mss", "ssthresh")

    def __init__(self, mss: int, initial_segments: int) -> None:
        self.mss = mss
        # RFC 6928 (1): min(10 * MSS, max(2 * MSS, 14600))
        self._initial_window = min(initial_segments * mss, max(2 * mss, 14600))
        self.cwnd = self._initial_window
        self.ssthresh = _UNLIMITED
        self._avoidance_octets = 0

    def on_ack(self, acked: int, flight: int, now: Instant) -> None:
        """Grow (RFC 5681 3.1), unless the window was not what held the sender back (RFC 7661 explains why)."""
        if flight + self.mss <= self.cwnd // 2:
            return
        if self.cwnd < self.ssthresh:
            self.cwnd += min(acked, self.mss)
            return
        self._avoidance_octets += acked
        if self._avoidance_octets >= self.cwnd:
            self._avoidance_octets -= self.cwnd
            self.cwnd += self.mss
        self.cwnd = min(self.cwnd, _UNLIMITED)

    def on_loss(self, flight: int, now: Instant) -> None:
        """Halve: ssthresh from FlightSize, not from cwnd (RFC 5681 equation 4)."""
        self.ssthresh = max(flight // 2, 2 * self.mss)
        self.cwnd = self.ssthresh
        self._avoidance_octets = 0

    def on_timeout(self, flight: int, now: Instant) -> None:
        """Start again from the loss window of one segment (RFC 5681 3.1)."""
        self.ssthresh = max(flight // 2, 2 * self.mss)
        self.cwnd = self.mss
        self._avoidance_octets = 0

    def on_idle(self, now: Instant) -> None:
        """Fall back to the restart window (RFC 5681 4.1)."""
        self.cwnd = min(self.cwnd, self._initial_window)
