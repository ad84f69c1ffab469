"""ARP packets for IPv4 over Ethernet (RFC 826)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.addresses import Ipv4Address, MacAddress
from stack.errors import MalformedPacket
from stack.octets import Octets

REQUEST: Final = 1
REPLY: Final = 2

_PACKET = struct.Struct("!HHBBH6sI6sI")
_HARDWARE_ETHERNET: Final = 1
_PROTOCOL_IPV4: Final = 0x0800


@dataclass(slots=True)
class ArpPacket:
    """ar$op, ar$sha, ar$spa, ar$tha, ar$tpa."""

    operation: int
    sender_mac: MacAddress
    sender_address: Ipv4Address
    target_mac: MacAddress
    target_address: Ipv4Address


def parse(payload: Octets) -> ArpPacket:
    """The packet at the start of `payload` (padding may follow). Raises MalformedPacket."""
    if len(payload) < _PACKET.size:
        raise MalformedPacket(f"ARP: a packet for IPv4 has {_PACKET.size} octets, there are {len(payload)}")
    hardware, protocol, hlen, plen, operation, sha, spa, tha, tpa = _PACKET.unpack_from(payload)
    if (hardware, hlen) != (_HARDWARE_ETHERNET, 6):
        raise MalformedPacket(f"ARP: hardware type {hardware} with {hlen} octets is not Ethernet, which is 1 with 6")
    if (protocol, plen) != (_PROTOCOL_IPV4, 4):
        raise MalformedPacket(f"ARP: protocol {protocol:#06x} with {plen} octets is not IPv4, which is 0x0800 with 4")
    if operation not in (REQUEST, REPLY):
        raise MalformedPacket(f"ARP: operation {operation} is neither request (1) nor reply (2)")
    return ArpPacket(operation, sha, spa, tha, tpa)


def build(packet: ArpPacket) -> bytes:
    """The 28 octets of `packet`."""
    return _PACKET.pack(
        _HARDWARE_ETHERNET, _PROTOCOL_IPV4, 6, 4, packet.operation,
        packet.sender_mac, packet.sender_address, packet.target_mac, packet.target_address,
    )  # fmt: skip
