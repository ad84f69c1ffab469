"""TCP segments (RFC 9293 section 3.1)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.errors import ChecksumMismatch, MalformedPacket
from stack.octets import Octets
from stack.wire import tcp_options
from stack.wire.checksum import Checksum, internet_checksum, pseudo_header
from stack.wire.ipv4 import PROTOCOL_TCP
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions

HEADER_LENGTH: Final = 20

FIN: Final = 1
SYN: Final = 2
RST: Final = 4
PSH: Final = 8
ACK: Final = 16
URG: Final = 32
ECE: Final = 64
CWR: Final = 128

_HEADER = struct.Struct("!HHIIBBHHH")


@dataclass(slots=True)
class Segment:
    """One segment; `payload` may be a view of a frame ring, good only until the ring is used again.

    `segments` is how many segments of the wire this one stands for, where in-order ones were merged; `tos` is the
    IPv4 header's, for ECN.
    """

    src_port: int
    dst_port: int
    seq: int
    ack: int
    flags: int
    window: int
    payload: Octets = b""
    options: TcpOptions = NO_OPTIONS
    urgent: int = 0
    segments: int = 1
    tos: int = 0

    @property
    def length(self) -> int:
        """SEG.LEN: the octets of text, SYN and FIN counted."""
        return len(self.payload) + (self.flags & FIN) + (self.flags >> 1 & 1)


def parse(data: Octets, src: int, dst: int, checksum: Checksum = internet_checksum) -> Segment:
    """The segment that an IPv4 datagram from `src` to `dst` carries. Raises MalformedPacket or ChecksumMismatch."""
    size = len(data)
    if size < HEADER_LENGTH:
        raise MalformedPacket(f"TCP: the header has at least {HEADER_LENGTH} octets, the segment has {size}")
    src_port, dst_port, seq, ack, offset, flags, window, found, urgent = _HEADER.unpack_from(data)
    header = (offset >> 4) * 4
    if header < HEADER_LENGTH:
        raise MalformedPacket(f"TCP: data offset says {header} octets, the header has at least {HEADER_LENGTH}")
    if header > size:
        raise MalformedPacket(f"TCP: data offset says {header} octets, the segment has {size}")
    if checksum(data, pseudo_header(src, dst, PROTOCOL_TCP, size)):
        raise ChecksumMismatch(f"TCP: the checksum {found:#06x} is not that of the {size} octets")
    view = memoryview(data)
    options = tcp_options.parse(view[HEADER_LENGTH:header]) if header > HEADER_LENGTH else NO_OPTIONS
    return Segment(src_port, dst_port, seq, ack, flags, window, view[header:], options, urgent)


def build(segment: Segment, src: int, dst: int, checksum: Checksum = internet_checksum) -> bytes:
    """The octets of `segment`, for an IPv4 datagram from `src` to `dst`."""
    options = tcp_options.build(segment.options)
    header = HEADER_LENGTH + len(options)
    octets = bytearray(
        _HEADER.pack(
            segment.src_port, segment.dst_port, segment.seq, segment.ack, header << 2, segment.flags,
            segment.window, 0, segment.urgent,
        )  # fmt: skip
    )
    octets += options
    octets += segment.payload
    value = checksum(octets, pseudo_header(src, dst, PROTOCOL_TCP, len(octets)))
    octets[16:18] = value.to_bytes(2, "big")
    return bytes(octets)
