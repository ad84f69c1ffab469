"""What Linux sent, taken apart and put together again."""

import pytest

from stack.addresses import ipv4 as address
from stack.addresses import mac
from stack.errors import ChecksumMismatch, MalformedPacket
from stack.wire import arp, ethernet, icmp, ipv4, tcp, udp
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions

A, B = address("10.0.0.1"), address("10.0.0.2")
A_MAC, B_MAC = mac("02:00:00:00:00:01"), mac("02:00:00:00:00:02")


def datagram(frame):
    """The IPv4 header and payload of a frame."""
    return ipv4.parse(ethernet.parse(frame)[1])


def segment(frame):
    """The TCP segment of a frame."""
    header, payload = datagram(frame)
    return tcp.parse(payload, header.src, header.dst)


def rebuilt_payload(header, payload):
    """The payload of a datagram, parsed and built again."""
    if header.fragment_offset:
        return payload
    if header.protocol == ipv4.PROTOCOL_TCP:
        return tcp.build(tcp.parse(payload, header.src, header.dst), header.src, header.dst)
    if header.protocol == ipv4.PROTOCOL_UDP:
        return udp.build(*udp.parse(payload, header.src, header.dst), header.src, header.dst)
    return icmp.build(icmp.parse(payload))


def test_every_frame_is_built_again_octet_for_octet(captured, frame_name):
    frame = captured[frame_name]
    link, payload = ethernet.parse(frame)
    if link.ethertype == ethernet.ETHERTYPE_ARP:
        again = arp.build(arp.parse(payload))
    else:
        header, text = ipv4.parse(payload)
        again = ipv4.build(header, rebuilt_payload(header, text))
    again = ethernet.build(link, again)
    if frame_name in ("syn", "syn_ack"):  # Linux has the same options in another order, and so another checksum
        assert len(again) == len(frame)
        assert segment(again) == segment(frame)
    else:
        assert again == frame


CHECKSUMMED = ("syn", "syn_ack", "ack", "data", "sack", "fin", "rst_of_syn", "udp", "port_unreachable", "echo_request")


@pytest.mark.req("9293-MUST-3", "792-1")
@pytest.mark.parametrize("name", CHECKSUMMED)
def test_every_flipped_bit_is_found(captured, name):
    """One wrong bit behind the Ethernet header never passes: ones' complement sums catch every single one."""
    frame = captured[name]
    for bit in range(8 * ethernet.HEADER_LENGTH, 8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        with pytest.raises(MalformedPacket):
            rebuilt_payload(*datagram(flipped))


def test_arp_request(captured):
    link, payload = ethernet.parse(captured["arp_request"])
    assert link == ethernet.EthernetHeader(mac("ff:ff:ff:ff:ff:ff"), A_MAC, ethernet.ETHERTYPE_ARP)
    assert arp.parse(payload) == arp.ArpPacket(arp.REQUEST, A_MAC, A, mac("00:00:00:00:00:00"), B)


def test_arp_reply(captured):
    assert arp.parse(ethernet.parse(captured["arp_reply"])[1]) == arp.ArpPacket(arp.REPLY, B_MAC, B, A_MAC, A)


def test_ipv4_header(captured):
    header, payload = datagram(captured["syn"])
    assert header == ipv4.Ipv4Header(A, B, ipv4.PROTOCOL_TCP, 64, 0x0353, dont_fragment=True)
    assert len(payload) == 40


def test_ipv4_last_fragment(captured):
    header, payload = datagram(captured["last_fragment"])
    assert (header.fragment_offset, header.more_fragments, header.dont_fragment) == (1480, False, False)
    assert header.identification == 0x8670
    assert payload == b"x" * 28


def test_ipv4_record_route(captured):
    header, payload = datagram(captured["record_route"])
    assert header.length == 28
    recorded = bytes([8]) + A.to_bytes(4, "big")  # the pointer, now behind the one address that was recorded
    assert ipv4.parse_options(header.options) == [(ipv4.OPTION_RECORD_ROUTE, recorded)]
    assert udp.parse(payload, header.src, header.dst)[1] == b"rr"


@pytest.mark.req("9293-MUST-4", "9293-MUST-14")
def test_tcp_syn(captured):
    seg = segment(captured["syn"])
    options = TcpOptions(mss=1460, window_scale=10, sack_permitted=True, ts_val=0xC1F96B1A)
    assert seg == tcp.Segment(40018, 8080, 0x26412C75, 0, tcp.SYN, 64240, b"", options)
    assert seg.length == 1


def test_tcp_syn_ack(captured):
    seg = segment(captured["syn_ack"])
    assert seg.flags == tcp.SYN | tcp.ACK
    assert seg.ack == segment(captured["syn"]).seq + 1
    assert (seg.options.ts_val, seg.options.ts_ecr) == (0xA68C6D84, 0xC1F96B1A)


@pytest.mark.req("9293-MUST-5")
def test_tcp_data(captured):
    seg = segment(captured["data"])
    assert seg.payload == b"GET / HTTP/1.1\r\n\r\n"
    assert seg.flags == tcp.ACK | tcp.PSH
    assert seg.options == TcpOptions(ts_val=0xC1F96B1A, ts_ecr=0xA68C6D84)
    assert seg.length == 18


@pytest.mark.req("2018-16")
def test_tcp_sack(captured):
    """60 octets are missing at the acknowledgment number, the 60 behind them have arrived."""
    seg = segment(captured["sack"])
    assert seg.ack == 0x26412C88
    assert seg.options.sack_blocks == ((seg.ack + 60, seg.ack + 120),)


def test_tcp_fin_takes_a_sequence_number(captured):
    seg = segment(captured["fin"])
    assert (seg.flags, len(seg.payload), seg.length) == (tcp.ACK | tcp.FIN, 0, 1)


def test_tcp_reset(captured):
    seg = segment(captured["rst_of_syn"])
    assert (seg.flags, seg.seq, seg.ack, seg.window, seg.length) == (tcp.RST | tcp.ACK, 0, 0xBA81BFE0, 0, 0)
    assert seg.options is NO_OPTIONS


def test_udp(captured):
    header, payload = datagram(captured["udp"])
    assert udp.parse(payload, header.src, header.dst) == (udp.UdpHeader(44151, 53), b"hello")


def test_echo(captured):
    request, reply = (icmp.parse(datagram(captured[name])[1]) for name in ("echo_request", "echo_reply"))
    assert (request.type, reply.type) == (icmp.ECHO_REQUEST, icmp.ECHO_REPLY)
    assert request.rest == reply.rest == 0x32480001
    assert request.payload == reply.payload == bytes(range(9))


def test_port_unreachable_quotes_the_datagram(captured):
    header, payload = datagram(captured["port_unreachable"])
    assert (header.tos, header.src) == (0xC0, B)
    message = icmp.parse(payload)
    assert (message.type, message.code, message.rest) == (icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, 0)
    quoted, text = icmp.parse_quoted(message.payload)
    assert (quoted.src, quoted.dst, quoted.protocol, quoted.identification) == (A, B, ipv4.PROTOCOL_UDP, 0x294B)
    assert udp.parse(text, quoted.src, quoted.dst) == (udp.UdpHeader(0xDACB, 9), b"nobody")


@pytest.mark.req("768-3", "9293-MUST-3")
@pytest.mark.parametrize(("name", "parse"), [("udp", udp.parse), ("data", tcp.parse)])
def test_a_wrong_address_in_the_pseudo_header_is_found(captured, name, parse):
    header, payload = datagram(captured[name])
    parse(payload, header.src, header.dst)
    for src, dst in ((header.src + 1, header.dst), (header.src, header.dst ^ 0x0100_0000)):
        with pytest.raises(ChecksumMismatch):
            parse(payload, src, dst)
