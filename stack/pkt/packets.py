"""Datagrams from the packets of a script, and packets in a script's terms from the datagrams of the host.

A Flow knows what the script does not: the ports, our initial sequence number, and our time stamps. The script's own
initial sequence numbers are what it writes in its SYNs.
"""

import struct
from dataclasses import dataclass, field, replace
from typing import Final

from stack.addresses import Ipv4Address
from stack.octets import Octets
from stack.pkt.settings import Settings
from stack.pkt.syntax import IcmpPacket, IpFields, Option, Packet, ScriptFailure, TcpPacket, UdpPacket
from stack.pkt.text import pattern
from stack.wire import icmp, ipv4, tcp, tcp_options, udp
from stack.wire.checksum import internet_checksum, pseudo_header
from stack.wire.icmp import IcmpMessage
from stack.wire.ipv4 import PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, Ipv4Header
from stack.wire.udp import UdpHeader

_MASK: Final = 0xFFFF_FFFF
_TCP: Final = struct.Struct("!HHIIBBHHH")
_PORTS: Final = struct.Struct("!HH")
_WIDTHS: Final = {tcp_options.MSS: "!H", tcp_options.WINDOW_SCALE: "!B"}  # other options have words
_LONE: Final = (tcp_options.END, tcp_options.NOP)
_TAIL: Final = tcp.FIN | tcp.PSH  # what only the last segment of a run carries


@dataclass(slots=True)
class Flow:
    """A connection as the script sees it."""

    local_port: int
    remote_port: int
    local_isn: int = 0
    shown_isn: int = 0  # what the script writes for it
    remote_isn: int = 0
    is_open: bool = False  # the host has acknowledged the SYN that this is from
    last_sent: tuple[int, int] = (0, 0)  # sequence number and length of the segment that the host sent last
    stamps: dict[int, int] = field(default_factory=dict)  # our time stamps, by what the script writes for them
    stamp_shift: int | None = None  # a time stamp of ours less what the script writes for it

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from others of the same two hosts."""
        return self.local_port, self.remote_port

    def base(self, flags: int, local: bool) -> int:
        """What to add to a number of the script: those of a SYN are not relative."""
        if not local:
            return 0 if flags & tcp.SYN else self.remote_isn
        return self.local_isn - self.shown_isn if flags & tcp.SYN else self.local_isn


# From the script to the host


def datagrams_of(packet: Packet, flow: Flow, settings: Settings) -> list[bytes]:
    """The datagrams of a packet that arrives: more than one where it is longer than the link's MTU."""
    remote, local = settings.remote_ip, settings.local_ip
    if isinstance(packet, TcpPacket):
        if packet.flags & tcp.SYN and not flow.is_open:
            flow.remote_isn = packet.seq
        contents = [_segment(each, flow, settings) for each in _cut(packet, flow, settings.mtu)]
        return [_datagram(packet.ip, PROTOCOL_TCP, each, settings) for each in contents]
    if isinstance(packet, UdpPacket):
        ports = packet.ports or (flow.remote_port, flow.local_port)
        content = udp.build(UdpHeader(*ports), pattern(0, packet.length), remote, local)
        return [_datagram(packet.ip, PROTOCOL_UDP, content, settings)]
    content = icmp.build(_icmp_message(packet, flow, settings))
    return [_datagram(packet.ip, PROTOCOL_ICMP, content, settings)]


def _cut(packet: TcpPacket, flow: Flow, mtu: int) -> list[TcpPacket]:
    room = mtu - ipv4.HEADER_LENGTH - tcp.HEADER_LENGTH - len(_options(packet, flow))
    pieces = []
    while packet.length > room:
        pieces.append(replace(packet, length=room, flags=packet.flags & ~_TAIL))
        packet = replace(packet, seq=packet.seq + room, length=packet.length - room)
    return [*pieces, packet]


def _segment(packet: TcpPacket, flow: Flow, settings: Settings) -> bytes:
    ports = packet.ports or (flow.remote_port, flow.local_port)
    seq = (packet.seq + flow.base(packet.flags, local=False)) & _MASK
    ack = (packet.ack + flow.base(packet.flags, local=True)) & _MASK if packet.flags & tcp.ACK else 0
    options = _options(packet, flow)
    offset = tcp.HEADER_LENGTH + len(options) << 2
    first = (seq - flow.remote_isn - (not packet.flags & tcp.SYN)) & _MASK
    head = _TCP.pack(*ports, seq, ack, offset, packet.flags, packet.window or 0, 0, packet.urgent or 0)
    octets = bytearray(head + options + pattern(first, packet.length))
    checksum = internet_checksum(octets, _pseudo(settings.remote_ip, settings.local_ip, octets))
    octets[16:18] = checksum.to_bytes(2, "big")
    return bytes(octets)


def _options(packet: TcpPacket, flow: Flow) -> bytes:
    octets = b""
    for option in packet.options or ():
        numbers = option.numbers
        if option.kind in _LONE:
            octets += bytes((option.kind,))
            continue
        if option.kind == tcp_options.TIMESTAMPS:
            numbers = (numbers[0], _echoed(flow, numbers[1]))
        elif option.kind == tcp_options.SACK:
            numbers = tuple((number + flow.local_isn) & _MASK for number in numbers)
        content = struct.pack(_WIDTHS.get(option.kind, f"!{len(numbers)}I"), *numbers)
        octets += bytes((option.kind, 2 + len(content))) + content
    return octets


def _echoed(flow: Flow, ecr: int) -> int:
    """Our time stamp for what the script writes; 0 is no time stamp."""
    return flow.stamps.get(ecr, (ecr + (flow.stamp_shift or 0)) & _MASK if ecr else 0)


def _icmp_message(packet: IcmpPacket, flow: Flow, settings: Settings) -> IcmpMessage:
    if packet.type not in icmp.ERROR_TYPES:
        return IcmpMessage(packet.type, packet.code, (packet.identifier or 0) << 16, pattern(0, 56))
    seq, length = flow.last_sent
    if packet.quoted is not None:
        seq, length = (packet.quoted[0] + flow.local_isn) & _MASK, packet.quoted[1]
    head = _TCP.pack(flow.local_port, flow.remote_port, seq, 0, tcp.HEADER_LENGTH << 2, tcp.ACK, 0, 0, 0)
    header = Ipv4Header(settings.local_ip, settings.remote_ip, PROTOCOL_TCP, dont_fragment=True)
    quote = ipv4.build(header, head + bytes(length))[: ipv4.HEADER_LENGTH + tcp.HEADER_LENGTH]
    return IcmpMessage(packet.type, packet.code, packet.mtu or 0, quote)


def _datagram(ip: IpFields, protocol: int, content: bytes, settings: Settings) -> bytes:
    tos = ip.tos or ip.ecn or 0
    header = Ipv4Header(settings.remote_ip, settings.local_ip, protocol, ttl=ip.ttl or 64, tos=tos)
    return ipv4.build(header, content)


def _pseudo(src: Ipv4Address, dst: Ipv4Address, octets: Octets) -> int:
    return pseudo_header(src, dst, PROTOCOL_TCP, len(octets))


# From the host to the script


def ports_of(header: Ipv4Header, content: Octets) -> tuple[int, int] | None:
    """Local and remote port of what the host sends, where it has any."""
    if header.protocol not in (PROTOCOL_TCP, PROTOCOL_UDP):
        return None
    local, remote = _PORTS.unpack_from(content)
    return local, remote


def packet_of(header: Ipv4Header, content: Octets, flow: Flow) -> Packet:
    """A datagram of the host as a script would write it; its SYN tells `flow` our initial sequence number.

    Raises MalformedPacket, ChecksumMismatch.
    """
    ip = IpFields(header.tos & 3, header.tos, header.ttl)
    if header.protocol == PROTOCOL_UDP:
        datagram, data = udp.parse(content, header.src, header.dst)
        return UdpPacket(False, len(data), ip, (datagram.src_port, datagram.dst_port))
    if header.protocol == PROTOCOL_ICMP:
        message = icmp.parse(content)
        is_error = message.type in icmp.ERROR_TYPES
        mtu, identifier = (message.rest & 0xFFFF, None) if is_error else (None, message.rest >> 16)
        return IcmpPacket(False, message.type, message.code, mtu, identifier, None, ip)
    segment = tcp.parse(content, header.src, header.dst)
    flags = segment.flags
    if flags & tcp.SYN:
        _begin(flow, segment)
    elif flags & tcp.RST == 0:
        flow.is_open = True
    flow.last_sent = segment.seq, len(segment.payload)
    seq = (segment.seq - flow.base(flags, local=True)) & _MASK
    if flags & tcp.RST and flags & tcp.ACK and not segment.seq:
        seq = 0  # RFC 9293 3.10.7.1: to a segment without ACK, of no connection
    ack = (segment.ack - flow.base(flags, local=False)) & _MASK
    options = tuple(_relative(each, flow) for each in _parse_options(content))
    ports = segment.src_port, segment.dst_port
    return TcpPacket(
        False, flags, seq, len(segment.payload), ack, segment.window, segment.urgent, options, ip, ports
    )  # fmt: skip


def _begin(flow: Flow, segment: tcp.Segment) -> None:
    """A SYN of the host; its ports may have been used before, until a TIME-WAIT."""
    if segment.seq != flow.local_isn:
        flow.local_isn = segment.seq
        flow.stamps.clear()
        flow.stamp_shift = None
    flow.is_open = segment.flags & tcp.ACK != 0
    if flow.is_open:
        flow.remote_isn = (segment.ack - 1) & _MASK


def _parse_options(content: Octets) -> list[Option]:
    options = []
    at, end = tcp.HEADER_LENGTH, (content[12] >> 4) * 4
    while at < end:
        kind = content[at]
        length = 1 if kind in _LONE else max(content[at + 1], 2)
        octets = bytes(content[at + 2 : at + length])
        width = _WIDTHS.get(kind, f"!{len(octets) // 4}I")
        fits = len(octets) == struct.calcsize(width)
        options.append(Option(kind, struct.unpack(width, octets) if fits else tuple(octets)))
        at += length
    return options


def _relative(option: Option, flow: Flow) -> Option:
    if option.kind == tcp_options.SACK:
        return replace(option, numbers=tuple((number - flow.remote_isn) & _MASK for number in option.numbers))
    if option.kind == tcp_options.TIMESTAMPS and flow.stamp_shift is not None:
        val, ecr = option.numbers
        return replace(option, numbers=((val - flow.stamp_shift) & _MASK, ecr))
    return option


def check_text(packet: TcpPacket, content: Octets, written: bytes) -> None:
    """Whether the segment carries what was `written` to its connection. Raises ScriptFailure."""
    first = packet.seq - (not packet.flags & tcp.SYN)
    text = bytes(content[(content[12] >> 4) * 4 :])
    if text != written[first : first + len(text)]:
        raise ScriptFailure(f"the octets sent are not those that were written: {packet}")
