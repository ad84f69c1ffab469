"""Octets that arrived ahead of a gap (RFC 9293 section 3.10.7.4, seventh).

A circular store, as large as the window, addressed by stream offset, and a sorted list of the ranges that it
holds. An octet that is held already is kept: the first arrival wins, so that a later forgery cannot change it. The
number of ranges is bounded: what an attacker can make us remember, and search, is bounded with it.
"""

from array import array
from bisect import bisect_left

from stack import fastpath
from stack.octets import Octets


class Reassembly:
    """The out-of-order store of one connection; it has memory only while it holds something."""

    __slots__ = ("_count", "_ranges", "_store")

    def __init__(self, ranges: int) -> None:
        self._ranges = array("Q", bytes(16 * ranges))
        self._store = bytearray()
        self._count = 0

    @property
    def size(self) -> int:
        """The octets that the store takes, whatever it holds."""
        return len(self._store)

    def reserve(self, window: int) -> None:
        """Make room for what lies within `window` octets from the lowest that is missing."""
        old = self._store
        if len(old) >= window:
            return
        self._store = bytearray(window)
        for start, end in self.ranges():
            octets = _circular(old, start, end)
            at = start % window
            head = octets[: window - at]
            self._store[at : at + len(head)] = head
            self._store[: len(octets) - len(head)] = octets[len(head) :]

    def insert(self, offset: int, payload: Octets) -> bool:
        """Keep `payload`, which lies at stream offset `offset`; False when it would make one range too many."""
        count = fastpath.reassemble(self._store, self._ranges, self._count, offset, payload)
        if count < 0:
            return False
        self._count = count
        return True

    def take(self, offset: int) -> bytes:
        """Remove and return what is held from `offset` on without a gap; b"" when there is nothing."""
        while self._count and self._ranges[1] <= offset:
            self._drop_first()
        if not self._count or self._ranges[0] > offset:
            return b""
        octets = _circular(self._store, offset, self._ranges[1])
        self._drop_first()
        return octets

    def range_at(self, offset: int) -> tuple[int, int] | None:
        """The range that holds the octet at `offset`, or begins or ends there."""
        ranges, size = self._ranges, 2 * self._count  # first, end, first, end ...: sorted, since none touch
        at = bisect_left(ranges, offset, 0, size)
        if at < size and (at & 1 or ranges[at] == offset):
            return ranges[at & ~1], ranges[at | 1]
        return None

    def __bool__(self) -> bool:
        return self._count > 0

    def ranges(self) -> list[tuple[int, int]]:
        """The stream offsets held: sorted pairs of first and one past the last."""
        return [(self._ranges[2 * i], self._ranges[2 * i + 1]) for i in range(self._count)]

    def _drop_first(self) -> None:
        count = self._count
        self._ranges[0 : 2 * count - 2] = self._ranges[2 : 2 * count]
        self._count = count - 1


def _circular(store: bytearray, start: int, end: int) -> bytes:
    """The octets [start, end) of the stream, which `store` holds."""
    size = len(store)
    first, last = start % size, (end - 1) % size + 1
    view = memoryview(store)
    return bytes(view[first:last]) if first < last else b"".join((view[first:], view[:last]))
