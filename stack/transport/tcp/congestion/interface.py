"""What congestion control asks and is told; the algorithms stand beside this file, one each.

The sender asks for `cwnd` and `pacing_rate` and tells what happened; loss recovery (recovery.py) decides when that
was a loss, and how cwnd moves while it is repaired (RFC 9937). All sizes are in octets, rates in octets a second.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from stack.clock import Duration, Instant


@dataclass(slots=True)
class AckSample:
    """What one acknowledgment has told; a sender has one of these, and writes it anew for each.

    Stream offsets count the octets since the SYN and never wrap. `delivered` and what depends on it are those of
    draft-cheng-iccrg-delivery-rate-estimation: a segment is delivered when it is acknowledged, selectively or not.
    """

    now: Instant = 0
    acked: int = 0  # octets that are new in it and cumulatively acknowledged: what cwnd grows by (RFC 5681 3.1)
    newly_delivered: int = 0  # octets that are new in it, selectively acknowledged or not
    flight: int = 0  # octets in the network before it and before `lost` were lost (the pipe of RFC 6675)
    is_cwnd_limited: bool = False  # cwnd was used up when what it acknowledges was sent (RFC 7661 4.1)
    una: int = 0  # stream offset of SND.UNA, after it
    nxt: int = 0  # stream offset of SND.NXT
    rtt: Duration | None = None  # of the segment acknowledged last, None where it is not known
    delivered: int = 0  # octets delivered since the connection was opened
    prior_delivered: int = 0  # the same at the time when the newest segment that this acknowledges was sent
    delivery_rate: int = 0  # octets a second, from the two; 0: not known
    is_app_limited: bool = False  # the application, not the network, bounded that rate
    lost: int = 0  # octets declared lost since the last sample, by it or by RACK's timer before it
    in_recovery: bool = False  # loss recovery was going on before it, or is after it
    is_paced: bool = False  # segments are spread over the round trip


UNLIMITED: Final = 1 << 30  # "arbitrarily high" (RFC 5681 3.1): the largest window that can be advertised


def initial_window(mss: int, segments: int) -> int:
    """IW of RFC 6928 (1): min(10 * MSS, max(2 * MSS, 14600)), for `segments` = 10."""
    return min(segments * mss, max(2 * mss, 14600))


class CongestionControl:
    """An algorithm. `cwnd` and `ssthresh` are read, and `cwnd` is written by loss recovery while that lasts."""

    name: ClassVar[str]
    owns_recovery: ClassVar[bool]  # on_ack() is called in recovery, too, and loss recovery leaves cwnd alone
    __slots__ = ("cwnd", "initial_window", "mss", "pacing_rate", "ssthresh")

    def __init__(self, mss: int, initial_segments: int) -> None:
        self.mss = mss
        self.initial_window = initial_window(mss, initial_segments)  # and the restart window; less once it was too much
        self.cwnd = self.initial_window
        self.ssthresh = UNLIMITED
        self.pacing_rate = 0  # octets a second; 0: as fast as cwnd allows

    def on_ack(self, sample: AckSample) -> None:
        """Something new is acknowledged, outside of recovery unless owns_recovery."""
        raise NotImplementedError

    def on_loss(self, flight: int, now: Instant) -> None:
        """Loss recovery begins."""
        raise NotImplementedError

    def on_congestion_echo(self, flight: int, now: Instant) -> None:
        """An ECN echo says that a router would rather have dropped something (RFC 3168 6.1.2)."""
        raise NotImplementedError

    def on_timeout(self, flight: int, now: Instant) -> None:
        """The retransmission timer has fired for the first time since something new was acknowledged."""
        raise NotImplementedError

    def on_idle(self, idle: Duration, now: Instant) -> None:
        """Sending starts again after `idle`, more than one RTO (RFC 5681 4.1)."""
        raise NotImplementedError

    def undo(self, now: Instant) -> None:
        """What on_loss() or on_timeout() was told last was not true: nothing had been lost (RFC 4015, RFC 5682).

        cwnd is what it was before; unless owns_recovery, loss recovery keeps that from becoming a burst.
        """
        raise NotImplementedError
