"""The congestion control algorithms; TcpConfig.congestion names one."""

from collections.abc import Callable
from typing import Final

from stack.errors import ConfigurationError
from stack.transport.tcp.congestion.bbr import Bbr
from stack.transport.tcp.congestion.cubic import Cubic
from stack.transport.tcp.congestion.interface import AckSample, CongestionControl
from stack.transport.tcp.congestion.newreno import NewReno

__all__ = ["ALGORITHMS", "AckSample", "CongestionControl", "congestion_control"]

ALGORITHMS: Final[dict[str, Callable[[int, int], CongestionControl]]] = {
    Cubic.name: Cubic,
    NewReno.name: NewReno,
    Bbr.name: Bbr,
}


def congestion_control(name: str, mss: int, initial_segments: int) -> CongestionControl:
    """A new instance of the algorithm `name` for segments of `mss` octets. Raises ConfigurationError."""
    try:
        algorithm = ALGORITHMS[name]
    except KeyError:
        raise ConfigurationError(f"no congestion control {name!r}; there is {', '.join(ALGORITHMS)}") from None
    return algorithm(mss, initial_segments)
