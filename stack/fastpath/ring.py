"""The frame ring: a batch of Ethernet frames, packed one behind the other in one buffer.

Receive and transmit both work on rings: one C call fills or empties a whole ring, and nothing is allocated per
frame. A ring is filled, handed over, read and cleared by its owner; it never wraps.

Offload. A link that cuts and sums for us takes and hands over super-frames: one TCP segment in the longest IP datagram
there can be, which stands for many of `gso_sizes[i]` octets of text each (0: it is none, and stands for itself). Their
checksum, and that of other segments, may be left out, as `checksums[i]` says.

Text that stays where it is. The C fastpath leaves the long text of a super-frame where the application has written it,
or has it read into octets that the application will get: the end of frame i is then `texts[i]`, of text_lengths[i]
octets, and its place in the buffer, which it has, is empty. Whoever looks at the frame by ring[i] finds it whole.
"""

from array import array
from collections.abc import Iterator
from typing import Any, Final, Self

from stack.octets import Octets

FRAME_OVERHEAD: Final = 18  # Ethernet header and one 802.1Q tag; a TAP carries no frame check sequence
ALIGNMENT: Final = 8
CHECKSUM_FULL: Final = 0  # as on the wire
CHECKSUM_PARTIAL: Final = 1  # TCP's, without options of IPv4: the field holds only the pseudo-header's sum
CHECKSUM_VALID: Final = 2  # verified by the device
_LONGEST_DATAGRAM: Final = 0xFFFF
_LINK_CAPACITY: Final = 1 << 20


class FrameRing:
    """Up to `max_frames` frames of up to `max_frame` octets each, in `capacity` octets.

    Frame i occupies buffer[starts[i] : starts[i] + lengths[i]]; `count` frames are in use and the next one starts
    at `used`. Only with `offload` a ring has super-frames, and text elsewhere. `native` is the C fastpath's handle on
    the same memory, made by it at first sight.
    """

    __slots__ = (
        "buffer",
        "capacity",
        "checksums",
        "count",
        "gso_sizes",
        "lengths",
        "max_frame",
        "max_frames",
        "native",
        "offload",
        "starts",
        "text_lengths",
        "texts",
        "used",
        "view",
    )

    def __init__(
        self, max_frame: int, max_frames: int = 256, capacity: int | None = None, *, offload: bool = False
    ) -> None:
        self.max_frame = max_frame
        self.max_frames = max_frames
        self.capacity = capacity if capacity is not None else max_frames * (max_frame + ALIGNMENT)
        self.offload = offload
        self.buffer = bytearray(self.capacity)
        self.view = memoryview(self.buffer)
        self.starts, self.lengths, self.gso_sizes, self.checksums, self.text_lengths = (
            array("I", bytes(4 * max_frames)) for _ in range(5)
        )
        self.texts: dict[int, Octets] = {}
        self.count = 0
        self.used = 0
        self.native: Any = None

    @classmethod
    def of_link(cls, mtu: int, *, offload: bool, max_frames: int = 256) -> Self:
        """A ring for the frames of a link, of 1 MiB at most: 15 of the longest that there are."""
        max_frame = (_LONGEST_DATAGRAM if offload else mtu) + FRAME_OVERHEAD
        capacity = min(max_frames * (max_frame + ALIGNMENT), _LINK_CAPACITY)
        return cls(max_frame, max_frames, capacity, offload=offload)

    def append(self, frame: Octets, gso_size: int = 0, checksum: int = CHECKSUM_FULL) -> bool:
        """Add a frame; False (and nothing added) when it is too long or there is no room."""
        size = len(frame)
        start = self.used
        if self.count == self.max_frames or size > self.max_frame or start + size > self.capacity:
            return False
        self.buffer[start : start + size] = frame
        self.commit(size, gso_size, checksum)
        return True

    def commit(self, size: int, gso_size: int = 0, checksum: int = CHECKSUM_FULL) -> None:
        """Count the `size` octets written at `used` as one frame."""
        count = self.count
        self.starts[count] = self.used
        self.lengths[count] = size
        self.gso_sizes[count] = gso_size
        self.checksums[count] = checksum
        self.text_lengths[count] = 0
        self.count = count + 1
        self.used += size + -size % ALIGNMENT

    def clear(self) -> None:
        """Forget all frames; views of them are valid no longer."""
        self.count = 0
        self.used = 0
        if self.texts:
            self.texts.clear()

    def place_texts(self) -> None:
        """Put all text in its place in the buffer."""
        for index in self.texts:
            self._place_text(index)

    def _place_text(self, index: int) -> None:
        if size := self.text_lengths[index]:
            end = self.starts[index] + self.lengths[index]
            self.view[end - size : end] = self.texts[index]
            self.text_lengths[index] = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> memoryview:
        if not 0 <= index < self.count:
            raise IndexError(f"frame {index} of a ring that holds {self.count}")
        if index in self.texts:
            self._place_text(index)
        start = self.starts[index]
        return self.view[start : start + self.lengths[index]]

    def __iter__(self) -> Iterator[memoryview]:
        for index in range(self.count):
            yield self[index]
