"""Slow start and congestion avoidance (RFC 5681), with the initial window of RFC 6928 and the counting of RFC 3465."""

from typing import ClassVar

from stack.clock import Duration, Instant
from stack.transport.tcp.congestion.interface import UNLIMITED, AckSample, CongestionControl


def cautious_window(mss: int) -> int:
    """IW of RFC 3390 (1), to which RFC 6928 2 falls back once the larger one has led to a loss."""
    return min(4 * mss, max(2 * mss, 4380))


class NewReno(CongestionControl):
    """The classic: exponential growth up to ssthresh, then one segment a round trip; half the flight on a loss."""

    name: ClassVar[str] = "newreno"
    owns_recovery: ClassVar[bool] = False
    __slots__ = ("_avoidance_octets", "_prior")

    def __init__(self, mss: int, initial_segments: int) -> None:
        super().__init__(mss, initial_segments)
        self._avoidance_octets = 0
        self._prior = (self.cwnd, self.ssthresh)

    def on_ack(self, sample: AckSample) -> None:
        """Grow (RFC 5681 3.1), unless the window was not what held the sender back (RFC 7661 explains why)."""
        if not sample.is_cwnd_limited:
            return
        if self.cwnd < self.ssthresh:
            self.cwnd += min(sample.acked, self.mss)
            return
        self._avoidance_octets += sample.acked
        if self._avoidance_octets >= self.cwnd:
            self._avoidance_octets -= self.cwnd
            self.cwnd += self.mss
        self.cwnd = min(self.cwnd, UNLIMITED)

    def on_loss(self, flight: int, now: Instant) -> None:
        """Halve: ssthresh from FlightSize, not from cwnd (RFC 5681 equation 4)."""
        self._reduce(flight)
        self.cwnd = self.ssthresh

    def on_congestion_echo(self, flight: int, now: Instant) -> None:
        """As for a loss, but down to one segment (RFC 3168 6.1.2)."""
        self.cwnd = max(self._reduce(flight), self.mss)

    def on_timeout(self, flight: int, now: Instant) -> None:
        """Start again from the loss window of one segment (RFC 5681 3.1)."""
        self._reduce(flight)
        self.cwnd = self.mss

    def on_idle(self, idle: Duration, now: Instant) -> None:
        """Fall back to the restart window (RFC 5681 4.1)."""
        self.cwnd = min(self.cwnd, self.initial_window)

    def undo(self, now: Instant) -> None:
        """As if the last reduction had not been."""
        cwnd, ssthresh = self._prior
        self.cwnd = max(self.cwnd, cwnd)
        self.ssthresh = max(self.ssthresh, ssthresh)

    def _reduce(self, flight: int) -> int:
        self._prior = (self.cwnd, self.ssthresh)
        self._avoidance_octets = 0
        self.ssthresh = max(flight // 2, 2 * self.mss)
        return flight // 2
