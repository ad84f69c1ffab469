"""IPv4 datagrams and their options (RFC 791)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.addresses import Ipv4Address
from stack.errors import MalformedPacket
from stack.octets import Octets
from stack.wire.checksum import Checksum, internet_checksum, mismatch

PROTOCOL_ICMP: Final = 1
PROTOCOL_TCP: Final = 6
PROTOCOL_UDP: Final = 17
HEADER_LENGTH: Final = 20
MAXIMUM_LENGTH: Final = 0xFFFF
MAXIMUM_OPTIONS: Final = 40

ECT_0: Final = 0b10
"""ECN-capable transport (RFC 3168), in the two low bits of `tos`; 0 is a transport that is not."""
CE: Final = 0b11
"""Congestion experienced."""

OPTION_END: Final = 0
OPTION_NOP: Final = 1
OPTION_RECORD_ROUTE: Final = 7
OPTION_TIMESTAMP: Final = 68
OPTION_LOOSE_SOURCE_ROUTE: Final = 131
OPTION_STRICT_SOURCE_ROUTE: Final = 137
OPTION_COPIED: Final = 0x80
"""The bit of an option's type that says: copy me into every fragment."""

_HEADER: Final = struct.Struct("!BBHHHBBHII")
_CHECKSUM_AT: Final = 10
_RESERVED: Final = 0x8000
_DONT_FRAGMENT: Final = 0x4000
_MORE_FRAGMENTS: Final = 0x2000
_OFFSET_MASK: Final = 0x1FFF


class TruncatedPacket(MalformedPacket):
    """A datagram whose total length is more than the octets that arrived."""


class MalformedOption(MalformedPacket):
    """An option whose length cannot be; `pointer` is the octet of the header that says so (RFC 792, type 12)."""

    def __init__(self, message: str, pointer: int) -> None:
        super().__init__(message)
        self.pointer = pointer


@dataclass(slots=True)
class Ipv4Header:
    """The fields of RFC 791 3.1 but for the lengths and the checksum; `fragment_offset` is in octets."""

    src: Ipv4Address
    dst: Ipv4Address
    protocol: int
    ttl: int = 64
    identification: int = 0
    dont_fragment: bool = False
    more_fragments: bool = False
    fragment_offset: int = 0
    tos: int = 0
    options: bytes = b""
    reserved: bool = False
    """The flag that has to be zero: never set here, and kept so that an ICMP error quotes what arrived."""

    @property
    def length(self) -> int:
        """The octets of the header, its options padded to whole words."""
        return HEADER_LENGTH + (len(self.options) + 3 & ~3)


def parse(packet: Octets, checksum: Checksum = internet_checksum) -> tuple[Ipv4Header, memoryview]:
    """The header and the payload, cut to the total length. The checks are in the order of RFC 1812 5.2.2.

    Raises MalformedPacket, ChecksumMismatch, TruncatedPacket. The options are not looked into: see parse_options().
    """
    header, header_length, total_length = parse_header(packet)
    if residue := checksum(memoryview(packet)[:header_length], 0):
        raise mismatch("IPv4", int.from_bytes(packet[_CHECKSUM_AT : _CHECKSUM_AT + 2], "big"), residue)
    if total_length < header_length:
        raise MalformedPacket(f"IPv4: total length is {total_length} octets, the header alone has {header_length}")
    if total_length > len(packet):
        raise TruncatedPacket(f"IPv4: total length is {total_length} octets, {len(packet)} arrived")
    return header, memoryview(packet)[header_length:total_length]


def parse_header(packet: Octets) -> tuple[Ipv4Header, int, int]:
    """The header, its length, and the total length it claims; neither that nor the checksum is verified.

    Raises MalformedPacket.
    """
    size = len(packet)
    if size < HEADER_LENGTH:
        raise MalformedPacket(f"IPv4: a header has {HEADER_LENGTH} octets, {size} arrived")
    first, tos, total_length, identification, fragment, ttl, protocol, _, src, dst = _HEADER.unpack_from(packet)
    if first >> 4 != 4:
        raise MalformedPacket(f"IPv4: version is {first >> 4}, not 4")
    header_length = (first & 0xF) * 4
    if header_length < HEADER_LENGTH:
        raise MalformedPacket(f"IPv4: IHL says {header_length} octets, a header has {HEADER_LENGTH}")
    if header_length > size:
        raise MalformedPacket(f"IPv4: IHL says {header_length} octets, {size} arrived")
    header = Ipv4Header(
        src,
        dst,
        protocol,
        ttl,
        identification,
        fragment & _DONT_FRAGMENT != 0,
        fragment & _MORE_FRAGMENTS != 0,
        (fragment & _OFFSET_MASK) * 8,
        tos,
        bytes(packet[HEADER_LENGTH:header_length]) if header_length > HEADER_LENGTH else b"",
        fragment & _RESERVED != 0,
    )
    return header, header_length, total_length


def build(header: Ipv4Header, payload: Octets, checksum: Checksum = internet_checksum) -> bytes:
    """The datagram; options are padded with zeros to whole words. Raises ValueError when it cannot be one."""
    header_length = header.length
    total_length = header_length + len(payload)
    if len(header.options) > MAXIMUM_OPTIONS:
        raise ValueError(f"IPv4: options have {len(header.options)} octets, a header takes {MAXIMUM_OPTIONS}")
    if total_length > MAXIMUM_LENGTH:
        raise ValueError(f"IPv4: the datagram has {total_length} octets, at most {MAXIMUM_LENGTH} can be said")
    if header.fragment_offset % 8:
        raise ValueError(f"IPv4: fragment offset is {header.fragment_offset}, not a multiple of 8")
    fragment = header.fragment_offset >> 3
    if header.reserved:
        fragment |= _RESERVED
    if header.dont_fragment:
        fragment |= _DONT_FRAGMENT
    if header.more_fragments:
        fragment |= _MORE_FRAGMENTS
    octets = bytearray(
        _HEADER.pack(
            0x40 | header_length >> 2, header.tos, total_length, header.identification, fragment,
            header.ttl, header.protocol, 0, header.src, header.dst,
        )
    )  # fmt: skip
    octets += header.options.ljust(header_length - HEADER_LENGTH, b"\0")
    octets[_CHECKSUM_AT : _CHECKSUM_AT + 2] = checksum(octets, 0).to_bytes(2, "big")
    octets += payload
    return bytes(octets)


def parse_options(options: bytes) -> list[tuple[int, bytes]]:
    """(type, data) of each option, without the padding ones. Raises MalformedOption for an illegal length.

    A length that cannot be is no reason to guess where the next option starts (RFC 1122 3.2.1.8).
    """
    found = []
    at = 0
    while at < len(options) and (kind := options[at]) != OPTION_END:
        if kind == OPTION_NOP:
            at += 1
            continue
        left = len(options) - at
        length = options[at + 1] if left > 1 else 0
        if not 2 <= length <= left:
            raise MalformedOption(
                f"IPv4: option {kind} has length {length}, with {left} octets of options left",
                HEADER_LENGTH + at + (left > 1),
            )
        found.append((kind, bytes(options[at + 2 : at + length])))
        at += length
    return found
