"""The octets that a connection holds for the network and for the application.

Both are chunk lists: what the application writes and what arrives is kept as it came, and cut only where it is
needed. Small writes are gathered, so that an application that writes octet by octet does not cost an object for
each of them.
"""

from bisect import bisect_right
from collections import deque
from typing import Final

from stack.counters import Counters
from stack.octets import Octets
from stack.transport.tcp.memory import Memory

_GATHER_BELOW: Final = 2048
_LARGE: Final = 16384
_COMPACT_AT: Final = 64
_NO_CHUNKS: Final[list[bytes]] = []  # of all buffers that are empty, as is the next; never changed
_NO_STARTS: Final[list[int]] = []
_NOBODYS: Final = Memory(0, Counters())  # where it does not count what is held


class SendBuffer:
    """Written and not yet acknowledged: the octets of the stream from offset `start` (SND.UNA) to `end`."""

    __slots__ = ("_chunks", "_first", "_memory", "_starts", "end", "start")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._chunks = _NO_CHUNKS
        self._starts = _NO_STARTS  # of each chunk, in octets since the connection was opened
        self._first = 0  # index of the first chunk still needed
        self.start = 0
        self.end = 0

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, data: Octets) -> None:
        """Add `data` at the end; mutable buffers are copied."""
        if not data:
            return
        chunks = self._chunks
        if not chunks:
            self._chunks = [bytes(data)]
            self._starts = [self.end]
        elif len(data) + len(chunks[-1]) <= _GATHER_BELOW:
            chunks[-1] += bytes(data)
        else:
            chunks.append(bytes(data))
            self._starts.append(self.end)
        self.end += len(data)
        self._memory.used += len(data)

    def peek(self, offset: int, length: int) -> Octets:
        """`length` octets from `offset` of the stream, without a copy where they lie in one chunk."""
        index = bisect_right(self._starts, offset) - 1
        chunk = self._chunks[index]
        begin = offset - self._starts[index]
        if begin + length <= len(chunk):
            return chunk if length == len(chunk) else memoryview(chunk)[begin : begin + length]
        parts = [memoryview(chunk)[begin:]]
        missing = length - len(parts[0])
        while missing:
            index += 1
            parts.append(memoryview(self._chunks[index])[:missing])
            missing -= len(parts[-1])
        return b"".join(parts)

    def drop(self, count: int) -> None:
        """Forget the first `count` octets: they are acknowledged."""
        self.start = start = self.start + count
        self._memory.used -= count
        chunks, starts, first = self._chunks, self._starts, self._first
        if start == self.end:
            self._chunks = _NO_CHUNKS
            self._starts = _NO_STARTS
            self._first = 0
            return
        while starts[first] + len(chunks[first]) <= start:
            chunks[first] = b""
            first += 1
        if first >= _COMPACT_AT:
            del chunks[:first], starts[:first]
            first = 0
        self._first = first

    def clear(self) -> None:
        """Forget everything."""
        self.drop(len(self))


class ReceiveBuffer:
    """Arrived in order and not yet read: `size` octets. Mostly that is one piece, which needs no list."""

    __slots__ = ("_at", "_first", "_memory", "_more", "size")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._first = b""
        self._at = 0  # so much of the first has been read
        self._more: deque[bytes] | None = None  # pieces behind the first, if there are any
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def append(self, data: Octets) -> None:
        """Add a copy of `data`: it lies in a frame ring that is about to be used again."""
        size, more = len(data), self._more
        if more is not None:
            if size + len(more[-1]) <= _GATHER_BELOW:
                more[-1] += bytes(data)
            else:
                more.append(bytes(data))
        elif not self.size:
            self._first = bytes(data)
        elif size + len(self._first) <= _GATHER_BELOW:
            self._first += bytes(data)
        else:
            self._more = deque((bytes(data),))
        self.size += size
        self._memory.used += size

    def read(self, limit: int) -> bytes:
        """Take up to `limit` octets: what came as one large piece alone, which spares a copy."""
        data = self._first
        if not self._at and len(data) <= limit and (self._more is None or len(data) >= _LARGE):
            self._next()
        else:
            parts: list[memoryview] = []
            left = limit
            while left and self._first and not (parts and len(self._first) >= _LARGE):
                parts.append(self._take(left))
                left -= len(parts[-1])
            data = b"".join(parts)
        self._has_left(len(data))
        return data

    def read_into(self, buffer: memoryview) -> int:
        """Take as many octets as there are, or `buffer` has room for, and copy them there; returns how many."""
        filled = 0
        while filled < len(buffer) and self._first:
            part = self._take(len(buffer) - filled)
            buffer[filled : filled + len(part)] = part
            filled += len(part)
        self._has_left(filled)
        return filled

    def _take(self, limit: int) -> memoryview:
        """Up to `limit` octets of the first piece."""
        first, at = memoryview(self._first), self._at
        if limit < len(first) - at:
            self._at = at + limit
            return first[at : at + limit]
        self._next()
        return first[at:]

    def _next(self) -> None:
        self._at = 0
        more = self._more
        if more is None:
            self._first = b""
            return
        self._first = more.popleft()
        if not more:
            self._more = None

    def _has_left(self, count: int) -> None:
        self._memory.used -= count
        self.size -= count

    def disown(self) -> None:
        """The connection is over: what can still be read is the application's, whether or not it ever reads it."""
        self._memory.used -= self.size
        self._memory = _NOBODYS

    def clear(self) -> None:
        """Forget everything."""
        self._first = b""
        self._at = 0
        self._more = None
        self._has_left(self.size)
