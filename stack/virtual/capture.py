"""The flight recorder: the latest frames of a host, kept in memory for whoever asks what just happened."""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stack.clock import Instant
from stack.fastpath.offload import on_the_wire
from stack.fastpath.ring import FrameRing

_LARGEST_BATCH: Final = 64 << 10  # bulk traffic is not what it is for
_HEADER: Final = struct.Struct("=qIHB?")  # instant, octets of the batch in all, frames, interface, whether received
_WORDS: Final = 16  # octets that tell of each frame: its start, its length, its GSO size, what is known of its checksum


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame, and when it passed in which direction."""

    instant: Instant
    received: bool
    port: int
    octets: bytes


class FlightRecorder:
    """An observer that keeps the latest batches of frames, in `capacity` octets; a batch costs one copy of its frames.

    The octets are one buffer, which is taken at once and written round and round: a header, what the frame ring says of
    each frame, the frames; and then the next batch, over the oldest. A batch never lies across the end.
    """

    def __init__(self, capacity: int = 4 << 20) -> None:
        self._buffer = bytearray(b"\0") * capacity  # written once, so that the process does not grow while it serves
        self._view = memoryview(self._buffer)
        self._first = 0  # where the oldest batch begins
        self._end = 0  # where the next one will
        self._count = 0
        self._top: int | None = None  # where the batches end that lie behind `_end`; None: there are none

    def observe(self, received: bool, port: int, frames: FrameRing, now: Instant) -> None:
        """See stack.host.Observer."""
        count, used = frames.count, frames.used
        words = (frames.starts[:count], frames.lengths[:count], frames.gso_sizes[:count], frames.checksums[:count])
        index = b"".join(words)
        size = _HEADER.size + len(index) + used
        if used > _LARGEST_BATCH or size > len(self._buffer):
            return
        frames.place_texts()
        at = self._make_room(size)
        text_at = at + _HEADER.size + len(index)
        _HEADER.pack_into(self._buffer, at, now, size, count, port, received)
        self._view[at + _HEADER.size : text_at] = index
        self._view[text_at : at + size] = frames.view[:used]

    def frames(self) -> Iterator[RecordedFrame]:
        """What is remembered, the oldest first; of a link with offload, what it makes of the frames."""
        at = self._first
        for _ in range(self._count):
            if at == self._top:
                at = 0
            now, size, count, port, received = _HEADER.unpack_from(self._buffer, at)
            text_at = at + _HEADER.size + _WORDS * count
            starts, lengths, gso_sizes, checksums = self._columns(at + _HEADER.size, count)
            for start, length, gso_size, checksum in zip(starts, lengths, gso_sizes, checksums, strict=True):
                frame = bytes(self._view[text_at + start : text_at + start + length])
                for octets in on_the_wire(frame, gso_size, checksum):
                    yield RecordedFrame(now, received, port, octets)
            at += size

    def _columns(self, at: int, count: int) -> "list[array[int]]":
        index = array("I", bytes(self._view[at : at + _WORDS * count]))
        return [index[column * count : (column + 1) * count] for column in range(4)]

    def _make_room(self, size: int) -> int:
        """Where `size` octets can be written; what was there is forgotten."""
        if self._end + size > len(self._buffer):
            while self._count and self._first >= self._end:
                self._forget_oldest()
            self._top, self._end = self._end, 0
        at = self._end
        while self._count and at <= self._first < at + size:
            self._forget_oldest()
        self._end = at + size
        if not self._count:
            self._first = at
            self._top = None
        self._count += 1
        return at

    def _forget_oldest(self) -> None:
        self._first += _HEADER.unpack_from(self._buffer, self._first)[1]
        self._count -= 1
        if self._first == self._top:
            self._first = 0
            self._top = None
