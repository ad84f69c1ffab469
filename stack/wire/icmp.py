"""ICMP messages (RFC 792)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.errors import ChecksumMismatch, MalformedPacket
from stack.octets import Octets
from stack.wire import ipv4
from stack.wire.checksum import Checksum, internet_checksum

HEADER_LENGTH: Final = 8

ECHO_REPLY: Final = 0
DESTINATION_UNREACHABLE: Final = 3
SOURCE_QUENCH: Final = 4
REDIRECT: Final = 5
ECHO_REQUEST: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12
TIMESTAMP_REQUEST: Final = 13
TIMESTAMP_REPLY: Final = 14

ERROR_TYPES: Final = frozenset({DESTINATION_UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM})

# Codes of DESTINATION_UNREACHABLE (RFC 792, RFC 1122 3.2.2.1)
NET_UNREACHABLE: Final = 0
HOST_UNREACHABLE: Final = 1
PROTOCOL_UNREACHABLE: Final = 2
PORT_UNREACHABLE: Final = 3
FRAGMENTATION_NEEDED: Final = 4
SOURCE_ROUTE_FAILED: Final = 5

# Codes of TIME_EXCEEDED
TTL_EXCEEDED: Final = 0
REASSEMBLY_TIME_EXCEEDED: Final = 1

_HEADER = struct.Struct("!BBHI")
_QUOTED_OCTETS: Final = 8


@dataclass(slots=True)
class IcmpMessage:
    """`rest` is the 32-bit word behind the checksum, whose meaning depends on the type."""

    type: int
    code: int
    rest: int
    payload: Octets = b""


def parse(data: Octets, checksum: Checksum = internet_checksum) -> IcmpMessage:
    """The message. Raises MalformedPacket or ChecksumMismatch."""
    if len(data) < HEADER_LENGTH:
        raise MalformedPacket(f"ICMP: the header has {HEADER_LENGTH} octets, there are {len(data)}")
    if checksum(data, 0):
        found = int.from_bytes(data[2:4], "big")
        raise ChecksumMismatch(f"ICMP: the checksum is {found:#06x}, off by {checksum(data, 0):#06x}")
    kind, code, _, rest = _HEADER.unpack_from(data)
    return IcmpMessage(kind, code, rest, memoryview(data)[HEADER_LENGTH:])


def build(message: IcmpMessage, checksum: Checksum = internet_checksum) -> bytes:
    """The octets of `message`."""
    octets = bytearray(_HEADER.pack(message.type, message.code, 0, message.rest))
    octets += message.payload
    octets[2:4] = checksum(octets, 0).to_bytes(2, "big")
    return bytes(octets)


def parse_quoted(payload: Octets) -> tuple[ipv4.Ipv4Header, memoryview]:
    """The datagram that an error quotes: its header and at least eight octets behind it.

    It is cut short on purpose, and routers have changed its TTL, some without mending the checksum: neither the
    total length nor the checksum is held against it. Raises MalformedPacket.
    """
    header, header_length, _ = ipv4.parse_header(payload)
    quoted = memoryview(payload)[header_length:]
    if len(quoted) < _QUOTED_OCTETS:
        raise MalformedPacket(f"ICMP: an error quotes at least {_QUOTED_OCTETS} octets of text, there are {len(quoted)}")
    return header, quoted
