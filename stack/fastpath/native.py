"""The fastpath in C: the same functions as in reference.py, which documents them, by way of stack._native.

A call costs more than what it does for a small packet, so what can be made once is made once: the C types that buffers
are passed as, and a handle for each ring. bytes need no wrapping; cffi passes them as they are.
"""

import struct
from array import array
from typing import Final

from stack._native import ffi, lib
from stack.addresses import MacAddress
from stack.fastpath.offload import text_of_frame
from stack.fastpath.reference import Record, check_mac, check_segment, io_error
from stack.fastpath.ring import ALIGNMENT, FrameRing
from stack.octets import Octets

NAME: Final = "native"

_OCTETS: Final = ffi.typeof("uint8_t[]")
_WORDS: Final = ffi.typeof("uint32_t[]")
_OFFSETS: Final = ffi.typeof("uint64_t[]")
_RECORD: Final = struct.Struct("=19I")
_NO_ROOM: Final = -1

_from_buffer = ffi.from_buffer
_checksum = lib.net_checksum
_parse_tcp = lib.net_parse_tcp
_emit_tcp = lib.net_emit_tcp
_reassemble = lib.net_reassemble


class _Handle:
    """What C needs to know of a ring; the buffers stay where they are as long as the ring lives."""

    __slots__ = ("_keep", "record_view", "records", "ring")

    def __init__(self, ring: FrameRing) -> None:
        buffer = _from_buffer(_OCTETS, ring.buffer)
        arrays = [_from_buffer(_WORDS, words) for words in (ring.starts, ring.lengths, ring.gso_sizes, ring.checksums)]
        self._keep = (buffer, arrays)
        sizes = (ring.capacity, ring.max_frame, ring.max_frames)
        self.ring = ffi.new("struct ring *", (buffer, *arrays, *sizes, ring.offload))
        self.records = ffi.new("struct record[]", ring.max_frames)
        self.record_view = memoryview(ffi.buffer(self.records))


def _new_handle(ring: FrameRing) -> _Handle:
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
    octets = data if type(data) is bytes else _from_buffer(_OCTETS, data)
    value: int = _checksum(octets, len(octets), initial)
    return value


def update_checksum(value: int, old: int, new: int) -> int:
    """See reference.update_checksum."""
    updated: int = lib.net_update_checksum(value, old, new)
    return updated


def read_frames(fd: int, ring: FrameRing) -> int:
    """See reference.read_frames."""
    before = ring.count
    handle: _Handle = ring.native or _new_handle(ring)
    count: int = lib.net_read_frames(fd, handle.ring, before, ring.used)
    if count < 0:
        raise io_error(-count)
    if count > before:
        _extend(ring, count)
    return count - before


def write_frames(fd: int, ring: FrameRing) -> int:
    """See reference.write_frames."""
    handle: _Handle = ring.native or _new_handle(ring)
    taken: int = lib.net_write_frames(fd, handle.ring, ring.count)
    if taken < 0:
        raise io_error(-taken)
    return taken


def parse_tcp(ring: FrameRing, mac: MacAddress) -> list[Record]:
    """See reference.parse_tcp."""
    check_mac(mac)
    handle: _Handle = ring.native or _new_handle(ring)
    count: int = _parse_tcp(handle.ring, ring.count, mac, handle.records)
    records: list[Record] = list(_RECORD.iter_unpack(handle.record_view[: count * _RECORD.size]))
    return records


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
    handle: _Handle = ring.native or _new_handle(ring)
    text = payload if type(payload) is bytes else _from_buffer(_OCTETS, payload)
    sent: int = _emit_tcp(
        handle.ring, ring.count, ring.used, template, len(template), seq, ack, flags,
        window, options, len(options), text, len(text), mss,
    )  # fmt: skip
    if sent > mss:
        text_each = text_of_frame(ring, len(options), mss) if ring.offload else mss
        _extend(ring, ring.count - (-sent // text_each))
    elif sent >= 0:
        _extend(ring, ring.count + 1)
    elif sent != _NO_ROOM:
        check_segment(template, options, mss)
    return sent


def reassemble(storage: bytearray, ranges: "array[int]", count: int, offset: int, payload: Octets) -> int:
    """See reference.reassemble."""
    text = payload if type(payload) is bytes else _from_buffer(_OCTETS, payload)
    held: int = _reassemble(
        _from_buffer(_OCTETS, storage), len(storage), _from_buffer(_OFFSETS, ranges), count, len(ranges) // 2,
        offset, text, len(text),
    )  # fmt: skip
    return held
