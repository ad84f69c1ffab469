"""Echo requests that are answered at once: the answer of the layers, octet for octet and count for count."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stack.addresses import BROADCAST_MAC, ipv4, mac
from stack.clock import MILLISECOND, SECOND
from stack.config import HostConfig, IcmpConfig, InterfaceConfig, Ipv4Config
from stack.fastpath import RECORD_ECHO, parse_tcp, reference
from stack.fastpath.ring import FrameRing
from stack.host import Host
from stack.wire import arp, ethernet, icmp
from stack.wire import ipv4 as ip
from tests.effort import examples

US, PEER, FAR, BROADCAST = (ipv4(text) for text in ("10.0.0.1", "10.0.0.2", "192.0.2.9", "10.0.0.255"))
OUR_MAC, PEER_MAC = mac("02:00:00:00:00:01"), mac("02:00:00:00:00:02")
SPOILED = 14 + 8  # the time to live, which only the header's checksum tells of


def make_host(mtu=1500, known=True, **icmp_config):
    interface = InterfaceConfig(OUR_MAC, US, 24, mtu=mtu)
    config = HostConfig((interface,), icmp=IcmpConfig(**icmp_config), ipv4=Ipv4Config())
    host = Host(config, secret=b"s" * 16, random=random.Random(1))
    for second in range(10):  # in which it makes sure that the address is nobody else's
        host.advance(second * SECOND)
        host.take_frames().clear()
    if known:  # by asking, which makes it reachable
        host.ping(PEER, 1, 1, b"", 10 * SECOND)
        host.take_frames().clear()
        reply = arp.build(arp.ArpPacket(arp.REPLY, PEER_MAC, PEER, OUR_MAC, US))
        host.receive(
            0, [ethernet.build(ethernet.EthernetHeader(OUR_MAC, PEER_MAC, ethernet.ETHERTYPE_ARP), reply)], 10 * SECOND
        )
        host.take_frames().clear()
    return host


def request(data=b"data", *, kind=icmp.ECHO_REQUEST, code=0, src=PEER, dst=US, dst_mac=OUR_MAC, rest=7, **fields):
    message = icmp.build(icmp.IcmpMessage(kind, code, rest, data))
    packet = ip.build(ip.Ipv4Header(src, dst, ip.PROTOCOL_ICMP, **fields), message)
    return ethernet.build(ethernet.EthernetHeader(dst_mac, PEER_MAC, ethernet.ETHERTYPE_IPV4), packet)


def both(frames, **config):
    """What a host sends and counts, once as it is and once with everything through the layers."""
    found = []
    for at_once in (True, False):
        host = make_host(**config)
        for number, frame in enumerate(frames):
            now = 11 * SECOND + number * MILLISECOND
            if at_once:
                host.receive(0, [frame], now)
            else:
                host.counters["EthInFrames"] += 1
                host.interfaces[0].receive_frame(memoryview(frame), now)
        ring = host.take_frames()
        found.append(([bytes(each) for each in ring], host.counters.nonzero(), host.interfaces[0].neighbors.find(PEER)))
        ring.clear()
    assert found[0][:2] == found[1][:2]
    assert getattr(found[0][2], "used_at", None) == getattr(found[1][2], "used_at", None)
    return found[0][0]


def is_taken(frame):
    ring = FrameRing(2000)
    ring.append(frame)
    return parse_tcp(ring, OUR_MAC)[0][0] == RECORD_ECHO


requests = st.builds(
    request,
    st.one_of(st.binary(max_size=80), st.integers(500, 1400).map(bytes)),
    kind=st.sampled_from([8, 8, 8, 8, 8, 0, 3, 13]),
    code=st.sampled_from([0, 0, 0, 0, 1]),
    src=st.sampled_from([PEER, PEER, PEER, PEER, FAR, US, BROADCAST, ipv4("224.0.0.1"), ipv4("10.0.0.3")]),
    dst=st.sampled_from([US, US, US, US, US, PEER, BROADCAST, ipv4("255.255.255.255"), ipv4("224.0.0.1")]),
    dst_mac=st.sampled_from([OUR_MAC, OUR_MAC, OUR_MAC, PEER_MAC, BROADCAST_MAC]),
    rest=st.sampled_from([0, 7, 0xFFFF_FFFF]),
    ttl=st.sampled_from([1, 64, 255]),
    tos=st.sampled_from([0, 0, 3, 184]),
    identification=st.sampled_from([0, 9]),
    dont_fragment=st.booleans(),
    more_fragments=st.sampled_from([False, False, False, True]),
    options=st.sampled_from([b"", b"", b"", b"\x07\x07\x04" + bytes(5)]),
)
spoiling = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 255)), max_size=1)


@pytest.mark.req("792-2", "1122-3.2.2.6-1", "1122-3.2.2.6-3")
@settings(max_examples=examples(100))
@given(st.lists(st.tuples(requests, spoiling, st.sampled_from([0, 0, 7])), max_size=6), st.booleans(), st.booleans())
@example([(request(b"", rest=0), [], 0)], True, True)
@example([(request(), [], 0)], True, False)
def test_the_answer_is_that_of_the_layers(script, known, answers):
    frames = []
    for frame, spoil, padding in script:
        spoiled = bytearray(frame + bytes(padding))
        for position, change in spoil:
            spoiled[position % len(spoiled)] ^= change
        frames.append(bytes(spoiled))
    both(frames, known=known, echo_reply=answers)


@pytest.mark.parametrize(
    ("length", "mtu"), [(0, 1500), (56, 1500), (524, 1500), (525, 1500), (1472, 1500), (472, 500), (548, 576), (40, 68)]
)
def test_every_length_is_answered(length, mtu):
    """What is longer than the shortest MTU of a path goes through the layers, in fragments where it has to."""
    frames = both([request(bytes(range(256)) * (length // 256) + bytes(length % 256))], mtu=mtu)
    assert frames and frames[0][34] == icmp.ECHO_REPLY


def test_what_the_fastpath_takes_for_one():
    assert is_taken(request()) and is_taken(request(tos=3, ttl=1) + bytes(9))
    for other in (
        request(kind=icmp.ECHO_REPLY), request(code=1), request(dst_mac=BROADCAST_MAC), request(more_fragments=True),
        request(fragment_offset=8), request(options=b"\x01" * 4), request(src=ipv4("127.0.0.1")), request()[:-1],
    ):  # fmt: skip
        assert not is_taken(other)
    for position in (SPOILED, 36, 45):  # headers, and the message's last octet
        spoiled = bytearray(request())
        spoiled[position] ^= 1
        assert not is_taken(bytes(spoiled))


@settings(max_examples=examples(100))
@given(requests, spoiling, st.sampled_from([0, 0, 7]))
def test_both_fastpaths_take_the_same_for_one(frame, spoil, padding):
    native = pytest.importorskip("stack.fastpath.native", reason="only the Python fastpath is installed")
    spoiled = bytearray(frame + bytes(padding))
    for position, change in spoil:
        spoiled[position % len(spoiled)] ^= change
    found = []
    for fastpath in (native, reference):
        ring = FrameRing(2000)
        ring.append(spoiled)
        found.append(fastpath.parse_tcp(ring, OUR_MAC))
    assert found[0] == found[1]


def test_a_neighbour_that_moves_is_answered_where_it_is():
    host = make_host()
    other = mac("02:00:00:00:00:03")
    host.receive(0, [request()], 11 * SECOND)
    announcement = arp.build(arp.ArpPacket(arp.REPLY, other, PEER, OUR_MAC, US))
    host.receive(
        0, [ethernet.build(ethernet.EthernetHeader(OUR_MAC, other, ethernet.ETHERTYPE_ARP), announcement)], 11 * SECOND
    )
    host.receive(0, [request()], 11 * SECOND)
    assert [bytes(frame[:6]) for frame in host.take_frames()] == [PEER_MAC, other]


def test_a_broadcast_address_is_no_neighbour_whatever_arp_says():
    host = make_host()
    host.interfaces[0].neighbors.learn(BROADCAST, PEER_MAC, 11 * SECOND)
    host.interfaces[0].neighbors.confirm(BROADCAST, 11 * SECOND)
    host.receive(0, [request(src=BROADCAST)], 11 * SECOND)
    assert not host.take_frames() and host.counters["IpInMartians"] == 1


def test_replies_that_have_no_room_are_counted():
    host = make_host()
    for _ in range(600):
        host.receive(0, [request()], 11 * SECOND)
    sent = host.take_frames().count
    assert sent + host.counters["EthOutRingFull"] == 600 == host.counters["IcmpOutEchoReps"] and sent < 600
