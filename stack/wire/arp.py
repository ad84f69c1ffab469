"""ARP for IPv4 over Ethernet (RFC 826)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.addresses import Ipv4Address, MacAddress
from stack.errors import MalformedPacket
from stack.octets import Octets
from stack.wire.ethernet import ETHERTYPE_IPV4

REQUEST: Final = 1
REPLY: Final = 2

HARDWARE_ETHERNET: Final = 1
_PACKET: Final = struct.Struct("!HHBBH6sI6sI")
_MAC_LENGTH: Final = 6
_ADDRESS_LENGTH: Final = 4


@dataclass(slots=True)
class ArpPacket:
    """ar$op, ar$sha, ar$spa, ar$tha and ar$tpa of RFC 826."""

    operation: int
    sender_mac: MacAddress
    sender_address: Ipv4Address
    target_mac: MacAddress
    target_address: Ipv4Address


def parse(payload: Octets) -> ArpPacket:
    """The packet; octets behind it are Ethernet's padding. Raises MalformedPacket, also for other address kinds."""
    if len(payload) < _PACKET.size:
        raise MalformedPacket(f"ARP: a packet has {_PACKET.size} octets, the frame carries {len(payload)}")
    hardware, protocol, mac_length, address_length, *rest = _PACKET.unpack_from(payload)
    if hardware != HARDWARE_ETHERNET:
        raise MalformedPacket(f"ARP: hardware type is {hardware}, Ethernet's is {HARDWARE_ETHERNET}")
    if protocol != ETHERTYPE_IPV4:
        raise MalformedPacket(f"ARP: protocol type is {protocol:#06x}, IPv4's is {ETHERTYPE_IPV4:#06x}")
    if mac_length != _MAC_LENGTH:
        raise MalformedPacket(f"ARP: hardware address length is {mac_length}, Ethernet's is {_MAC_LENGTH}")
    if address_length != _ADDRESS_LENGTH:
        raise MalformedPacket(f"ARP: protocol address length is {address_length}, IPv4's is {_ADDRESS_LENGTH}")
    # RARP, InARP and others use the same packet with other operations, in which the addresses mean something else.
    if (operation := rest[0]) not in (REQUEST, REPLY):
        raise MalformedPacket(f"ARP: operation is {operation}, a request's is {REQUEST} and a reply's {REPLY}")
    return ArpPacket(*rest)


def build(packet: ArpPacket) -> bytes:
    """The 28 octets of the packet."""
    return _PACKET.pack(
        HARDWARE_ETHERNET, ETHERTYPE_IPV4, _MAC_LENGTH, _ADDRESS_LENGTH, packet.operation,
        packet.sender_mac, packet.sender_address, packet.target_mac, packet.target_address,
    )  # fmt: skip
