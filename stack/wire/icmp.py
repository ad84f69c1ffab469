"""ICMP messages (RFC 792)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.errors import MalformedPacket
from stack.octets import Octets
from stack.wire import ipv4
from stack.wire.checksum import Checksum, internet_checksum, mismatch
from stack.wire.ipv4 import Ipv4Header

HEADER_LENGTH: Final = 8
QUOTED_OCTETS: Final = 8
"""What of a datagram's data an error quotes at the least (RFC 792)."""

# Types
ECHO_REPLY: Final = 0
DESTINATION_UNREACHABLE: Final = 3
SOURCE_QUENCH: Final = 4
REDIRECT: Final = 5
ECHO_REQUEST: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12
TIMESTAMP_REQUEST: Final = 13
TIMESTAMP_REPLY: Final = 14
INFORMATION_REQUEST: Final = 15
INFORMATION_REPLY: Final = 16
ADDRESS_MASK_REQUEST: Final = 17
ADDRESS_MASK_REPLY: Final = 18

ERROR_TYPES: Final = frozenset({DESTINATION_UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM})
"""The messages about which, and with which, no error is answered (RFC 1122 3.2.2)."""

# Codes of DESTINATION_UNREACHABLE (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1)
NET_UNREACHABLE: Final = 0
HOST_UNREACHABLE: Final = 1
PROTOCOL_UNREACHABLE: Final = 2
PORT_UNREACHABLE: Final = 3
FRAGMENTATION_NEEDED: Final = 4
SOURCE_ROUTE_FAILED: Final = 5
NET_UNKNOWN: Final = 6
HOST_UNKNOWN: Final = 7
SOURCE_HOST_ISOLATED: Final = 8
NET_PROHIBITED: Final = 9
HOST_PROHIBITED: Final = 10
NET_UNREACHABLE_FOR_TOS: Final = 11
HOST_UNREACHABLE_FOR_TOS: Final = 12
COMMUNICATION_PROHIBITED: Final = 13
HOST_PRECEDENCE_VIOLATION: Final = 14
PRECEDENCE_CUTOFF: Final = 15

# Codes of TIME_EXCEEDED
TTL_EXCEEDED: Final = 0
REASSEMBLY_TIME_EXCEEDED: Final = 1

# Codes of PARAMETER_PROBLEM
POINTER_INDICATES_ERROR: Final = 0
REQUIRED_OPTION_MISSING: Final = 1

_HEADER: Final = struct.Struct("!BBHI")


@dataclass(slots=True)
class IcmpMessage:
    """`rest` is the 32-bit word behind the checksum: identifier and sequence number, next-hop MTU, pointer, or zero."""

    type: int
    code: int
    rest: int
    payload: Octets = b""


def parse(data: Octets, checksum: Checksum = internet_checksum) -> IcmpMessage:
    """The message; its payload is a view of `data`. Raises MalformedPacket, ChecksumMismatch."""
    if len(data) < HEADER_LENGTH:
        raise MalformedPacket(f"ICMP: a header has {HEADER_LENGTH} octets, {len(data)} arrived")
    kind, code, field, rest = _HEADER.unpack_from(data)
    if residue := checksum(data, 0):
        raise mismatch("ICMP", field, residue)
    return IcmpMessage(kind, code, rest, memoryview(data)[HEADER_LENGTH:])


def build(message: IcmpMessage, checksum: Checksum = internet_checksum) -> bytes:
    """The octets of `message`."""
    octets = bytearray(_HEADER.pack(message.type, message.code, 0, message.rest))
    octets += message.payload
    octets[2:4] = checksum(octets, 0).to_bytes(2, "big")
    return bytes(octets)


def parse_quoted(payload: Octets) -> tuple[Ipv4Header, memoryview]:
    """The header, and at least 8 octets of the data, of the datagram that an error quotes. Raises MalformedPacket.

    The quote is cut short as a rule, so its total length may be more than is there. Its checksum is not verified:
    routers decrement TTL before they quote and not all adjust the checksum, and the ICMP checksum has covered these
    octets already.
    """
    header, header_length, total_length = ipv4.parse_header(payload)
    least = header_length + QUOTED_OCTETS
    if len(payload) < least:
        raise MalformedPacket(f"ICMP: an error quotes at least {least} octets of this datagram, {len(payload)} arrived")
    # Behind the end of a short datagram come the padding and the extensions of RFC 4884; a total length that leaves
    # not even 8 octets of data is one of those that some hosts garble before they quote.
    end = total_length if total_length >= least else None
    return header, memoryview(payload)[header_length:end]
