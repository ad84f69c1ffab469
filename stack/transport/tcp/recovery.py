"""Loss recovery: fast retransmit and fast recovery, NewReno (RFC 5681 3.2, RFC 6582), limited transmit (RFC 3042).

Recovery decides that a segment was lost and how much may be in flight meanwhile; the congestion control decides what
the loss means for the rate. `recover` keeps the losses of one window from counting twice.
"""

from typing import Final

from stack.clock import Instant
from stack.transport.tcp.congestion import AckSample, CongestionControl
from stack.transport.tcp.sequence import seq_lt

DUPLICATE_THRESHOLD: Final = 3


class Recovery:
    """The state of loss recovery of one connection."""

    __slots__ = ("active", "duplicates", "is_partial", "recover")

    def __init__(self, iss: int) -> None:
        self.duplicates = 0
        self.active = False
        self.is_partial = False  # a partial acknowledgment has arrived in this recovery
        self.recover = iss

    def allowance(self, mss: int) -> int:
        """Octets that may be sent beyond cwnd: limited transmit on the first two duplicate ACKs (RFC 3042)."""
        return 0 if self.active else min(self.duplicates, 2) * mss

    def on_duplicate(self, una: int, high: int, flight: int, congestion: CongestionControl, now: Instant) -> bool:
        """A duplicate ACK arrived; `high` is the highest sequence number sent. True: retransmit at SND.UNA now."""
        self.duplicates += 1
        if self.active:
            congestion.cwnd += congestion.mss  # a segment has left the network (RFC 5681 3.2 step 4)
            return False
        if self.duplicates != DUPLICATE_THRESHOLD or not seq_lt(self.recover, una):
            return False
        self.active = True
        self.is_partial = False
        self.recover = high
        congestion.on_loss(min(flight, congestion.cwnd), now)  # without what limited transmit has added (step 2)
        congestion.cwnd = congestion.ssthresh + DUPLICATE_THRESHOLD * congestion.mss
        return True

    def on_ack(
        self, acked: int, ack: int, before: int, after: int, congestion: CongestionControl, now: Instant
    ) -> bool:
        """`ack` acknowledges `acked` new octets; `before` and `after` are FlightSize. True: retransmit at SND.UNA."""
        self.duplicates = 0
        if not self.active:
            congestion.on_ack(AckSample(now, acked, before))
            return False
        mss = congestion.mss
        if seq_lt(ack, self.recover):  # a partial acknowledgment: the next hole (RFC 6582 3.2 step 3)
            congestion.cwnd = max(congestion.cwnd - acked, 0)
            if acked >= mss:
                congestion.cwnd += mss
            congestion.cwnd = max(congestion.cwnd, mss)
            return True
        self.active = False
        congestion.cwnd = min(congestion.ssthresh, max(after, mss) + mss)
        return False

    def restarts_timer(self, ack: int) -> bool:
        """Whether an acknowledgment restarts the retransmission timer: the first partial one does, no later one.

        This is the impatient variant of RFC 6582 3.2 step 3: many losses end in one timeout, not in a round trip each.
        """
        if not self.active or not seq_lt(ack, self.recover):
            return True
        was_partial, self.is_partial = self.is_partial, True
        return not was_partial

    def on_timeout(self, high: int) -> None:
        """Leave recovery, and do not enter it again for what was sent before (RFC 6582 3.2, RFC 6582 4)."""
        self.active = False
        self.duplicates = 0
        self.recover = high
