"""The receive half of a connection: RCV.NXT, the window that is offered, and what waits for a gap to close.

Theory of the window. What has once been offered is never taken back (RFC 9293 3.8.6.2.1), so the receiver remembers
the right edge that the peer was told, and accepts everything below it. The edge is moved up only in steps worth a
segment (silly window avoidance, 3.8.6.2.2). With window scaling an edge that is no multiple of the scale away from
RCV.NXT must be rounded: rounding down would take octets back, so it is rounded up, and the buffer has a little slack
for that (RFC 7323 2.4). Only when tiny segments have used up the slack, because nobody reads, it is rounded down.
"""

from typing import Final

from stack.clock import Duration, Instant
from stack.config import TcpConfig
from stack.octets import Octets
from stack.transport.tcp.buffers import ReceiveBuffer
from stack.transport.tcp.memory import RESERVE, Memory
from stack.transport.tcp.reassembly import Reassembly
from stack.transport.tcp.sequence import MASK, seq_diff
from stack.wire import tcp_options
from stack.wire.tcp_options import TcpOptions

_MAXIMUM_FIELD: Final = 0xFFFF
_SACK_LEAD: Final = 4  # octets: two NOPs, kind and length
_SACK_BLOCK: Final = 8
_NONE: Final[list[int]] = []  # for all who miss nothing; never changed
_REMEMBERED: Final = 6  # ranges; more than a SACK option has blocks, since gaps close


class Receiver:
    """RCV.* of RFC 9293 section 3.3.1; sequence numbers modulo 2**32, everything else in octets.

    `edge` is the highest right edge offered so far, `delivered` counts the octets received in order since the SYN,
    `fin_at` is the sequence number of the peer's FIN once it is known.
    """

    __slots__ = (
        "_duplicate",
        "_memory",
        "_most",
        "_ranges",
        "_read",
        "_read_before",
        "_reassembly",
        "_recent",
        "_round_at",
        "_slack",
        "ack_due",
        "acked",
        "buffer",
        "capacity",
        "delivered",
        "echoes_congestion",
        "edge",
        "fin_at",
        "has_finished",
        "irs",
        "mss",
        "nxt",
        "segment_size",
        "shift",
    )

    def __init__(self, config: TcpConfig, mss: int, memory: Memory) -> None:
        self._memory = memory
        self.capacity = initial_capacity(config)
        self._most = config.receive_buffer
        self._read = 0  # octets read by the application since
        self._read_before = 0  # and in the round trip before that
        self._round_at: Instant = 0
        self.mss = mss  # what we announced
        self.shift = window_shift(config.receive_buffer) if config.window_scaling else 0
        self._slack = (self.capacity >> 4) + (1 << self.shift)
        self._ranges = config.out_of_order_ranges
        self._reassembly: Reassembly | None = None
        self._recent = _NONE  # an offset of each range that something was added to lately, the newest first
        self._duplicate: tuple[int, int] | None = None  # the sequence numbers that came again, to be told (RFC 2883)
        self.buffer = ReceiveBuffer(memory)
        self.segment_size = 0  # the largest segment seen: what "full-sized" means for delayed ACKs
        self.irs = 0
        self.nxt = 0
        self.acked = 0  # the RCV.NXT that our last segment carried (Last.ACK.sent of RFC 7323)
        self.edge = 0
        self.delivered = 0
        self.fin_at: int | None = None
        self.has_finished = False  # the FIN has been processed: nothing more can come
        self.echoes_congestion = False  # a segment came with CE, and the peer has not said CWR yet (RFC 3168 6.1.3)
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

    @property
    def unread(self) -> int:
        """The sequence number of the octet that the user reads next."""
        return (self.nxt - self.has_finished - len(self.buffer)) & MASK

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
        window = (self.edge - self.nxt) & MASK
        worth = min(self.capacity // 2, 2 * self.mss)
        if window >= self.mss and self.capacity - self.buffer.size + (1 << self.shift) - window < worth:
            return False
        gain = (self._field() << self.shift) - window
        return gain >= worth or (gain > 0 and window < self.mss)

    def on_read(self, octets: int, rtt: Duration, now: Instant) -> None:
        """The application has read `octets`; grow so that what it reads in a round trip fills half of the buffer.

        The other half is for the sender to double its rate with (dynamic right-sizing, Fisk and Feng 2001). What was
        read tells of the round trip before this one: while it still grows, the sender is a doubling further.
        """
        self._read += octets
        if now - self._round_at >= rtt:
            if self.capacity < self._most and not self._memory.is_tight:
                times = 4 if 4 * self._read > 5 * self._read_before else 2
                self.capacity = max(self.capacity, min(times * self._read, self._most))
                self._slack = (self.capacity >> 4) + (1 << self.shift)
            self._read_before, self._read = self._read, 0
            self._round_at = now

    def note_segment(self, size: int) -> None:
        """A segment carried `size` octets of text."""
        if size > self.segment_size:
            self.segment_size = min(size, self.mss)

    def insert(self, seq: int, payload: Octets) -> bool:
        """Keep octets that arrived ahead of RCV.NXT; False when there are too many holes, or is too little memory."""
        reassembly = self._reserve(self.capacity + self._slack + _MAXIMUM_FIELD)
        if reassembly is None:
            return False
        offset = self.delivered + seq_diff(seq, self.nxt)
        held = reassembly.range_at(offset)
        if held is not None and offset < held[1]:
            self.note_duplicate(seq, min(held[1] - offset, len(payload)))
        if not reassembly.insert(offset, payload):
            return False
        held = reassembly.range_at(offset)
        if held is not None:  # one of each range, or the last segments of one would be all that is remembered
            first, end = held
            self._recent = [offset, *[each for each in self._recent if not first <= each < end][: _REMEMBERED - 1]]
        return True

    def note_duplicate(self, seq: int, length: int) -> None:
        """`length` octets from `seq` on have arrived once more; the next acknowledgment tells (RFC 2883 4)."""
        self._duplicate = (seq, (seq + length) & MASK)

    @property
    def is_waiting(self) -> bool:
        """Whether a gap, a duplicate or a FIN waits for something."""
        return self._reassembly is not None or self._duplicate is not None or self.fin_at is not None

    @property
    def has_news(self) -> bool:
        """Whether an acknowledgment has something to say in a SACK option."""
        return self._reassembly is not None or self._duplicate is not None

    def sack_length(self, room: int) -> int:
        """How long sack_option() may be."""
        if not self.has_news:
            return 0
        blocks = (self._duplicate is not None) + len(self._recent)
        return min(blocks, (room - _SACK_LEAD) // _SACK_BLOCK) * _SACK_BLOCK + _SACK_LEAD

    def sack_option(self, room: int) -> bytes:
        """The option, padded, in at most `room` octets: first what came last (RFC 2018 4, RFC 2883 4)."""
        blocks = [] if self._duplicate is None else [self._duplicate]
        self._duplicate = None
        most = (room - _SACK_LEAD) // _SACK_BLOCK
        if self._reassembly is not None:
            for offset in self._recent:
                if len(blocks) == most:
                    break
                held = self._reassembly.range_at(offset)
                if held is not None:
                    blocks.append((self._seq_at(held[0]), self._seq_at(held[1])))
        return tcp_options.build(TcpOptions(sack_blocks=tuple(blocks[:most])))

    def _seq_at(self, offset: int) -> int:
        return (self.nxt + offset - self.delivered) & MASK

    def on_ecn(self, is_reduced: bool, is_marked: bool) -> None:
        """The peer says that it has reduced its window (CWR); its segment came with CE."""
        if is_reduced:
            self.echoes_congestion = False
        if is_marked:
            self.echoes_congestion = True

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
            if not self._reassembly:
                self.drop_out_of_order()
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
        """Forget everything that was received, a FIN too."""
        self.buffer.clear()
        self.drop_out_of_order()
        self.has_finished = False

    def drop_out_of_order(self) -> None:
        """Forget what waits for a gap to close."""
        if self._reassembly is not None:
            self._memory.close_gap(self, self._reassembly.size)
            self._reassembly = None
            self._recent = _NONE

    def fitting(self, length: int) -> int:
        """How many of `length` octets at RCV.NXT the host has room for."""
        memory = self._memory
        if memory.used + length <= memory.limit or memory.make_room(length):
            return length
        return min(memory.room(len(self.buffer)), length)

    def _reserve(self, window: int) -> Reassembly | None:
        reassembly = self._reassembly
        missing = window - (0 if reassembly is None else reassembly.size)
        if missing <= 0:
            return reassembly
        if not self._memory.make_room(missing):
            return None
        if self._reassembly is None:  # or was the first to make room
            self._reassembly = Reassembly(self._ranges)
            missing = window
        self._memory.hold_gap(self, missing)
        self._reassembly.reserve(window)
        return self._reassembly

    def _field(self) -> int:
        window = (self.edge - self.nxt) & MASK
        capacity, shift, memory = self.capacity, self.shift, self._memory
        free = max(capacity - self.buffer.size, 0)
        if memory.is_tight:
            free = min(free, max(window, RESERVE - self.buffer.size))
        if free - window >= min(capacity // 2, self.mss):
            window = free
        field = (window + (1 << shift) - 1) >> shift
        if field << shift > free + self._slack:
            field = window >> shift
        return field if field < _MAXIMUM_FIELD else _MAXIMUM_FIELD

    def _offer(self, window: int) -> None:
        edge = (self.nxt + window) & MASK
        if (self.edge - edge) & MASK > MASK >> 1:  # seq_lt
            self.edge = edge


def initial_capacity(config: TcpConfig) -> int:
    """How many octets a connection takes at first, before anybody has read any."""
    return min(config.initial_receive_buffer, config.receive_buffer)


def window_shift(capacity: int) -> int:
    """The window scale with which `capacity` octets can be offered (RFC 7323 2.3: at most 14)."""
    return min(max((capacity - 1).bit_length() - 16, 0), 14)
