"""Bodies of responses that are produced while they are sent."""

import os
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from stack.application.http.messages import BodyError

_PRINTABLE: Final = bytes(range(32, 127))
_PATTERN: Final = _PRINTABLE * 2760  # 262,200 octets


class Part(NamedTuple):
    """`size` octets of a file from `offset` on, with `lead` in front of them."""

    lead: bytes
    offset: int
    size: int


class FileBody:
    """Parts of an open file, one behind the other, and `tail`. The descriptor is the body's to close."""

    def __init__(self, descriptor: int, parts: Sequence[Part], tail: bytes = b"") -> None:
        self.length: int | None = sum(len(part.lead) + part.size for part in parts) + len(tail)
        self._descriptor = descriptor
        self._parts = list(reversed(parts))
        self._tail = tail

    def read(self, limit: int) -> bytes:
        """See Body. Raises BodyError when the file has become shorter, or cannot be read."""
        while self._parts:
            lead, offset, size = self._parts.pop()
            if lead:
                self._parts.append(Part(b"", offset, size))
                return lead
            if size:
                octets = self._pread(min(limit, size), offset)
                self._parts.append(Part(b"", offset + len(octets), size - len(octets)))
                return octets
        tail, self._tail = self._tail, b""
        return tail

    def close(self) -> None:
        """See Body."""
        os.close(self._descriptor)

    def _pread(self, size: int, offset: int) -> bytes:
        try:
            octets = os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise BodyError(f"the file cannot be read: {error.strerror}") from None
        if not octets:
            raise BodyError(f"the file ends at {offset}, {size} octets before it should")
        return octets


class PatternBody:
    """`length` printable octets, the same however they are read, that cost little to make: slices of one block."""

    def __init__(self, length: int) -> None:
        self.length: int | None = length
        self._end = length
        self._at = 0

    def read(self, limit: int) -> bytes:
        """See Body."""
        start = self._at % len(_PRINTABLE)
        octets = _PATTERN[start : start + min(limit, self._end - self._at)]
        self._at += len(octets)
        return octets

    def close(self) -> None:
        """See Body."""


class IteratorBody:
    """What an iterator gives, when nobody knows beforehand how much that is; empty items are skipped."""

    length: int | None = None

    def __init__(self, items: Iterator[bytes]) -> None:
        self._items = items
        self._rest = b""

    def read(self, limit: int) -> bytes:
        """See Body. Raises BodyError when the iterator raises."""
        while not self._rest:
            try:
                self._rest = next(self._items)
            except StopIteration:
                return b""
            except Exception as error:
                raise BodyError(f"{type(error).__name__}: {error}") from error
        octets, self._rest = self._rest[:limit], self._rest[limit:]
        return octets

    def close(self) -> None:
        """See Body; a generator gets its GeneratorExit."""
        close = getattr(self._items, "close", None)
        if close is not None:
            close()
