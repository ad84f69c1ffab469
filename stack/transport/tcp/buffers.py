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
_COMPACT_AT: Final = 64
_NOBODYS: Final = Memory(0, Counters())  # where it does not count what is held


class SendBuffer:
    """Written and not yet acknowledged; offset 0 is the first unacknowledged octet (SND.UNA)."""

    __slots__ = ("_chunks", "_end", "_first", "_memory", "_start", "_starts")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._chunks: list[bytes] = []
        self._starts: list[int] = []  # of each chunk, in octets since the connection was opened
        self._first = 0  # index of the first chunk still needed
        self._start = 0
        self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    def append(self, data: Octets) -> None:
        """Add `data` at the end; mutable buffers are copied."""
        if not data:
            return
        chunks = self._chunks
        if len(chunks) > self._first and len(data) + len(chunks[-1]) <= _GATHER_BELOW:
            chunks[-1] += bytes(data)
        else:
            chunks.append(bytes(data))
            self._starts.append(self._end)
        self._end += len(data)
        self._memory.used += len(data)

    def peek(self, offset: int, length: int) -> Octets:
        """`length` octets from `offset`, without a copy where they lie in one chunk."""
        position = self._start + offset
        index = bisect_right(self._starts, position) - 1
        chunk = self._chunks[index]
        begin = position - self._starts[index]
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
        self._start += count
        self._memory.used -= count
        chunks, starts, first = self._chunks, self._starts, self._first
        while first < len(chunks) and starts[first] + len(chunks[first]) <= self._start:
            chunks[first] = b""
            first += 1
        if first == len(chunks) or first >= _COMPACT_AT:
            del chunks[:first], starts[:first]
            first = 0
        self._first = first

    def clear(self) -> None:
        """Forget everything."""
        self.drop(len(self))


class ReceiveBuffer:
    """Arrived in order and not yet read."""

    __slots__ = ("_chunks", "_memory", "_size")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, data: Octets) -> None:
        """Add a copy of `data`: it lies in a frame ring that is about to be used again."""
        chunks = self._chunks
        if chunks and len(data) + len(chunks[-1]) <= _GATHER_BELOW:
            chunks[-1] += bytes(data)
        else:
            chunks.append(bytes(data))
        self._size += len(data)
        self._memory.used += len(data)

    def read(self, limit: int) -> bytes:
        """Take up to `limit` octets."""
        chunks = self._chunks
        if len(chunks) == 1 and self._size <= limit:
            self._memory.used -= self._size
            self._size = 0
            return chunks.popleft()
        parts = []
        taken = 0
        while chunks and taken < limit:
            chunk = chunks.popleft()
            if taken + len(chunk) > limit:
                cut = limit - taken
                chunks.appendleft(chunk[cut:])
                chunk = chunk[:cut]
            parts.append(chunk)
            taken += len(chunk)
        self._size -= taken
        self._memory.used -= taken
        return b"".join(parts)

    def disown(self) -> None:
        """The connection is over: what can still be read is the application's, whether or not it ever reads it."""
        self._memory.used -= self._size
        self._memory = _NOBODYS

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._memory.used -= self._size
        self._size = 0
