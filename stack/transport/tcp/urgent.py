"""The urgent mechanism (RFC 9293 3.8.5), as RFC 6093 asks for it: urgent octets stay in line with all others.

A pointer says up to where the stream is urgent: to the octet after the last urgent one (MUST-62). The sender puts it
into every segment that begins before that; the receiver tells its user when one arrives, and when it advances.
"""

from typing import TYPE_CHECKING, Final

from stack.events import URGENT
from stack.transport.tcp.sequence import MASK, seq_diff, seq_lt
from stack.transport.tcp.states import State

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection
    from stack.wire.tcp import Segment

_HEEDING: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})
_MOST: Final = 0xFFFF  # a pointer further ahead is said in pieces (MUST-31: any length)


class Urgency:
    """SND.UP and RCV.UP: sequence numbers behind the urgent octets, sent and received; None: nothing is urgent."""

    __slots__ = ("_received", "_sent")

    def __init__(self) -> None:
        self._sent: int | None = None
        self._received: int | None = None

    def on_write(self, end: int) -> None:
        """Everything before sequence number `end` is urgent."""
        self._sent = end

    def pointer(self, seq: int, una: int) -> int:
        """The urgent pointer of a segment that begins at `seq`; 0: it has none. SND.UNA is `una`."""
        if self._sent is None:
            return 0
        if not seq_lt(una, self._sent):
            self._sent = None  # all of it has arrived
            return 0
        return min(max(seq_diff(self._sent, seq), 0), _MOST)

    def on_pointer(self, up: int, unread: int) -> bool:
        """A segment points at `up`, and the user reads `unread` next; whether he is to be told."""
        if seq_diff(up, unread) <= self.left(unread):
            return False
        self._received = up
        return True

    def on_read(self, unread: int) -> None:
        """The user reads `unread` next."""
        if not self.left(unread):
            self._received = None

    def left(self, unread: int) -> int:
        """How many octets, from `unread` on, lie before the end of the urgent ones."""
        return 0 if self._received is None else max(seq_diff(self._received, unread), 0)


def on_urgent_segment(connection: "Connection", seg: "Segment") -> None:
    """Sixth, check the URG bit (RFC 9293 3.10.7.4): RCV.UP <- max(RCV.UP, SEG.UP), and signal the user."""
    if connection.state in _HEEDING:
        if connection.urgency is None:
            connection.urgency = Urgency()
        if connection.urgency.on_pointer((seg.seq + seg.urgent) & MASK, connection.receiver.unread):
            connection.post(URGENT)
