"""UDP datagrams (RFC 768)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.errors import ChecksumMismatch, MalformedPacket
from stack.octets import Octets
from stack.wire.checksum import Checksum, internet_checksum, pseudo_header
from stack.wire.ipv4 import PROTOCOL_UDP

HEADER_LENGTH: Final = 8
MAXIMUM_PAYLOAD: Final = 65507  # what an IPv4 datagram without options leaves

_HEADER = struct.Struct("!HHHH")


@dataclass(slots=True)
class UdpHeader:
    """The ports; the length is the payload's own."""

    src_port: int
    dst_port: int


def parse(data: Octets, src: int, dst: int, checksum: Checksum = internet_checksum) -> tuple[UdpHeader, memoryview]:
    """Header and payload, cut to the length field. A checksum of zero means that none was sent.

    Raises MalformedPacket or ChecksumMismatch.
    """
    if len(data) < HEADER_LENGTH:
        raise MalformedPacket(f"UDP: the header has {HEADER_LENGTH} octets, there are {len(data)}")
    src_port, dst_port, length, found = _HEADER.unpack_from(data)
    if length < HEADER_LENGTH:
        raise MalformedPacket(f"UDP: the length is {length} octets, the header alone has {HEADER_LENGTH}")
    if length > len(data):
        raise MalformedPacket(f"UDP: the length is {length} octets, there are {len(data)}")
    view = memoryview(data)[:length]
    if found and checksum(view, pseudo_header(src, dst, PROTOCOL_UDP, length)):
        raise ChecksumMismatch(f"UDP: the checksum {found:#06x} is not that of the {length} octets")
    return UdpHeader(src_port, dst_port), view[HEADER_LENGTH:]


def build(header: UdpHeader, payload: Octets, src: int, dst: int, checksum: Checksum = internet_checksum) -> bytes:
    """The datagram. A checksum that comes out as zero is sent as 0xFFFF: zero would mean "none"."""
    length = HEADER_LENGTH + len(payload)
    octets = bytearray(_HEADER.pack(header.src_port, header.dst_port, length, 0))
    octets += payload
    value = checksum(octets, pseudo_header(src, dst, PROTOCOL_UDP, length)) or 0xFFFF
    octets[6:8] = value.to_bytes(2, "big")
    return bytes(octets)
