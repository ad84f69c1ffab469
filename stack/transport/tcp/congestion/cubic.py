"""CUBIC (RFC 9438), with HyStart++ (RFC 9406) in slow start.

After a reduction cwnd returns to where it was along a cubic of the time, flat around that point, so that growth does
not depend on the round-trip time; where Reno would be faster, it is as fast as Reno. Windows are in octets here, in
segments in the RFC: C is multiplied by the MSS.
"""

from typing import ClassVar, Final

from stack.clock import SECOND, Duration, Instant
from stack.transport.tcp.congestion.hystart import HyStart
from stack.transport.tcp.congestion.interface import UNLIMITED, AckSample, CongestionControl

_C: Final = 0.4  # segments per cubic second (RFC 9438 5)
_BETA: Final = 0.7  # RFC 9438 4.6
_ALPHA: Final = 3 * (1 - _BETA) / (1 + _BETA)  # what makes the Reno-friendly window as fast as Reno (4.3)


class Cubic(CongestionControl):
    """RFC 9438; `w_max` and the windows in octets, times in nanoseconds."""

    name: ClassVar[str] = "cubic"
    owns_recovery: ClassVar[bool] = False
    __slots__ = (
        "_acked_at", "_credit", "_epoch", "_hystart", "_is_first_start", "_k", "_prior_cwnd", "_prior_ssthresh",
        "_prior_w_max", "_rtt", "_w_est", "_w_max",
    )  # fmt: skip

    def __init__(self, mss: int, initial_segments: int) -> None:
        super().__init__(mss, initial_segments)
        self._is_first_start = True  # only there HyStart++ has a say (RFC 9406 4.3),
        self._hystart: HyStart | None = None  # and only once cwnd is what holds the sender back
        self._epoch: Instant | None = None  # when this stage of congestion avoidance began
        self._acked_at: Instant = 0  # up to when the time since then has been judged
        self._k = 0.0  # seconds from there to W_max
        self._w_max = 0.0
        self._w_est = 0.0
        self._credit = 0.0  # octets of growth not yet worth one
        self._rtt: Duration = 0
        self._prior_cwnd = self.cwnd
        self._prior_ssthresh = self.ssthresh
        self._prior_w_max = 0.0

    def on_ack(self, sample: AckSample) -> None:
        """Grow, unless cwnd was not what held the sender back (4.2: only when cwnd is fully used)."""
        if sample.rtt is not None:
            self._rtt = sample.rtt
        acked_at, self._acked_at = self._acked_at, sample.now
        if not sample.is_cwnd_limited:
            if self._epoch is not None:  # the time in which cwnd is not used does not count for the cubic (4.2)
                self._epoch += sample.now - acked_at
            return
        if self.cwnd < self.ssthresh:
            self._grow_slow_start(sample)
        else:
            self._grow_cubic(sample)

    def on_loss(self, flight: int, now: Instant) -> None:
        """4.6, with fast convergence (4.7): a flow that has less than last time leaves room for others."""
        self._reduce(flight)
        self.cwnd = self.ssthresh

    def on_congestion_echo(self, flight: int, now: Instant) -> None:
        """4.6: as for a loss, but down to one segment."""
        self.cwnd = max(self._reduce(flight), self.mss)

    def on_timeout(self, flight: int, now: Instant) -> None:
        """4.8: slow start from one segment, and then a cubic with its plateau where slow start has ended."""
        self._reduce(flight)
        self._w_max = 0.0
        self.cwnd = self.mss

    def on_idle(self, idle: Duration, now: Instant) -> None:
        """The restart window (RFC 5681 4.1); the time of silence does not count for the cubic (RFC 9438 5.8)."""
        self.cwnd = min(self.cwnd, self.initial_window)
        if self._epoch is not None:
            self._epoch = min(self._epoch + idle, now)
        self._acked_at = now

    def undo(self, now: Instant) -> None:
        """4.9: the reduction was spurious."""
        self.cwnd = max(self.cwnd, self._prior_cwnd)
        self.ssthresh = max(self.ssthresh, self._prior_ssthresh)
        self._w_max = self._prior_w_max
        self._epoch = None

    def _grow_slow_start(self, sample: AckSample) -> None:
        if not self._is_first_start:
            self.cwnd = min(self.cwnd + sample.acked, max(self.ssthresh, self.cwnd))
            return
        if self._hystart is None:
            self._hystart = HyStart()
        growth = self._hystart.growth(sample, self.mss)
        if growth < 0:
            self.ssthresh = self.cwnd
            self._leave_first_start()
        else:
            self.cwnd = min(self.cwnd + growth, UNLIMITED)

    def _grow_cubic(self, sample: AckSample) -> None:
        cwnd, acked = self.cwnd, sample.acked
        epoch = self._begin_epoch(sample.now) if self._epoch is None else self._epoch
        elapsed = sample.now - epoch
        # From cwnd_prior on, alpha is 1: a flow that probes for more is no slower than Reno (4.3).
        self._w_est += (1.0 if self._w_est >= self._prior_cwnd else _ALPHA) * self.mss * acked / cwnd
        if self._w_est > cwnd and self._w_est > self._cubic(elapsed):
            self.cwnd = min(int(self._w_est), UNLIMITED)
            return
        # W_cubic(t + RTT), which 4.2 bounds between cwnd and 1.5 cwnd.
        target = min(max(self._cubic(elapsed + self._rtt), cwnd), 1.5 * cwnd)
        self._credit += (target - cwnd) * acked / cwnd
        if self._credit >= 1:
            self.cwnd = min(cwnd + int(self._credit), UNLIMITED)
            self._credit %= 1

    def _cubic(self, elapsed: Duration) -> float:
        """W_cubic, so long after the stage began (4.2)."""
        return float(_C * self.mss * (elapsed / SECOND - self._k) ** 3 + self._w_max)

    def _begin_epoch(self, now: Instant) -> Instant:
        self._epoch = now
        self._w_est = float(self.cwnd)
        self._credit = 0.0
        if self._w_max <= self.cwnd:  # slow start, or an undo, has brought us beyond: the cubic begins here
            self._w_max = float(self.cwnd)
            self._k = 0.0
        else:
            self._k = ((self._w_max - self.cwnd) / (_C * self.mss)) ** (1 / 3)
        return now

    def _reduce(self, flight: int) -> int:
        cwnd = self.cwnd
        self._prior_cwnd = cwnd
        self._prior_ssthresh = self.ssthresh
        self._prior_w_max = self._w_max
        self._w_max = cwnd * (1 + _BETA) / 2 if cwnd < self._w_max else float(cwnd)
        self._epoch = None
        self._leave_first_start()
        reduced = int(flight * _BETA)
        self.ssthresh = max(reduced, 2 * self.mss)
        return reduced

    def _leave_first_start(self) -> None:
        self._is_first_start = False
        self._hystart = None
