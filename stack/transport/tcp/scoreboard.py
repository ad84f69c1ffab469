"""What was sent and is not yet acknowledged: the scoreboard of RFC 6675, with the send times of RFC 8985.

Theory. The octets from SND.UNA to SND.NXT are a row of records: one for each run of octets that were sent at the same
time, whatever the number of segments, so that a super-frame costs one. An acknowledgment cuts records where its edges
lie. A record is in flight, selectively acknowledged, or lost; one that is lost and sent again is in flight again.

The row is sorted by offset, for SACK blocks. Those in flight are also linked in the order in which they were sent
last, which is the order in which RACK finds them lost, and those lost wait in a heap for their turn to be sent again,
lowest first. Neighbours that are selectively acknowledged become one record, so that a block which covers what is
known costs one step. Each step of an acknowledgment is O(log n) or pays for a record that it removes.

Offsets count octets of the stream from ISS + 1 on and never wrap; the FIN is one octet behind the last.
"""

from bisect import bisect_right
from collections.abc import Iterable
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final

from stack.clock import Instant
from stack.transport.tcp.sent import Delivered, Fate, Sent

_COMPACT_AT: Final = 64
_START = attrgetter("start")
_NOTHING: Final[list[Sent]] = []  # for all whom nothing is outstanding; never changed
_NOBODY: Final[list[tuple[int, int, Sent]]] = []  # likewise: who waits


_IN_FLIGHT: Final = Fate.IN_FLIGHT
_SACKED: Final = Fate.SACKED
_LOST: Final = Fate.LOST


class Scoreboard:
    """The records of one connection. `fragments` bounds them, whatever a peer acknowledges selectively."""

    __slots__ = (
        "_first", "_fragments", "_lost_heap", "_records", "_waits", "delivered", "end", "highest", "lost", "newest",
        "oldest", "relost_at", "sacked", "una",
    )  # fmt: skip

    def __init__(self, fragments: int, delivered: Delivered) -> None:
        self._fragments = fragments
        self._records = _NOTHING
        self._first = 0
        self._lost_heap = _NOBODY  # by offset, then by age, which only breaks ties
        self._waits = 0
        self.una = 0
        self.end = 0  # one past the last octet sent
        self.highest = 0  # one past the highest octet delivered
        self.relost_at: Instant = -1  # when that was sent which was lost although it had been sent again
        self.sacked = 0  # octets
        self.lost = 0  # octets that are lost and not sent again yet
        self.oldest: Sent | None = None  # of those in flight, in the order of sending
        self.newest: Sent | None = None
        self.delivered = delivered

    def start_at(self, offset: int) -> None:
        """Everything before `offset` was sent and acknowledged."""
        self.una = self.end = self.highest = offset

    @property
    def pipe(self) -> int:
        """Octets in the network, as far as is known (RFC 6675 section 2)."""
        return self.end - self.una - self.sacked - self.lost

    @property
    def first(self) -> Sent | None:
        """The record at SND.UNA."""
        return self._records[self._first] if self._first < len(self._records) else None

    @property
    def first_lost(self) -> Sent | None:
        """The lowest record that is lost and waits to be sent again."""
        heap = self._lost_heap
        while heap:
            start, _, record = heap[0]
            if record.fate is _LOST and record.start == start:
                return record
            heappop(heap)
            if record.fate is _LOST and record.start > start and record.end > self.una:
                self._await(record)  # its front was acknowledged meanwhile
        return None

    def records(self) -> Iterable[Sent]:
        """All of them, by offset."""
        return self._records[self._first :]

    # Sending

    def on_sent(self, length: int, now: Instant) -> Sent:
        """`length` octets were sent for the first time."""
        start = self.end
        self.end += length
        newest = self.newest
        if newest is not None and newest.sent_at == now and newest.end == start and not newest.retransmitted:
            newest.end = self.end
            return newest
        record = Sent(start, self.end, now)
        if self._records:
            self._records.append(record)
        else:
            self._records = [record]
        self._link(record)
        return record

    def on_retransmitted(self, record: Sent, length: int, now: Instant) -> Sent:
        """The first `length` octets of `record` were sent again; returns the record of just those."""
        if length < record.end - record.start:
            self._split(record, record.start + length)
        if record.fate is _LOST:
            self.lost -= record.end - record.start
        else:
            self._unlink(record)
        record.fate = _IN_FLIGHT
        record.retransmitted += 1
        record.sent_at = now
        self._link(record)
        return record

    def tail(self, size: int) -> tuple[Sent, int]:
        """The last `size` octets that were sent, or fewer, as a record; and how many they are."""
        record = self._records[-1]
        if record.end - record.start > size:
            record = self._split(record, record.end - size, len(self._records) - 1)
        return record, record.end - record.start

    # What arrives

    def on_ack(self, una: int) -> None:
        """Everything below `una` is acknowledged."""
        records, first = self._records, self._first
        while first < len(records):
            record = records[first]
            if record.start >= una:
                break
            end = min(record.end, una)
            size = end - record.start
            fate = record.fate
            if fate is _SACKED:
                self.sacked -= size
            else:
                if fate is _LOST:
                    self.lost -= size
                self.delivered.add(record, size, end)
            if record.end > una:
                record.start = una
                break
            if fate is _IN_FLIGHT:
                self._unlink(record)
            record.fate = _SACKED  # so that the heap of those lost forgets it
            first += 1
        if first == len(records):
            self._records = _NOTHING
            first = 0
        elif first >= _COMPACT_AT:
            del records[:first]
            first = 0
        self._first = first
        self.una = una
        if una > self.highest:
            self.highest = una

    def newest_in_order(self, una: int) -> Sent | None:
        """The last record with octets below `una`, if nothing is missing and all below `una` was sent just once."""
        if self.sacked or self.lost or self.highest != self.una or una > self.end:
            return None
        records, index = self._records, self._first
        while (record := records[index]).end < una:
            if record.retransmitted:
                return None
            index += 1
        return None if record.retransmitted else record

    def on_ack_in_order(self, una: int) -> None:
        """Everything below `una` is acknowledged, where newest_in_order() has found a record; `delivered` stays."""
        records, first = self._records, self._first
        self.una = self.highest = una
        if una == self.end:
            self._records = _NOTHING
            self._first = 0
            self.oldest = self.newest = None
            return
        while (record := records[first]).end <= una:
            self._unlink(record)
            first += 1
        record.start = max(record.start, una)
        if first >= _COMPACT_AT:
            del records[:first]
            first = 0
        self._first = first

    def on_sack(self, start: int, end: int) -> None:
        """[start, end) is selectively acknowledged; it lies between SND.UNA and what was sent."""
        records = self._records
        index = max(bisect_right(records, start, lo=self._first, key=_START) - 1, self._first)
        while index < len(records) and (record := records[index]).start < end:
            if record.end <= start or record.fate is _SACKED:
                index += 1
                continue
            cuts = (record.start < start) + (record.end > end)
            if cuts and len(records) - self._first + cuts > self._fragments:
                return
            if record.end > end:
                self._split(record, end, index)
            if record.start < start:
                record = self._split(record, start, index)
                index += 1
            self._deliver(record)
            index = self._join(index) + 1

    def _deliver(self, record: Sent) -> None:
        size = record.end - record.start
        if record.fate is _LOST:
            self.lost -= size
        else:
            self._unlink(record)
        record.fate = _SACKED
        self.sacked += size
        self.highest = max(self.highest, record.end)
        delivered = self.delivered
        delivered.sacked += size
        delivered.add(record, size, record.end)

    # Loss

    def mark_lost(self, record: Sent) -> None:
        """`record`, which was in flight, is taken for lost."""
        self._unlink(record)
        record.fate = _LOST
        if record.retransmitted:
            self.relost_at = max(self.relost_at, record.sent_at)
        self.lost += record.end - record.start
        self._await(record)

    def mark_all_lost(self) -> None:
        """Nothing that is in flight arrives any more."""
        while self.oldest is not None:
            self.mark_lost(self.oldest)

    def unmark_lost(self) -> None:
        """What was taken for lost and not sent again is in flight after all."""
        waiting = sorted((record for _, _, record in self._lost_heap if record.fate is _LOST), key=_START, reverse=True)
        self._lost_heap = _NOBODY
        for record in waiting:
            if record.fate is _LOST:
                record.fate = _IN_FLIGHT
                self._link(record, oldest=True)
        self.lost = 0

    def forget_sacks(self) -> None:
        """The receiver has thrown away what it had acknowledged selectively (RFC 2018 section 8)."""
        for record in self._records[self._first :]:
            if record.fate is _SACKED:
                record.fate = _LOST
                self.lost += record.end - record.start
                self._await(record)
        self.sacked = 0

    # The structure

    def _await(self, record: Sent) -> None:
        """`record` waits for its turn to be sent again."""
        self._waits += 1
        if self._lost_heap:
            heappush(self._lost_heap, (record.start, self._waits, record))
        else:
            self._lost_heap = [(record.start, self._waits, record)]

    def _split(self, record: Sent, at: int, index: int | None = None) -> Sent:
        """Cut `record` at offset `at`; returns the new record, which is its upper part."""
        upper = Sent(at, record.end, record.sent_at)
        record.end = at
        upper.fate = record.fate
        upper.retransmitted = record.retransmitted
        upper.delivered = record.delivered
        upper.delivered_at = record.delivered_at
        upper.first_sent_at = record.first_sent_at
        upper.is_app_limited = record.is_app_limited
        if index is None:
            index = bisect_right(self._records, record.start, lo=self._first, key=_START) - 1
        self._records.insert(index + 1, upper)
        if upper.fate is _LOST:
            self._await(upper)
        elif upper.fate is _IN_FLIGHT:
            self._link_behind(record, upper)
        return upper

    def _join(self, index: int) -> int:
        """Make one record of the one at `index` and of neighbours, all SACKED; returns where it is."""
        records = self._records
        record = records[index]
        if index + 1 < len(records) and records[index + 1].fate is _SACKED:
            record.end = records[index + 1].end
            del records[index + 1]
        if index > self._first and records[index - 1].fate is _SACKED:
            record.start = records[index - 1].start
            del records[index - 1]
            index -= 1
        return index

    def _link(self, record: Sent, oldest: bool = False) -> None:
        if oldest:
            record.older, record.newer = None, self.oldest
            if self.oldest is not None:
                self.oldest.older = record
            else:
                self.newest = record
            self.oldest = record
            return
        record.older, record.newer = self.newest, None
        if self.newest is not None:
            self.newest.newer = record
        else:
            self.oldest = record
        self.newest = record

    def _link_behind(self, record: Sent, upper: Sent) -> None:
        upper.older, upper.newer = record, record.newer
        if record.newer is not None:
            record.newer.older = upper
        else:
            self.newest = upper
        record.newer = upper

    def _unlink(self, record: Sent) -> None:
        if record.older is not None:
            record.older.newer = record.newer
        else:
            self.oldest = record.newer
        if record.newer is not None:
            record.newer.older = record.older
        else:
            self.newest = record.older
        record.older = record.newer = None
