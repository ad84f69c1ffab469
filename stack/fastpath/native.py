"""The fastpath in C: the same functions as in reference.py, which documents them, by way of stack._native."""

import struct
from array import array
from typing import Final, cast

from stack._native import ffi, lib
from stack.addresses import MacAddress
from stack.fastpath.reference import Record, check_mac, check_segment, io_error
from stack.fastpath.ring import ALIGNMENT, FrameRing
from stack.octets import Octets

NAME: Final = "native"

_RECORD: Final = struct.Struct("=19I")
_NO_ROOM: Final = -1


class _Handle:
    """What C needs to know of a ring; the buffers stay where they are as long as the ring lives."""

    __slots__ = ("_keep", "record_view", "records", "ring")

    def __init__(self, ring: FrameRing) -> None:
        buffer = ffi.from_buffer("uint8_t[]", ring.buffer)
        starts = ffi.from_buffer("uint32_t[]", ring.starts)
        lengths = ffi.from_buffer("uint32_t[]", ring.lengths)
        self._keep = (buffer, starts, lengths)
        self.ring = ffi.new("struct ring *", (buffer, starts, lengths, ring.capacity, ring.max_frame, ring.max_frames))
        self.records = ffi.new("struct record[]", ring.max_frames)
        self.record_view = memoryview(ffi.buffer(self.records))


def _handle(ring: FrameRing) -> _Handle:
    handle: _Handle | None = ring.native
    if handle is None:
        handle = ring.native = _Handle(ring)
    return handle


def _extend(ring: FrameRing, count: int) -> None:
    """C has added frames up to `count`."""
    last = count - 1
    ring.count = count
    size = ring.lengths[last]
    ring.used = ring.starts[last] + size + -size % ALIGNMENT


def checksum(data: Octets, initial: int = 0) -> int:
    """See reference.checksum."""
    return cast(int, lib.net_checksum(ffi.from_buffer("uint8_t[]", data), len(data), initial))


def update_checksum(value: int, old: int, new: int) -> int:
    """See reference.update_checksum."""
    return cast(int, lib.net_update_checksum(value, old, new))


def read_frames(fd: int, ring: FrameRing) -> int:
    """See reference.read_frames."""
    before = ring.count
    count: int = lib.net_read_frames(fd, _handle(ring).ring, before, ring.used)
    if count < 0:
        raise io_error(-count)
    if count > before:
        _extend(ring, count)
    return count - before


def write_frames(fd: int, ring: FrameRing) -> int:
    """See reference.write_frames."""
    taken: int = lib.net_write_frames(fd, _handle(ring).ring, ring.count)
    if taken < 0:
        raise io_error(-taken)
    return taken


def parse_tcp(ring: FrameRing, mac: MacAddress) -> list[Record]:
    """See reference.parse_tcp."""
    check_mac(mac)
    handle = _handle(ring)
    count: int = lib.net_parse_tcp(handle.ring, ring.count, mac, handle.records)
    return cast(list[Record], list(_RECORD.iter_unpack(handle.record_view[: count * _RECORD.size])))


def emit_tcp(
    ring: FrameRing,
    template: bytes,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    options: bytes,
    payload: Octets,
    mss: int,
) -> int:
    """See reference.emit_tcp."""
    size = len(payload)
    text = payload if type(payload) is bytes else ffi.from_buffer("uint8_t[]", payload)
    sent: int = lib.net_emit_tcp(
        _handle(ring).ring, ring.count, ring.used, template, len(template), seq, ack, flags,
        window, options, len(options), text, size, mss,
    )  # fmt: skip
    if sent >= 0:
        _extend(ring, ring.count + (-(-sent // mss) or 1))
    elif sent != _NO_ROOM:
        check_segment(template, options, mss)
    return sent


def reassemble(storage: bytearray, ranges: "array[int]", count: int, offset: int, payload: Octets) -> int:
    """See reference.reassemble."""
    return cast(
        int,
        lib.net_reassemble(
            ffi.from_buffer("uint8_t[]", storage), len(storage), ffi.from_buffer("uint64_t[]", ranges), count,
            len(ranges) // 2, offset, ffi.from_buffer("uint8_t[]", payload), len(payload),
        ),
    )  # fmt: skip
