"""IPv4 datagrams (RFC 791)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.addresses import Ipv4Address
from stack.errors import ChecksumMismatch, MalformedPacket
from stack.octets import Octets
from stack.wire.checksum import Checksum, internet_checksum

HEADER_LENGTH: Final = 20
MAXIMUM_LENGTH: Final = 0xFFFF
PROTOCOL_ICMP: Final = 1
PROTOCOL_TCP: Final = 6
PROTOCOL_UDP: Final = 17

OPTION_END: Final = 0
OPTION_NOP: Final = 1
OPTION_COPIED: Final = 0x80

_HEADER = struct.Struct("!BBHHHBBHII")
_DONT_FRAGMENT: Final = 0x4000
_MORE_FRAGMENTS: Final = 0x2000
_OFFSET_MASK: Final = 0x1FFF


class TruncatedPacket(MalformedPacket):
    """A datagram whose total length is more than the octets that are there."""


@dataclass(slots=True)
class Ipv4Header:
    """The header; `fragment_offset` is in octets, `options` are raw."""

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

    @property
    def length(self) -> int:
        """The octets of the header, options padded."""
        return HEADER_LENGTH + (len(self.options) + 3 & ~3)


def parse_header(packet: Octets) -> tuple[Ipv4Header, int, int]:
    """The header, its length and the total length, neither verified against a checksum nor against what is there."""
    if len(packet) < HEADER_LENGTH:
        raise MalformedPacket(f"IPv4: the header has at least {HEADER_LENGTH} octets, there are {len(packet)}")
    first, tos, total, identification, fragment, ttl, protocol, _, src, dst = _HEADER.unpack_from(packet)
    if first >> 4 != 4:
        raise MalformedPacket(f"IPv4: the version is {first >> 4}, not 4")
    header_length = (first & 15) * 4
    if header_length < HEADER_LENGTH:
        raise MalformedPacket(f"IPv4: the header length is {header_length} octets, the least is {HEADER_LENGTH}")
    if header_length > len(packet):
        raise MalformedPacket(f"IPv4: the header length is {header_length} octets, there are {len(packet)}")
    if total < header_length:
        raise MalformedPacket(f"IPv4: the total length is {total} octets, the header alone has {header_length}")
    header = Ipv4Header(
        src, dst, protocol, ttl, identification, bool(fragment & _DONT_FRAGMENT), bool(fragment & _MORE_FRAGMENTS),
        (fragment & _OFFSET_MASK) * 8, tos, bytes(packet[HEADER_LENGTH:header_length]),
    )  # fmt: skip
    return header, header_length, total


def parse(packet: Octets, checksum: Checksum = internet_checksum) -> tuple[Ipv4Header, memoryview]:
    """The header and the payload, cut to the total length: Ethernet pads short frames.

    Raises MalformedPacket, as ChecksumMismatch or TruncatedPacket where it is that.
    """
    header, header_length, total = parse_header(packet)
    view = memoryview(packet)
    if checksum(view[:header_length], 0):
        found = int.from_bytes(packet[10:12], "big")
        right = checksum(b"".join((view[:10], bytes(2), view[12:header_length])), 0)
        raise ChecksumMismatch(f"IPv4: the header checksum is {found:#06x}, the header gives {right:#06x}")
    if total > len(packet):
        raise TruncatedPacket(f"IPv4: the total length is {total} octets, there are {len(packet)}")
    return header, view[header_length:total]


def build(header: Ipv4Header, payload: Octets, checksum: Checksum = internet_checksum) -> bytes:
    """The datagram. Raises MalformedPacket when it would be longer than 65535 octets."""
    options = header.options + bytes(-len(header.options) % 4)
    total = HEADER_LENGTH + len(options) + len(payload)
    if total > MAXIMUM_LENGTH:
        raise MalformedPacket(f"IPv4: a datagram has at most {MAXIMUM_LENGTH} octets, not {total}")
    if len(options) > 40:
        raise MalformedPacket(f"IPv4: options have at most 40 octets, not {len(options)}")
    fragment = header.fragment_offset >> 3
    if header.dont_fragment:
        fragment |= _DONT_FRAGMENT
    if header.more_fragments:
        fragment |= _MORE_FRAGMENTS
    octets = bytearray(
        _HEADER.pack(
            0x40 | (HEADER_LENGTH + len(options)) >> 2, header.tos, total, header.identification, fragment,
            header.ttl, header.protocol, 0, header.src, header.dst,
        )  # fmt: skip
    )
    octets += options
    octets[10:12] = checksum(octets, 0).to_bytes(2, "big")
    return b"".join((octets, payload))


def parse_options(octets: bytes) -> list[tuple[int, bytes]]:
    """The options as (type, data) pairs, padding left out. Raises MalformedPacket."""
    options = []
    position = 0
    while position < len(octets):
        kind = octets[position]
        if kind == OPTION_END:
            break
        if kind == OPTION_NOP:
            position += 1
            continue
        if position + 2 > len(octets):
            raise MalformedPacket(f"IPv4: option {kind} at octet {position} has no length, the options end there")
        length = octets[position + 1]
        if length < 2 or position + length > len(octets):
            raise MalformedPacket(f"IPv4: option {kind} says {length} octets, there are {len(octets) - position}")
        options.append((kind, octets[position + 2 : position + length]))
        position += length
    return options
