"""Ethernet II frames (RFC 894), with one 802.1Q tag recognised. No frame check sequence: a TAP carries none."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.addresses import MacAddress
from stack.errors import MalformedPacket
from stack.octets import Octets

HEADER_LENGTH: Final = 14
ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_ARP: Final = 0x0806
ETHERTYPE_VLAN: Final = 0x8100

_HEADER = struct.Struct("!6s6sH")
_TAG = struct.Struct("!HH")


@dataclass(slots=True)
class EthernetHeader:
    """`vlan` is the tag control information of an 802.1Q tag, or None.

    A value below 0x0600 in `ethertype` is the length field of an IEEE 802.3 frame, which no protocol here uses.
    """

    dst: MacAddress
    src: MacAddress
    ethertype: int
    vlan: int | None = None


def parse(frame: Octets) -> tuple[EthernetHeader, memoryview]:
    """The header and the payload, padding included. Raises MalformedPacket."""
    if len(frame) < HEADER_LENGTH:
        raise MalformedPacket(f"Ethernet: the header has {HEADER_LENGTH} octets, the frame has {len(frame)}")
    dst, src, ethertype = _HEADER.unpack_from(frame)
    view = memoryview(frame)
    if ethertype != ETHERTYPE_VLAN:
        return EthernetHeader(dst, src, ethertype), view[HEADER_LENGTH:]
    tagged = HEADER_LENGTH + _TAG.size
    if len(frame) < tagged:
        raise MalformedPacket(f"Ethernet: the header with its 802.1Q tag has {tagged} octets, the frame {len(frame)}")
    vlan, inner = _TAG.unpack_from(frame, HEADER_LENGTH)
    return EthernetHeader(dst, src, inner, vlan), view[tagged:]


def build(header: EthernetHeader, payload: Octets) -> bytes:
    """The frame, not padded to the minimum of the wire."""
    if header.vlan is None:
        return b"".join((_HEADER.pack(header.dst, header.src, header.ethertype), payload))
    lead = _HEADER.pack(header.dst, header.src, ETHERTYPE_VLAN)
    return b"".join((lead, _TAG.pack(header.vlan, header.ethertype), payload))
