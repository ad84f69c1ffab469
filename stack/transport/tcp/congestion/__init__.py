"""Congestion control behind one small interface; TcpConfig.congestion names the algorithm.

The sender asks for `cwnd` and tells what happened; loss recovery (recovery.py) decides when that was a loss. All
sizes are in octets.
"""

from collections.abc import Callable
from typing import Final, Protocol

from stack.clock import Instant
from stack.errors import ConfigurationError
from stack.transport.tcp.congestion.newreno import NewReno


class CongestionControl(Protocol):
    """What a congestion control algorithm has and is told."""

    name: str
    mss: int
    cwnd: int
    ssthresh: int

    def on_ack(self, acked: int, flight: int, now: Instant) -> None:
        """`acked` octets are newly acknowledged, outside of recovery; `flight` were outstanding before that."""

    def on_loss(self, flight: int, now: Instant) -> None:
        """A segment was lost, others still arrive; recovery begins."""

    def on_timeout(self, flight: int, now: Instant) -> None:
        """The retransmission timer has fired for the first time since an acknowledgment came."""

    def on_idle(self, now: Instant) -> None:
        """Sending starts again after more than one RTO of silence."""


ALGORITHMS: Final[dict[str, Callable[[int, int], CongestionControl]]] = {NewReno.name: NewReno}


def congestion_control(name: str, mss: int, initial_segments: int) -> CongestionControl:
    """A new instance of the algorithm `name` for segments of `mss` octets. Raises ConfigurationError."""
    try:
        algorithm = ALGORITHMS[name]
    except KeyError:
        raise ConfigurationError(f"no congestion control {name!r}; there is {', '.join(ALGORITHMS)}") from None
    return algorithm(mss, initial_segments)
