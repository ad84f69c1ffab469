"""UDP datagrams (RFC 768)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.errors import MalformedPacket
from stack.octets import Octets
from stack.wire import ipv4
from stack.wire.checksum import Checksum, internet_checksum, mismatch, pseudo_header
from stack.wire.ipv4 import PROTOCOL_UDP

HEADER_LENGTH: Final = 8
MAXIMUM_PAYLOAD: Final = ipv4.MAXIMUM_LENGTH - ipv4.HEADER_LENGTH - HEADER_LENGTH
"""What a datagram without IP options can carry, in octets."""

_HEADER: Final = struct.Struct("!HHHH")


@dataclass(slots=True)
class UdpHeader:
    """The ports; length and checksum are the octets' business."""

    src_port: int
    dst_port: int


def parse(data: Octets, src: int, dst: int, checksum: Checksum = internet_checksum) -> tuple[UdpHeader, memoryview]:
    """The header and the payload of the datagram from `src` to `dst`. Raises MalformedPacket, ChecksumMismatch."""
    size = len(data)
    if size < HEADER_LENGTH:
        raise MalformedPacket(f"UDP: a header has {HEADER_LENGTH} octets, {size} arrived")
    src_port, dst_port, length, field = _HEADER.unpack_from(data)
    if length < HEADER_LENGTH:
        raise MalformedPacket(f"UDP: length is {length} octets, the header alone has {HEADER_LENGTH}")
    if length > size:
        raise MalformedPacket(f"UDP: length is {length} octets, {size} arrived")
    # What IP carries behind the length is no part of the datagram: a surplus area, where RFC 9868 puts options that a
    # receiver without them is to ignore.
    datagram = memoryview(data)[:length]
    # A checksum field of zero means that the sender made none (RFC 768).
    if field and (residue := checksum(datagram, pseudo_header(src, dst, PROTOCOL_UDP, length))):
        raise mismatch("UDP", field, residue)
    return UdpHeader(src_port, dst_port), datagram[HEADER_LENGTH:]


def build(header: UdpHeader, payload: Octets, src: int, dst: int, checksum: Checksum = internet_checksum) -> bytes:
    """The datagram from `src` to `dst`. Raises ValueError when `payload` is too long."""
    length = HEADER_LENGTH + len(payload)
    if len(payload) > MAXIMUM_PAYLOAD:
        raise ValueError(f"UDP: the payload has {len(payload)} octets, a datagram carries {MAXIMUM_PAYLOAD}")
    octets = bytearray(_HEADER.pack(header.src_port, header.dst_port, length, 0))
    octets += payload
    # Zero would say that there is no checksum; all ones is the same number to the receiver (RFC 768).
    field = checksum(octets, pseudo_header(src, dst, PROTOCOL_UDP, length)) or 0xFFFF
    octets[6:8] = field.to_bytes(2, "big")
    return bytes(octets)
