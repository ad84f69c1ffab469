"""Blocks of a capture file that Wireshark reads (draft-ietf-opsawg-pcapng), little-endian, nanoseconds."""

import struct
from collections.abc import Iterator
from typing import Final

from stack.octets import Octets

INBOUND: Final = 1
OUTBOUND: Final = 2

_SECTION_HEADER: Final = 0x0A0D0D0A
_INTERFACE_DESCRIPTION: Final = 1
_ENHANCED_PACKET: Final = 6

_BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
_LENGTH_UNKNOWN: Final = -1
_LINKTYPE_ETHERNET: Final = 1
_NANOSECONDS: Final = 9  # a power of ten, negated

_OPT_ENDOFOPT: Final = bytes(4)
_SHB_HARDWARE: Final = 2
_SHB_OS: Final = 3
_SHB_USERAPPL: Final = 4
_IF_NAME: Final = 2
_IF_TSRESOL: Final = 9
_EPB_FLAGS: Final = 2

_FRAME: Final = struct.Struct("<II")
_U32: Final = struct.Struct("<I")
_OPTION: Final = struct.Struct("<HH")
_SECTION: Final = struct.Struct("<IHHq")
_INTERFACE: Final = struct.Struct("<HHI")
_PACKET: Final = struct.Struct("<IIIII")
_FLAGS: Final = struct.Struct("<HHI")
_SMALLEST_BLOCK: Final = _FRAME.size + _U32.size


def section_header(hardware: str, system: str, application: str) -> bytes:
    """The block that a file starts with."""
    options = (
        _option(_SHB_HARDWARE, hardware.encode())
        + _option(_SHB_OS, system.encode())
        + _option(_SHB_USERAPPL, application.encode())
    )
    return _block(_SECTION_HEADER, _SECTION.pack(_BYTE_ORDER_MAGIC, 1, 0, _LENGTH_UNKNOWN), options, _OPT_ENDOFOPT)


def interface_description(name: str, snaplen: int) -> bytes:
    """An Ethernet interface; the first of a section is interface 0. A `snaplen` of 0 is no limit."""
    options = _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, bytes((_NANOSECONDS,)))
    return _block(_INTERFACE_DESCRIPTION, _INTERFACE.pack(_LINKTYPE_ETHERNET, 0, snaplen), options, _OPT_ENDOFOPT)


def enhanced_packet(interface: int, timestamp_ns: int, octets: Octets, original_length: int, direction: int) -> bytes:
    """A frame, INBOUND or OUTBOUND, at `timestamp_ns` since 1970; `octets` are the first of `original_length`."""
    size = len(octets)
    header = _PACKET.pack(interface, timestamp_ns >> 32, timestamp_ns & 0xFFFF_FFFF, size, original_length)
    flags = _FLAGS.pack(_EPB_FLAGS, 4, direction)
    return _block(_ENHANCED_PACKET, header, octets, bytes(-size % 4), flags, _OPT_ENDOFOPT)


def packets(content: Octets) -> Iterator[tuple[int, bytes]]:
    """The packets of a file of such blocks, each with its time; it ends in front of a block that is cut off."""
    at = 0
    while at + _SMALLEST_BLOCK <= len(content):
        kind, length = _FRAME.unpack_from(content, at)
        if length < _SMALLEST_BLOCK or at + length > len(content):
            return
        if kind == _ENHANCED_PACKET and length >= _SMALLEST_BLOCK + _PACKET.size:
            _, high, low, size, _ = _PACKET.unpack_from(content, at + _FRAME.size)
            start = at + _FRAME.size + _PACKET.size
            yield high << 32 | low, bytes(content[start : min(start + size, at + length - _U32.size)])
        at += length


def _option(code: int, value: bytes) -> bytes:
    return b"".join((_OPTION.pack(code, len(value)), value, bytes(-len(value) % 4)))


def _block(kind: int, *parts: Octets) -> bytes:
    length = _FRAME.size + sum(map(len, parts)) + _U32.size
    return b"".join((_FRAME.pack(kind, length), *parts, _U32.pack(length)))
