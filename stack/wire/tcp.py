"""TCP segments (RFC 9293 3.1)."""

import struct
from dataclasses import dataclass
from typing import Final

from stack.errors import MalformedPacket
from stack.octets import Octets
from stack.wire import tcp_options
from stack.wire.checksum import Checksum, internet_checksum, mismatch, pseudo_header
from stack.wire.ipv4 import PROTOCOL_TCP
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions

FIN: Final = 1
SYN: Final = 2
RST: Final = 4
PSH: Final = 8
ACK: Final = 16
URG: Final = 32
ECE: Final = 64
CWR: Final = 128

HEADER_LENGTH: Final = 20

_HEADER: Final = struct.Struct("!HHIIBBHHH")
_CHECKSUM_AT: Final = 16


@dataclass(slots=True)
class Segment:
    """One segment. `window` is the field as it is on the wire, `tos` that of the datagram.

    `segments` is the number of segments on the wire that a merged run stands for; `payload` is then all of theirs.
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
        """SEG.LEN: the octets of the sequence space it takes, SYN and FIN included (RFC 9293 3.4)."""
        flags = self.flags
        return len(self.payload) + (flags >> 1 & 1) + (flags & 1)


def parse(data: Octets, src: int, dst: int, checksum: Checksum = internet_checksum) -> Segment:
    """The segment from `src` to `dst`; its payload is a view of `data`. Raises MalformedPacket, ChecksumMismatch."""
    size = len(data)
    if size < HEADER_LENGTH:
        raise MalformedPacket(f"TCP: a header has {HEADER_LENGTH} octets, {size} arrived")
    src_port, dst_port, seq, ack, offset, flags, window, field, urgent = _HEADER.unpack_from(data)
    # The checksum comes before the fields: in a segment that was damaged, none of them means anything.
    if residue := checksum(data, pseudo_header(src, dst, PROTOCOL_TCP, size)):
        raise mismatch("TCP", field, residue)
    header_length = (offset >> 4) * 4
    if header_length < HEADER_LENGTH:
        raise MalformedPacket(f"TCP: data offset says {header_length} octets, a header has {HEADER_LENGTH}")
    if header_length > size:
        raise MalformedPacket(f"TCP: data offset says {header_length} octets, the segment has {size}")
    view = memoryview(data)
    options = NO_OPTIONS if header_length == HEADER_LENGTH else tcp_options.parse(view[HEADER_LENGTH:header_length])
    return Segment(src_port, dst_port, seq, ack, flags, window, view[header_length:], options, urgent)


def build(segment: Segment, src: int, dst: int, checksum: Checksum = internet_checksum) -> bytes:
    """The octets of `segment` from `src` to `dst`. Raises ValueError when its options are too long."""
    options = tcp_options.build(segment.options)
    octets = bytearray(
        _HEADER.pack(
            segment.src_port, segment.dst_port, segment.seq, segment.ack, HEADER_LENGTH + len(options) << 2,
            segment.flags, segment.window, 0, segment.urgent,
        )
    )  # fmt: skip
    octets += options
    octets += segment.payload
    field = checksum(octets, pseudo_header(src, dst, PROTOCOL_TCP, len(octets)))
    octets[_CHECKSUM_AT : _CHECKSUM_AT + 2] = field.to_bytes(2, "big")
    return bytes(octets)
