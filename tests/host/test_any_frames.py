"""Whatever arrives, Host.receive does not raise, and what it keeps is bounded."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.addresses import ipv4, mac
from stack.clock import MILLISECOND, SECOND
from stack.config import HostConfig, InterfaceConfig, Ipv4Config, TcpConfig
from stack.host import Host
from stack.wire import arp, ethernet, icmp, tcp, udp
from stack.wire import ipv4 as ip
from stack.wire.tcp_options import TcpOptions
from tests.effort import examples

US, PEER = ipv4("10.0.0.1"), ipv4("10.0.0.2")
OUR_MAC, PEER_MAC = mac("02:00:00:00:00:01"), mac("02:00:00:00:00:02")


def make_host(**ipv4_config):
    interface = InterfaceConfig(OUR_MAC, US, 24)
    config = HostConfig((interface,), ipv4=Ipv4Config(**ipv4_config), tcp=TcpConfig(syn_backlog=8))
    host = Host(config, secret=b"s" * 16, random=random.Random(1))
    host.listen(80, 0)
    host.bind_udp(53, 0)
    return host


def in_ethernet(ethertype, payload, dst=OUR_MAC):
    return ethernet.build(ethernet.EthernetHeader(dst, PEER_MAC, ethertype), payload)


def in_ipv4(protocol, payload, **fields):
    header = ip.Ipv4Header(PEER, US, protocol, **fields)
    return in_ethernet(ethernet.ETHERTYPE_IPV4, ip.build(header, payload))


def frames_to_start_from():
    syn = tcp.Segment(1234, 80, 7, 0, tcp.SYN, 1000, b"", TcpOptions(mss=1460, window_scale=3, ts_val=1))
    ack = tcp.Segment(1234, 80, 8, 9, tcp.ACK | tcp.PSH, 1000, b"GET /", TcpOptions(ts_val=2))
    datagram = udp.build(udp.UdpHeader(9, 53), b"question", PEER, US)
    stray = udp.build(udp.UdpHeader(9, 54), b"question", PEER, US)
    quoted = ip.build(ip.Ipv4Header(US, PEER, 6), tcp.build(tcp.Segment(80, 1234, 1, 1, tcp.ACK, 1), US, PEER))
    return [
        in_ethernet(ethernet.ETHERTYPE_ARP, arp.build(arp.ArpPacket(arp.REQUEST, PEER_MAC, PEER, OUR_MAC, US))),
        in_ipv4(6, tcp.build(syn, PEER, US)),
        in_ipv4(6, tcp.build(ack, PEER, US)),
        in_ipv4(17, datagram),
        in_ipv4(17, stray),
        in_ipv4(17, stray[:8], more_fragments=True, identification=5),
        in_ipv4(17, stray[8:], fragment_offset=8, identification=5),
        in_ipv4(1, icmp.build(icmp.IcmpMessage(icmp.ECHO_REQUEST, 0, 1, b"ping"))),
        in_ipv4(1, icmp.build(icmp.IcmpMessage(icmp.DESTINATION_UNREACHABLE, 4, 600, quoted))),
        in_ipv4(99, b"unknown", options=b"\x07\x07\x04" + bytes(5)),
        in_ipv4(6, b"", options=b"\x83\x07\x04" + bytes(5)),
    ]


FRAMES = frames_to_start_from()


def work(host, frames):
    now = 0
    for frame in frames:
        now += MILLISECOND
        host.receive(0, [frame], now)
        host.advance(now)
        host.take_events()
        host.take_frames().clear()
    host.advance(now + 600 * SECOND)
    host.take_frames().clear()


@settings(max_examples=examples(300))
@given(st.lists(st.binary(max_size=120), max_size=8))
def test_arbitrary_octets(frames):
    work(make_host(), frames)


@settings(max_examples=examples(400))
@given(
    st.lists(
        st.tuples(
            st.sampled_from(FRAMES),
            st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3),
            st.integers(0, 40),
        ),
        max_size=12,
    )
)
def test_mutated_valid_frames(script):
    frames = []
    for frame, changes, cut in script:
        octets = bytearray(frame)
        for position, octet in changes:
            octets[position % len(octets)] = octet
        frames.append(bytes(octets[: len(octets) - cut] if cut < 20 else octets))
    host = make_host()
    work(host, frames)
    assert all(count >= 0 for count in host.counters.values())


@pytest.mark.req("791-10")
def test_a_flood_of_fragments_is_bounded():
    host = make_host(reassembly_memory=10_000, reassembly_datagrams=16)
    for number in range(1000):
        host.receive(0, [in_ipv4(17, bytes(64), more_fragments=True, identification=number)], MILLISECOND)
    assert host.counters["IpReasmNoMemory"] > 0
    host.advance(60 * SECOND)
    assert host.counters["IpReasmTimeout"] <= 16


def test_a_reassembled_datagram_that_is_too_long_is_dropped():
    """Each fragment fits behind its own header; the whole does not fit behind the first one's."""
    host = make_host()
    first = in_ipv4(99, bytes(1400), more_fragments=True, identification=1, options=bytes(40))
    host.receive(0, [first], 1)
    offset = 1400
    while offset < 65_500:
        size = min(1400, 65_512 - offset)
        more = offset + size < 65_512
        frame = in_ipv4(99, bytes(size), more_fragments=more, fragment_offset=offset, identification=1)
        host.receive(0, [frame], 1)
        offset += size
    assert host.counters["IpReasmOKs"] == 0
    assert host.counters["IpReasmFails"] == 1


def test_a_flood_of_syns_is_bounded():
    host = make_host()
    for port in range(1000, 2000):
        syn = tcp.Segment(port, 80, 7, 0, tcp.SYN, 1000)
        host.receive(0, [in_ipv4(6, tcp.build(syn, PEER, US))], MILLISECOND)
    assert len(list(host.half_open())) == 8 and not list(host.connections())
    assert host.counters["TcpExtSyncookiesSent"] == 992


def test_an_oversized_frame_is_counted_and_dropped():
    host = make_host()
    host.receive(0, [bytes(2000), FRAMES[0]], 1)
    assert host.counters["EthInOversized"] == 1
    assert host.counters["ArpInRequests"] == 1
