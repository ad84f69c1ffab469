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
_STAYS_FROM: Final = 4096  # octets of text; shorter text is copied sooner than it is kept apart
_SPARES: Final = 16  # as many long frames as a ring of a link can hold
_LONG_TEXT: Final = 16384  # as in native/batch.c
_TEXT_AT: Final = 66  # likewise

_from_buffer = ffi.from_buffer
_checksum = lib.net_checksum
_parse_tcp = lib.net_parse_tcp
_emit_tcp = lib.net_emit_tcp
_reassemble = lib.net_reassemble


class _Handle:
    """What C needs to know of a ring; the buffers stay where they are as long as the ring lives."""

    __slots__ = ("_keep", "_pointers", "given", "record_view", "records", "ring", "spares", "texts")

    def __init__(self, ring: FrameRing) -> None:
        buffer = _from_buffer(_OCTETS, ring.buffer)
        words = (ring.starts, ring.lengths, ring.gso_sizes, ring.checksums, ring.text_lengths)
        arrays = [_from_buffer(_WORDS, each) for each in words]
        self.texts = ffi.new("uint8_t *[]", ring.max_frames)
        self._pointers = ffi.new("uint8_t *[]", _SPARES)
        self._keep = (buffer, arrays)
        sizes = (ring.capacity, ring.max_frame, ring.max_frames)
        self.ring = ffi.new(
            "struct ring *", (buffer, *arrays, self.texts, self._pointers, *sizes, ring.offload, _SPARES, 0)
        )
        self.spares: list[bytes] = []
        """Octets that nobody has seen yet, for long texts to be read into: the application gets them without a copy.
        They are of the length that came last: in a bulk transfer it comes again and again."""
        self.given: list[int] = []  # numbers of those that are ours no longer
        self.records = ffi.new("struct record[]", ring.max_frames)
        self.record_view = memoryview(ffi.buffer(self.records))

    def point(self, ring: FrameRing) -> None:
        """Say where the texts are that are not in their place."""
        texts = self.texts
        for index, text in ring.texts.items():
            texts[index] = _from_buffer(_OCTETS, text)

    def take_texts(self, ring: FrameRing, before: int) -> None:
        """Frames from `before` on have been read: give `ring` the spares that their texts are in."""
        number = 0
        fitted = False
        missed = 0
        for index in range(before, ring.count):
            length = ring.text_lengths[index]
            if length:
                spare = self.spares[number]
                if length == len(spare):
                    ring.texts[index] = spare
                    self.spares[number] = b""
                    self.given.append(number)
                    fitted = True
                else:
                    ring.texts[index] = spare[:length]
                    missed = length
                number += 1
            elif ring.lengths[index] >= _TEXT_AT + _LONG_TEXT:
                missed = ring.lengths[index] - _TEXT_AT
        if missed and not fitted:
            self.ring.spare_length = missed
            self.spares = [b""] * _SPARES
            self.given = list(range(_SPARES))

    def renew_spares(self) -> None:
        """Have new ones for those that were given away: often of the same memory, which is in the cache."""
        for number in self.given:
            spare = self.spares[number] = bytes(self.ring.spare_length)
            self._pointers[number] = _from_buffer(_OCTETS, spare)
        self.given.clear()


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
    used = ring.used
    handle: _Handle = ring.native or _new_handle(ring)
    if handle.given:
        handle.renew_spares()
    count: int = lib.net_read_frames(fd, handle.ring, before, used)
    if count < 0:
        raise io_error(-count)
    if count > before:
        _extend(ring, count)
        if ring.used - used > _LONG_TEXT and ring.offload:
            handle.take_texts(ring, before)
    return count - before


def write_frames(fd: int, ring: FrameRing) -> int:
    """See reference.write_frames."""
    handle: _Handle = ring.native or _new_handle(ring)
    if ring.texts:
        handle.point(ring)
    taken: int = lib.net_write_frames(fd, handle.ring, ring.count)
    if taken < 0:
        raise io_error(-taken)
    return taken


def parse_tcp(ring: FrameRing, mac: MacAddress) -> list[Record]:
    """See reference.parse_tcp."""
    check_mac(mac)
    handle: _Handle = ring.native or _new_handle(ring)
    if ring.texts:
        handle.point(ring)
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
    stays = ring.offload and len(text) >= _STAYS_FROM and _never_changes(payload)
    sent: int = _emit_tcp(
        handle.ring, ring.count, ring.used, template, len(template), seq, ack, flags,
        window, options, len(options), text, len(text), mss, stays,
    )  # fmt: skip
    if stays and sent > 0:
        _note_texts(ring, payload, sent, text_of_frame(ring, len(options), mss))
    if sent > mss:
        text_each = text_of_frame(ring, len(options), mss) if ring.offload else mss
        _extend(ring, ring.count - (-sent // text_each))
    elif sent >= 0:
        _extend(ring, ring.count + 1)
    elif sent != _NO_ROOM:
        check_segment(template, options, mss)
    return sent


def _never_changes(payload: Octets) -> bool:
    return type(payload) is bytes or (type(payload) is memoryview and payload.readonly)


def _note_texts(ring: FrameRing, payload: Octets, sent: int, text_each: int) -> None:
    """The frames that are about to be added have their texts in `payload`."""
    index = ring.count
    if sent <= text_each and sent == len(payload):
        ring.texts[index] = payload
        return
    view = memoryview(payload)[:sent]
    for start in range(0, sent, text_each):
        ring.texts[index] = view[start : start + text_each]
        index += 1


def reassemble(storage: bytearray, ranges: "array[int]", count: int, offset: int, payload: Octets) -> int:
    """See reference.reassemble."""
    text = payload if type(payload) is bytes else _from_buffer(_OCTETS, payload)
    held: int = _reassemble(
        _from_buffer(_OCTETS, storage), len(storage), _from_buffer(_OFFSETS, ranges), count, len(ranges) // 2,
        offset, text, len(text),
    )  # fmt: skip
    return held
