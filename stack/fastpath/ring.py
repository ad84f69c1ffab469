"""The frame ring: a batch of Ethernet frames, packed one behind the other in one buffer.

Receive and transmit both work on rings: one C call fills or empties a whole ring, and nothing is allocated per
frame. A ring is filled, handed over, read and cleared by its owner; it never wraps.
"""

from array import array
from collections.abc import Iterator
from typing import Any, Final

from stack.octets import Octets

FRAME_OVERHEAD: Final = 18  # Ethernet header and one 802.1Q tag; a TAP carries no frame check sequence
ALIGNMENT: Final = 8


class FrameRing:
    """Up to `max_frames` frames of up to `max_frame` octets each, in `capacity` octets.

    Frame i occupies buffer[starts[i] : starts[i] + lengths[i]]; `count` frames are in use and the next one starts
    at `used`. `native` is the C fastpath's handle on the same memory, made by it at first sight.
    """

    __slots__ = (
        "buffer",
        "capacity",
        "count",
        "lengths",
        "max_frame",
        "max_frames",
        "native",
        "starts",
        "used",
        "view",
    )

    def __init__(self, max_frame: int, max_frames: int = 256, capacity: int | None = None) -> None:
        self.max_frame = max_frame
        self.max_frames = max_frames
        self.capacity = capacity if capacity is not None else max_frames * (max_frame + ALIGNMENT)
        self.buffer = bytearray(self.capacity)
        self.view = memoryview(self.buffer)
        self.starts = array("I", bytes(4 * max_frames))
        self.lengths = array("I", bytes(4 * max_frames))
        self.count = 0
        self.used = 0
        self.native: Any = None

    def append(self, frame: Octets) -> bool:
        """Add a frame; False (and nothing added) when it is too long or there is no room."""
        size = len(frame)
        start = self.used
        if self.count == self.max_frames or size > self.max_frame or start + size > self.capacity:
            return False
        self.buffer[start : start + size] = frame
        self.commit(size)
        return True

    def commit(self, size: int) -> None:
        """Count the `size` octets written at `used` as one frame."""
        self.starts[self.count] = self.used
        self.lengths[self.count] = size
        self.count += 1
        self.used += size + -size % ALIGNMENT

    def clear(self) -> None:
        """Forget all frames; views of them are valid no longer."""
        self.count = 0
        self.used = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> memoryview:
        if not 0 <= index < self.count:
            raise IndexError(f"frame {index} of a ring that holds {self.count}")
        start = self.starts[index]
        return self.view[start : start + self.lengths[index]]

    def __iter__(self) -> Iterator[memoryview]:
        for index in range(self.count):
            yield self[index]
