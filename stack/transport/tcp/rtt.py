"""The round-trip time and the retransmission timeout (RFC 6298)."""

from typing import Final

from stack.clock import MILLISECOND, Duration
from stack.config import TcpConfig

_GRANULARITY: Final = 1 * MILLISECOND  # G of RFC 6298; our clock is finer, the peer's delays are not


class RttEstimator:
    """SRTT, RTTVAR and RTO, in nanoseconds; `srtt` is None before the first sample.

    `rto` is the timeout to use now, back-off included (5.5), bounded (2.5).
    """

    __slots__ = ("_base_rto", "_floor", "_maximum", "backoff", "rto", "rttvar", "srtt")

    def __init__(self, config: TcpConfig) -> None:
        self._floor = max(_GRANULARITY, config.minimum_rto)
        self._maximum = config.maximum_rto
        self.srtt: Duration | None = None
        self.rttvar: Duration = 0
        self._base_rto: Duration = config.initial_rto
        self.backoff = 0  # how often the RTO has been doubled since the last sample
        self.rto: Duration = min(config.initial_rto, config.maximum_rto)

    def sample(self, rtt: Duration) -> None:
        """Take a measurement of a segment that was not retransmitted (Karn's rule), or of a time stamp (2.2, 2.3)."""
        srtt, rttvar = self.srtt, self.rttvar
        if srtt is None:
            srtt, rttvar = rtt, rtt // 2
        else:
            rttvar += (abs(srtt - rtt) - rttvar) // 4
            srtt += (rtt - srtt) // 8
        self.srtt, self.rttvar = srtt, rttvar
        # As Linux does, the minimum bounds the variance term and not the sum: RTTVAR decays to nothing on a steady
        # path, and a timeout just above SRTT would fire at the first delayed acknowledgment.
        self.rto = self._base_rto = min(srtt + max(4 * rttvar, self._floor), self._maximum)
        self.backoff = 0

    def back_off(self) -> None:
        """Double the timeout after it has fired (5.5)."""
        if self.rto < self._maximum:
            self.backoff += 1
            self.rto = min(self._base_rto << self.backoff, self._maximum)

    def after_syn_timeout(self, initial_rto: Duration) -> None:
        """Start the data phase at 3 s when the SYN itself timed out (5.7)."""
        self._base_rto = max(self._base_rto, initial_rto)
        self.rto = min(self._base_rto, self._maximum)
        self.backoff = 0
