"""A frame of a TCP connection taken apart again: its values, and where in its octets each of them is.

The values come from stack.wire, which knows the formats; only the places of the fields are told here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from stack.addresses import show_ipv4, show_mac
from stack.errors import MalformedPacket
from stack.octets import Octets
from stack.wire import ethernet, ipv4, tcp, tcp_options
from stack.wire.ethernet import EthernetHeader
from stack.wire.ipv4 import Ipv4Header
from stack.wire.tcp import Segment

_START_LINE: Final = re.compile(rb"HTTP/1\.\d \d{3} |[A-Z]{3,7} [!-~]+ HTTP/1\.\d\Z")
_FLAGS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_OPTIONS: Final = {
    tcp_options.MSS: "Maximum segment size",
    tcp_options.WINDOW_SCALE: "Window scale",
    tcp_options.SACK_PERMITTED: "SACK permitted",
    tcp_options.SACK: "SACK",
    tcp_options.TIMESTAMPS: "Timestamps",
}
_MAX_LINES: Final = 64  # of HTTP, told apart


@dataclass(frozen=True, slots=True)
class Place:
    """`length` octets from `start` on: a layer's header or, with a value, one field of it."""

    layer: str
    name: str
    value: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Dissection:
    """One frame. `layers` and `fields` are in the order of their octets; `payload_at` is where TCP's data begins."""

    ethernet: EthernetHeader
    ipv4: Ipv4Header
    tcp: Segment
    total_length: int
    layers: tuple[Place, ...]
    fields: tuple[Place, ...]
    payload_at: int


def flags_of(segment: Segment) -> list[str]:
    """The names of the flags that are set."""
    return [name for bit, name in enumerate(_FLAGS) if segment.flags >> bit & 1]


def dissect(frame: Octets) -> Dissection | None:
    """`frame`, or None if it carries no TCP. Checksums were verified when it arrived."""
    try:
        link, packet = ethernet.parse(frame)
        if link.ethertype != ethernet.ETHERTYPE_IPV4:
            return None
        internet, payload = ipv4.parse(packet, _no_checksum)
        if internet.protocol != ipv4.PROTOCOL_TCP or internet.fragment_offset or internet.more_fragments:
            return None
        segment = tcp.parse(payload, internet.src, internet.dst, _no_checksum)
    except MalformedPacket:
        return None
    ip_at = len(frame) - len(packet)
    tcp_at = ip_at + internet.length
    data_at = tcp_at + len(payload) - len(segment.payload)
    layers = [
        Place("Ethernet", "Ethernet", "", 0, ip_at),
        Place("IPv4", "IPv4", "", ip_at, tcp_at - ip_at),
        Place("TCP", "TCP", "", tcp_at, data_at - tcp_at),
    ]
    if segment.payload:
        layers.append(Place("HTTP", "HTTP", "", data_at, len(segment.payload)))
    fields = (
        *_ethernet_fields(link, ip_at),
        *_ipv4_fields(internet, packet, ip_at),
        *_tcp_fields(segment, payload, tcp_at),
        *_http_fields(bytes(segment.payload), data_at),
    )
    total_length = internet.length + len(payload)
    return Dissection(link, internet, segment, total_length, tuple(layers), fields, data_at)


def options_of(segment: Segment) -> dict[str, Any]:
    """TCP's options by name, those that are there."""
    options = segment.options
    found: dict[str, Any] = {
        "mss": options.mss,
        "window_scale": options.window_scale,
        "sack_permitted": options.sack_permitted or None,
        "sack_blocks": [list(block) for block in options.sack_blocks] or None,
        "timestamp": options.ts_val,
        "timestamp_echo": options.ts_ecr if options.ts_val is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _no_checksum(data: Octets, initial: int = 0) -> int:
    return 0


def _ethernet_fields(header: EthernetHeader, length: int) -> Iterator[Place]:
    yield Place("Ethernet", "Destination", show_mac(header.dst), 0, 6)
    yield Place("Ethernet", "Source", show_mac(header.src), 6, 6)
    if header.vlan is not None:
        yield Place("Ethernet", "802.1Q tag", f"{header.vlan:#06x}", 12, 4)
    yield Place("Ethernet", "Type", f"{header.ethertype:#06x} IPv4", length - 2, 2)


def _ipv4_fields(header: Ipv4Header, packet: Octets, at: int) -> Iterator[Place]:
    def place(name: str, value: object, start: int, length: int) -> Place:
        return Place("IPv4", name, str(value), at + start, length)

    flags = " ".join(("DF",) * header.dont_fragment + ("MF",) * header.more_fragments) or "none"
    yield place("Version, header length", f"4, {header.length}", 0, 1)
    yield place("DSCP, ECN", f"{header.tos >> 2}, {header.tos & 3}", 1, 1)
    yield place("Total length", int.from_bytes(packet[2:4], "big"), 2, 2)
    yield place("Identification", header.identification, 4, 2)
    yield place("Flags, fragment offset", f"{flags}, {header.fragment_offset}", 6, 2)
    yield place("Time to live", header.ttl, 8, 1)
    yield place("Protocol", "6 TCP", 9, 1)
    yield place("Header checksum", f"0x{packet[10:12].hex()}", 10, 2)
    yield place("Source", show_ipv4(header.src), 12, 4)
    yield place("Destination", show_ipv4(header.dst), 16, 4)
    if header.options:
        yield place("Options", header.options.hex(" "), 20, header.length - 20)


def _tcp_fields(segment: Segment, data: memoryview, at: int) -> Iterator[Place]:
    def place(name: str, value: object, start: int, length: int) -> Place:
        return Place("TCP", name, str(value), at + start, length)

    header_length = len(data) - len(segment.payload)
    yield place("Source port", segment.src_port, 0, 2)
    yield place("Destination port", segment.dst_port, 2, 2)
    yield place("Sequence number", segment.seq, 4, 4)
    yield place("Acknowledgment number", segment.ack, 8, 4)
    yield place("Header length", header_length, 12, 1)
    yield place("Flags", " ".join(flags_of(segment)) or "none", 13, 1)
    yield place("Window", segment.window, 14, 2)
    yield place("Checksum", f"0x{data[16:18].hex()}", 16, 2)
    yield place("Urgent pointer", segment.urgent, 18, 2)
    for kind, start, length in _options(data[:header_length]):
        yield place(_OPTIONS.get(kind, f"Option {kind}"), _option_value(kind, segment), start, length)


def _options(header: memoryview) -> Iterator[tuple[int, int, int]]:
    """Kind, start and length of every option, padding not included; parse() has found them well-formed."""
    at = tcp.HEADER_LENGTH
    while at < len(header) and header[at] != tcp_options.END:
        if header[at] == tcp_options.NOP:
            at += 1
            continue
        yield header[at], at, header[at + 1]
        at += header[at + 1]


def _option_value(kind: int, segment: Segment) -> str:
    options = segment.options
    values = {
        tcp_options.MSS: str(options.mss),
        tcp_options.WINDOW_SCALE: f"{options.window_scale} (times {1 << (options.window_scale or 0)})",
        tcp_options.SACK_PERMITTED: "yes",
        tcp_options.SACK: ", ".join(f"{left}-{right}" for left, right in options.sack_blocks),
        tcp_options.TIMESTAMPS: f"{options.ts_val}, echo {options.ts_ecr}",
    }
    return values.get(kind, "")


def _http_fields(payload: bytes, at: int) -> Iterator[Place]:
    """The lines of a header section, if the payload begins with one; else the payload as a whole."""
    if not payload:
        return
    head, end, _ = payload.partition(b"\r\n\r\n")
    first = head.split(b"\r\n", 1)[0]
    if not _START_LINE.match(first):
        yield Place("HTTP", "Data", f"{len(payload)} octets", at, len(payload))
        return
    offset = 0
    for number, line in enumerate(head.split(b"\r\n")[:_MAX_LINES]):
        name, colon, value = line.decode("latin-1").partition(":")
        length = min(len(line) + 2, len(payload) - offset)
        if number == 0 or not colon:
            yield Place("HTTP", "Start line", line.decode("latin-1"), at + offset, length)
        else:
            yield Place("HTTP", name, value.strip(), at + offset, length)
        offset += length
    rest = len(payload) - len(head) - len(end)
    if end:
        yield Place("HTTP", "Empty line", "end of the header section", at + len(head) + 2, 2)
    if end and rest:
        yield Place("HTTP", "Content", f"{rest} octets", at + len(payload) - rest, rest)
