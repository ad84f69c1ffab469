"""Proportional rate reduction: cwnd while losses are repaired (RFC 9937).

What arrives lets out, in proportion, what brings the flight down to ssthresh by the end of a round trip; where losses
have brought it lower still, it grows back, by a segment for each acknowledgment that makes good progress.
"""


class ProportionalRateReduction:
    """The variables of RFC 9937 section 6, in octets."""

    __slots__ = ("_delivered", "_flight", "_out")

    def __init__(self) -> None:
        self._delivered = 0
        self._flight = 0  # RecoverFS
        self._out = 0

    def start(self, flight: int) -> None:
        """Recovery begins with `flight` octets in the network."""
        self._delivered = 0
        self._out = 0
        self._flight = max(flight, 1)

    def on_sent(self, octets: int) -> None:
        """`octets` were sent, new or again."""
        self._out += octets

    def window(self, delivered: int, pipe: int, ssthresh: int, mss: int, is_safe: bool) -> int:
        """cwnd after an acknowledgment that delivered `delivered` octets and leaves `pipe` in the network.

        `is_safe`: it advanced SND.UNA and told of no further loss (SafeACK).
        """
        self._delivered += delivered
        if pipe > ssthresh:
            count = -(-self._delivered * ssthresh // self._flight) - self._out
        else:
            count = max(self._delivered - self._out, delivered)
            if is_safe:
                count += mss
            count = min(count, ssthresh - pipe)
        if not self._out:
            count = max(count, mss)  # the fast retransmit itself
        return pipe + max(count, 0)
