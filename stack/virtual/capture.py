"""The flight recorder: the latest frames of a host, kept in memory for whoever asks what just happened."""

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stack.clock import Instant
from stack.fastpath.offload import on_the_wire
from stack.fastpath.ring import FrameRing

_LARGEST_BATCH: Final = 64 << 10  # bulk traffic is not what it is for


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame, and when it passed in which direction."""

    instant: Instant
    received: bool
    port: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class _Batch:
    instant: Instant
    received: bool
    port: int
    octets: bytes
    starts: "array[int]"
    lengths: "array[int]"
    gso_sizes: "array[int]"
    checksums: "array[int]"


class FlightRecorder:
    """An observer that keeps up to `capacity` octets of batches; a batch costs one copy, whatever is in it."""

    def __init__(self, capacity: int = 4 << 20) -> None:
        self._capacity = capacity
        self._batches: deque[_Batch] = deque()
        self._size = 0

    def observe(self, received: bool, port: int, frames: FrameRing, now: Instant) -> None:
        """See stack.host.Observer."""
        if frames.used > _LARGEST_BATCH:
            return
        count = frames.count
        octets = bytes(frames.view[: frames.used])
        self._batches.append(
            _Batch(
                now, received, port, octets,
                frames.starts[:count], frames.lengths[:count], frames.gso_sizes[:count], frames.checksums[:count],
            )
        )  # fmt: skip
        self._size += len(octets)
        while self._size > self._capacity:
            self._size -= len(self._batches.popleft().octets)

    def frames(self) -> Iterator[RecordedFrame]:
        """What is remembered, the oldest first; of a link with offload, what it makes of the frames."""
        for batch in self._batches:
            described = zip(batch.starts, batch.lengths, batch.gso_sizes, batch.checksums, strict=True)
            for start, length, gso_size, checksum in described:
                for octets in on_the_wire(batch.octets[start : start + length], gso_size, checksum):
                    yield RecordedFrame(batch.instant, batch.received, batch.port, octets)
