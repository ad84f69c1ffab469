"""The receive half of a connection: RCV.NXT, the window that is offered, and what waits for a gap to close.

Theory of the window. What has once been offered is never taken back (RFC 9293 3.8.6.2.1), so the receiver remembers
the right edge that the peer was told, and accepts everything below it. The edge is moved up only in steps worth a
segment (silly window avoidance, 3.8.6.2.2). With window scaling an edge that is no multiple of the scale away from
RCV.NXT must be rounded: rounding down would take octets back, so it is rounded up, and the buffer has a little slack
for that (RFC 7323 2.4). Only when tiny segments have used up the slack, because nobody reads, it is rounded down.
"""

from stack.config import TcpConfig
from stack.octets import Octets
from stack.transport.tcp.buffers import ReceiveBuffer
from stack.transport.tcp.reassembly import Reassembly
from stack.transport.tcp.sequence import MASK, seq_diff, seq_lt

_MAXIMUM_FIELD = 0xFFFF


class Receiver:
    """RCV.* of RFC 9293 section 3.3.1; sequence numbers modulo 2**32, everything else in octets.

    `edge` is the highest right edge offered so far, `delivered` counts the octets received in order since the SYN,
    `fin_at` is the sequence number of the peer's FIN once it is known.
    """

    __slots__ = (
        "_ranges",
        "_reassembly",
        "_slack",
        "ack_due",
        "acked",
        "buffer",
        "capacity",
        "delivered",
        "edge",
        "fin_at",
        "has_finished",
        "irs",
        "mss",
        "nxt",
        "segment_size",
        "shift",
    )

    def __init__(self, config: TcpConfig, mss: int) -> None:
        self.capacity = config.receive_buffer
        self.mss = mss  # what we announced
        self.shift = window_shift(config.receive_buffer) if config.window_scaling else 0
        self._slack = (self.capacity >> 4) + (1 << self.shift)
        self._ranges = config.out_of_order_ranges
        self._reassembly: Reassembly | None = None
        self.buffer = ReceiveBuffer()
        self.segment_size = 0  # the largest segment seen: what "full-sized" means for delayed ACKs
        self.irs = 0
        self.nxt = 0
        self.acked = 0  # the RCV.NXT that our last segment carried (Last.ACK.sent of RFC 7323)
        self.edge = 0
        self.delivered = 0
        self.fin_at: int | None = None
        self.has_finished = False  # the FIN has been processed: nothing more can come
        self.ack_due = 0  # octets received since the last acknowledgment was sent

    def start(self, irs: int) -> None:
        """The peer's SYN has sequence number `irs`."""
        self.irs = irs
        self.nxt = self.acked = (irs + 1) & MASK
        self.edge = self.nxt
        self.initial_window_field()  # which our SYN has offered, or our SYN-ACK is about to

    @property
    def window(self) -> int:
        """RCV.WND: how far the offered right edge lies beyond RCV.NXT."""
        return (self.edge - self.nxt) & MASK

    def initial_window_field(self) -> int:
        """The window of a SYN, which is never scaled (RFC 7323 2.2)."""
        window = min(self.capacity, _MAXIMUM_FIELD)
        self._offer(window)
        return window

    def window_field(self) -> int:
        """The window field for a segment that is sent now; offering it moves the edge."""
        field = self._field()
        self._offer(field << self.shift)
        return field

    def wants_to_update(self) -> bool:
        """Whether the application has read enough for a window update of its own to be worth sending."""
        gain = (self._field() << self.shift) - self.window
        return gain >= min(self.capacity // 2, 2 * self.mss) or (gain > 0 and self.window < self.mss)

    def insert(self, seq: int, payload: Octets) -> bool:
        """Keep octets that arrived ahead of RCV.NXT; False when there are too many holes already."""
        if self._reassembly is None:
            room = self.capacity + self._slack + _MAXIMUM_FIELD
            self._reassembly = Reassembly(room, self._ranges)
        return self._reassembly.insert(self.delivered + seq_diff(seq, self.nxt), payload)

    def accept(self, payload: Octets) -> int:
        """Take octets that lie at RCV.NXT, and what they join up with; returns by how much RCV.NXT moved."""
        self.buffer.append(payload)
        moved = len(payload)
        self.delivered += moved
        if self._reassembly is not None:
            more = self._reassembly.take(self.delivered)
            if more:
                self.buffer.append(more)
                self.delivered += len(more)
                moved += len(more)
            if not self._reassembly.ranges():
                self._reassembly = None
        self.nxt = (self.nxt + moved) & MASK
        return moved

    def finish(self) -> None:
        """Take the FIN, which stands at RCV.NXT."""
        self.nxt = (self.nxt + 1) & MASK
        self._offer(0)
        self.has_finished = True

    @property
    def has_gap(self) -> bool:
        """Whether something waits for a gap to close."""
        return self._reassembly is not None

    def discard(self) -> None:
        """Forget everything that was received."""
        self.buffer.clear()
        self._reassembly = None

    def _field(self) -> int:
        window = self.window
        free = max(self.capacity - len(self.buffer), 0)
        if free - window >= min(self.capacity // 2, self.mss):
            window = free
        scale = 1 << self.shift
        field = (window + scale - 1) >> self.shift
        if field << self.shift > free + self._slack:
            field = window >> self.shift
        return min(field, _MAXIMUM_FIELD)

    def _offer(self, window: int) -> None:
        edge = (self.nxt + window) & MASK
        if seq_lt(self.edge, edge):
            self.edge = edge


def window_shift(capacity: int) -> int:
    """The window scale with which `capacity` octets can be offered (RFC 7323 2.3: at most 14)."""
    return min(max((capacity - 1).bit_length() - 16, 0), 14)
