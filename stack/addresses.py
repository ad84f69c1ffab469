"""Ethernet and IPv4 addresses.

An IPv4 address is an int and a MAC address six octets, each under a name of its own for the type checker: the
packet path compares and hashes them millions of times, and plain values cost nothing to make.
"""

import ipaddress
from dataclasses import dataclass
from typing import NewType

from stack.errors import ConfigurationError

Ipv4Address = NewType("Ipv4Address", int)
MacAddress = NewType("MacAddress", bytes)

UNSPECIFIED = Ipv4Address(0)
LIMITED_BROADCAST = Ipv4Address(0xFFFF_FFFF)
BROADCAST_MAC = MacAddress(b"\xff" * 6)
UNSPECIFIED_MAC = MacAddress(bytes(6))


def ipv4(text: str) -> Ipv4Address:
    """The address written as `text` ("10.77.0.2"). Raises ConfigurationError."""
    try:
        return Ipv4Address(int(ipaddress.IPv4Address(text)))
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not an IPv4 address: {error}") from None


def show_ipv4(address: int) -> str:
    """`address` in dotted decimal."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def mac(text: str) -> MacAddress:
    """The address written as `text` ("02:00:00:00:00:01"). Raises ConfigurationError."""
    parts = text.replace("-", ":").split(":")
    try:
        octets = bytes(int(part, 16) for part in parts)
    except ValueError:
        octets = b""
    if len(octets) != 6:
        raise ConfigurationError(f"{text!r} is not a MAC address: it needs six octets, as in 02:00:00:00:00:01")
    return MacAddress(octets)


def show_mac(address: bytes) -> str:
    """`address` in colon notation."""
    return address.hex(":")


def is_group_mac(address: bytes) -> bool:
    """Whether `address` is a multicast or the broadcast address (IEEE 802: the I/G bit)."""
    return bool(address[0] & 1)


def is_multicast(address: int) -> bool:
    """Whether `address` is in 224.0.0.0/4 (RFC 1112)."""
    return address >> 28 == 0xE


def can_be_a_source(address: int) -> bool:
    """Whether a datagram from the network may carry `address` as its source (RFC 1122 3.2.1.3, RFC 1812 5.3.7).

    Refused are 0.0.0.0/8, 127.0.0.0/8, multicast, 240.0.0.0/4 and the limited broadcast.
    """
    return address >> 28 < 0xE and address >> 24 not in (0, 127)


@dataclass(frozen=True, slots=True)
class Network:
    """An IPv4 prefix; `address` has its host bits zero."""

    address: Ipv4Address
    prefix_length: int

    @classmethod
    def of(cls, address: int, prefix_length: int) -> "Network":
        """The network of `prefix_length` that holds `address`."""
        if not 0 <= prefix_length <= 32:
            raise ConfigurationError(f"a prefix length is 0 to 32, not {prefix_length}")
        return cls(Ipv4Address(address & _mask(prefix_length)), prefix_length)

    @property
    def mask(self) -> int:
        """The prefix as a 32-bit mask."""
        return _mask(self.prefix_length)

    @property
    def broadcast(self) -> Ipv4Address | None:
        """The directed broadcast address, or None where there is none (/31 of RFC 3021, /32)."""
        if self.prefix_length > 30:
            return None
        return Ipv4Address(self.address | ~self.mask & 0xFFFF_FFFF)

    def __contains__(self, address: int) -> bool:
        return address & self.mask == self.address

    def __str__(self) -> str:
        return f"{show_ipv4(self.address)}/{self.prefix_length}"


def network(text: str) -> Network:
    """The network written as `text` ("10.77.0.0/24"; host bits are cleared). Raises ConfigurationError."""
    address, prefix_length = interface_address(text)
    return Network.of(address, prefix_length)


def interface_address(text: str) -> tuple[Ipv4Address, int]:
    """The address and prefix length written as `text` ("10.77.0.2/24"). Raises ConfigurationError."""
    address, slash, prefix = text.partition("/")
    if not slash or not prefix.isascii() or not prefix.isdigit() or int(prefix) > 32:
        raise ConfigurationError(f"{text!r} is not an address with a prefix length, such as 10.77.0.2/24")
    return ipv4(address), int(prefix)


def _mask(prefix_length: int) -> int:
    return 0xFFFF_FFFF << 32 - prefix_length & 0xFFFF_FFFF
