"""Ethernet II frames (RFC 894), with at most one 802.1Q tag."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.addresses import MacAddress
from stack.errors import MalformedPacket
from stack.octets import Octets

ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_ARP: Final = 0x0806
ETHERTYPE_VLAN: Final = 0x8100
HEADER_LENGTH: Final = 14
TAG_LENGTH: Final = 4

_HEADER: Final = struct.Struct("!6s6sH")
_TAG: Final = struct.Struct("!HH")


@dataclass(slots=True)
class EthernetHeader:
    """`vlan` is the 16-bit tag control information of an 802.1Q tag, `ethertype` then the one behind the tag.

    Below 0x0600 `ethertype` is the length field of an 802.3 frame: no protocol has such a number, so nobody here
    speaks it and the frame is dropped as one of an unknown type (RFC 1122 2.3.3 only has hosts SHOULD take RFC 1042).
    """

    dst: MacAddress
    src: MacAddress
    ethertype: int
    vlan: int | None = None


def parse(frame: Octets) -> tuple[EthernetHeader, memoryview]:
    """The header and what follows it, padding included. Raises MalformedPacket."""
    size = len(frame)
    if size < HEADER_LENGTH:
        raise MalformedPacket(f"Ethernet: a header has {HEADER_LENGTH} octets, the frame has {size}")
    dst, src, ethertype = _HEADER.unpack_from(frame)
    if ethertype != ETHERTYPE_VLAN:
        return EthernetHeader(dst, src, ethertype), memoryview(frame)[HEADER_LENGTH:]
    tagged = HEADER_LENGTH + TAG_LENGTH
    if size < tagged:
        raise MalformedPacket(f"Ethernet: a header with an 802.1Q tag has {tagged} octets, the frame has {size}")
    vlan, ethertype = _TAG.unpack_from(frame, HEADER_LENGTH)
    return EthernetHeader(dst, src, ethertype, vlan), memoryview(frame)[tagged:]


def build(header: EthernetHeader, payload: Octets) -> bytes:
    """The frame, not padded: that is the business of the device that needs it."""
    if header.vlan is None:
        return b"".join((_HEADER.pack(header.dst, header.src, header.ethertype), payload))
    tag = _TAG.pack(header.vlan, header.ethertype)
    return b"".join((_HEADER.pack(header.dst, header.src, ETHERTYPE_VLAN), tag, payload))
