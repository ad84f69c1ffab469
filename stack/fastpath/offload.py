"""What a link with offload leaves out of a frame, and the header that says so, as in native/offload.c.

Linux puts a virtio header (Virtio 1.2 section 5.1.6) before every frame of a TAP with IFF_VNET_HDR, in the machine's
byte order. A partial checksum starts out as the pseudo-header's sum: summing up everything from the TCP or UDP
header on, that field included, completes it.
"""

import struct
from collections.abc import Iterator
from typing import Final

from stack.fastpath.ring import CHECKSUM_FULL, CHECKSUM_PARTIAL, CHECKSUM_VALID, FrameRing
from stack.octets import Octets
from stack.wire import ethernet, ipv4, tcp
from stack.wire.checksum import internet_checksum, pseudo_header
from stack.wire.tcp import CWR, FIN, PSH

_VIRTIO_HEADER: Final = struct.Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
VIRTIO_HEADER_LENGTH: Final = _VIRTIO_HEADER.size
_NEEDS_CHECKSUM: Final = 1
_DATA_VALID: Final = 2
_GSO_TCPV4: Final = 1
_GSO_ECN: Final = 0x80
_TCP_AT: Final = ethernet.HEADER_LENGTH + ipv4.HEADER_LENGTH
_TCP_CHECKSUM: Final = 16
_SEQ_AT: Final = _TCP_AT + 4
_DATA_OFFSET_AT: Final = _TCP_AT + 12
_FLAGS_AT: Final = _TCP_AT + 13


def complete_checksum(frame: memoryview, start: int, offset: int) -> None:
    """Put the checksum of all that follows `start` at `offset` behind it; what is not within `frame` is left alone."""
    at = start + offset
    if at + 2 <= len(frame):
        # RFC 768: a UDP checksum of zero would say that there is none; all ones are the same number.
        value = internet_checksum(frame[start:]) or 0xFFFF
        frame[at : at + 2] = value.to_bytes(2, "big")


def complete_tcp(ring: FrameRing, index: int) -> None:
    """Complete the TCP checksum of frame `index`, if it is a partial one."""
    if ring.checksums[index] == CHECKSUM_PARTIAL:
        complete_checksum(ring[index], _TCP_AT, _TCP_CHECKSUM)
        ring.checksums[index] = CHECKSUM_FULL


def take_virtio_header(header: Octets, frame: memoryview) -> tuple[int, int]:
    """gso_size and checksum of `frame` for its ring; a partial checksum that is not a plain segment's is completed."""
    flags, gso_type, _, gso_size, start, offset = _VIRTIO_HEADER.unpack(header)
    checksum = CHECKSUM_FULL
    if flags & _NEEDS_CHECKSUM:
        if (start, offset) == (_TCP_AT, _TCP_CHECKSUM):
            checksum = CHECKSUM_PARTIAL
        else:
            complete_checksum(frame, start, offset)
    elif flags & _DATA_VALID:
        checksum = CHECKSUM_VALID
    return gso_size if gso_type & ~_GSO_ECN == _GSO_TCPV4 else 0, checksum


def virtio_header(ring: FrameRing, index: int) -> bytes:
    """The header for frame `index`."""
    frame = ring[index]
    if ring.checksums[index] != CHECKSUM_PARTIAL or len(frame) < _TCP_AT + tcp.HEADER_LENGTH:
        return bytes(VIRTIO_HEADER_LENGTH)
    headers = _TCP_AT + (frame[_DATA_OFFSET_AT] >> 4) * 4
    gso_size = ring.gso_sizes[index]
    gso_type = 0
    if gso_size:
        gso_type = _GSO_TCPV4 | (_GSO_ECN if frame[_FLAGS_AT] & CWR else 0)
    return _VIRTIO_HEADER.pack(_NEEDS_CHECKSUM, gso_type, headers, gso_size, _TCP_AT, _TCP_CHECKSUM)


def on_the_wire(frame: Octets, gso_size: int, checksum: int) -> Iterator[bytes]:
    """What the link makes of a frame that it is given with `gso_size` and `checksum`: every segment whole."""
    if checksum != CHECKSUM_PARTIAL and not gso_size:
        yield bytes(frame)
        return
    view = memoryview(frame)
    text_at = _TCP_AT + (frame[_DATA_OFFSET_AT] >> 4) * 4
    seq = int.from_bytes(view[_SEQ_AT : _SEQ_AT + 4], "big")
    step = gso_size or len(frame)
    for start in range(text_at, max(len(frame), text_at + 1), step):
        segment = bytearray(view[:text_at])
        segment[_SEQ_AT : _SEQ_AT + 4] = (seq + start - text_at & 0xFFFF_FFFF).to_bytes(4, "big")
        if start > text_at:
            segment[_FLAGS_AT] &= ~CWR
        if start + step < len(frame):
            segment[_FLAGS_AT] &= ~(FIN | PSH)
        segment += view[start : start + step]
        yield _with_checksums(segment)


def wire_frames(ring: FrameRing) -> list[bytes]:
    """The frames of `ring` as a wire carries them."""
    if not ring.offload:
        return [bytes(frame) for frame in ring]
    described = zip(ring, ring.gso_sizes, ring.checksums, strict=False)
    return [octets for frame, gso_size, checksum in described for octets in on_the_wire(frame, gso_size, checksum)]


def text_of_frame(ring: FrameRing, options_length: int, mss: int) -> int:
    """The text of one frame of `ring`: one segment's, or as many as an IP datagram can hold for the link to cut."""
    most = min(ring.max_frame - ethernet.HEADER_LENGTH, ipv4.MAXIMUM_LENGTH)
    most -= ipv4.HEADER_LENGTH + tcp.HEADER_LENGTH + options_length
    return mss if not ring.offload or most < mss else most // mss * mss


def _with_checksums(frame: bytearray) -> bytes:
    """`frame`, a plain segment, with the length and the checksums that it has to have."""
    length = len(frame) - ethernet.HEADER_LENGTH
    ip, text = memoryview(frame)[ethernet.HEADER_LENGTH :], memoryview(frame)[_TCP_AT:]
    ip[2:4] = length.to_bytes(2, "big")
    ip[10:12] = bytes(2)
    ip[10:12] = internet_checksum(ip[: ipv4.HEADER_LENGTH]).to_bytes(2, "big")
    src, dst = int.from_bytes(ip[12:16], "big"), int.from_bytes(ip[16:20], "big")
    text[_TCP_CHECKSUM : _TCP_CHECKSUM + 2] = bytes(2)
    pseudo = pseudo_header(src, dst, ipv4.PROTOCOL_TCP, len(text))
    text[_TCP_CHECKSUM : _TCP_CHECKSUM + 2] = internet_checksum(text, pseudo).to_bytes(2, "big")
    return bytes(frame)
