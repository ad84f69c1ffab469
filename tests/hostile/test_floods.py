"""Floods below TCP and beside it: ARP, ICMP, fragments, datagrams and segments to nobody."""

import random

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import IcmpConfig, Ipv4Config
from stack.link.neighbors import NeighborState
from stack.wire import arp, ethernet, icmp, udp
from stack.wire import ipv4 as ip
from stack.wire.tcp import ACK, FIN, PSH, RST, SYN, URG, Segment
from tests.hostile.scene import (
    CLIENT,
    MALLORY,
    MASK,
    PORT,
    PUBLIC,
    PUBLIC_MAC,
    ROUTER,
    ROUTER_MAC,
    Scene,
    ip_frame,
    segment_frame,
)

NETWORK = PUBLIC & ~0xFF


def arp_frame(operation: int, sender: int, sender_mac: bytes, target: int = PUBLIC) -> bytes:
    packet = arp.build(arp.ArpPacket(operation, sender_mac, sender, PUBLIC_MAC, target))
    return ethernet.build(ethernet.EthernetHeader(PUBLIC_MAC, sender_mac, ethernet.ETHERTYPE_ARP), packet)


def a_mac(number: int) -> bytes:
    return b"\x02\xff" + number.to_bytes(4, "big")


# ARP


def test_a_flood_of_arp_requests_fills_a_bounded_table_and_forgets_nobody_who_is_used() -> None:
    scene = Scene(prefix=16, arp={"table_size": 64})
    table = scene.server.interfaces[1].neighbors
    for number in range(100):
        scene.network.now += MILLISECOND
        senders = (PUBLIC & ~0xFFFF | 0x1000 + number * 50 + each for each in range(50))
        scene.attack([arp_frame(arp.REQUEST, each, a_mac(each & MASK)) for each in senders])
        assert len(table) <= 64
        assert scene.ask(Segment(1, 81, 1, 1, ACK, 0))  # a reset, by way of the router
    assert table.state(ROUTER) is NeighborState.REACHABLE
    assert scene.server.counters["ArpTableFull"] > 4900


def test_who_is_never_resolved_makes_room_first() -> None:
    """SYNs from thousands of addresses of our own network, which nobody has: each makes us ask for one."""
    scene = Scene(prefix=16, arp={"table_size": 64})
    scene.server.listen(PORT, scene.now)
    table = scene.server.interfaces[1].neighbors
    known = [PUBLIC & ~0xFFFF | 0x1000 + each for each in range(20)]
    scene.attack([arp_frame(arp.REQUEST, each, a_mac(each & MASK)) for each in known])
    dice = random.Random(826)
    syns = [Segment(dice.randrange(1024, 65536), PORT, 0, 0, SYN, 1000) for _ in range(2000)]
    sources = [PUBLIC & ~0xFFFF | 0x4000 + number for number in range(2000)]
    for start in range(0, 2000, 40):  # as many as there is room for
        scene.network.now += MILLISECOND
        for each in known:
            table.resolve(each, scene.now)
        frames = [segment_frame(syn, source) for syn, source in zip(syns[start:], sources[start:], strict=True)]
        scene.attack(frames[:40])
    assert all(table.state(each) is not None for each in known) and len(table) <= 64


def test_arp_replies_that_nobody_asked_for_teach_nothing() -> None:
    scene = Scene()
    table = scene.server.interfaces[1].neighbors
    before = len(table)
    scene.attack([arp_frame(arp.REPLY, NETWORK | each, a_mac(each)) for each in range(3, 250)])
    assert len(table) == before and scene.server.counters["ArpInReplies"] >= 247


# ICMP


def test_errors_are_sent_so_often_and_no_more() -> None:
    """A thousand datagrams to no port within a millisecond, and again a second later (RFC 1812 4.3.2.8)."""
    scene = Scene(icmp=IcmpConfig(errors_per_second=100, error_burst=10))
    frames = [
        ip_frame(ip.PROTOCOL_UDP, udp.build(udp.UdpHeader(1000, 2000 + each), b"?", MALLORY, PUBLIC))
        for each in range(1000)
    ]
    scene.attack(frames)
    assert scene.server.counters["IcmpOutDestUnreachs"] == 10
    assert scene.server.counters["IcmpOutRateLimited"] == 990
    scene.network.now += SECOND
    scene.attack(frames)
    assert scene.server.counters["IcmpOutDestUnreachs"] == 20


def test_errors_about_tcp_take_no_answer_from_others() -> None:
    """Resets are no ICMP errors: an exhausted bucket keeps no segment from its answer."""
    scene = Scene(icmp=IcmpConfig(errors_per_second=1, error_burst=1))
    frame = ip_frame(ip.PROTOCOL_UDP, udp.build(udp.UdpHeader(1000, 2000), b"?", MALLORY, PUBLIC))
    scene.attack([frame] * 100)
    [reset] = scene.ask(Segment(1, 81, 1, 1, ACK, 0))
    assert reset.flags & RST


def test_pings_to_everybody_have_no_answer() -> None:
    """Smurf: a request in somebody else's name to a broadcast address would be answered by all."""
    scene = Scene()
    request = icmp.build(icmp.IcmpMessage(icmp.ECHO_REQUEST, 0, 1, bytes(56)))
    for dst in (NETWORK | 255, 0xFFFFFFFF):
        packet = ip.build(ip.Ipv4Header(MALLORY, dst, ip.PROTOCOL_ICMP), request)
        header = ethernet.EthernetHeader(b"\xff" * 6, ROUTER_MAC, ethernet.ETHERTYPE_IPV4)
        scene.attack([ethernet.build(header, packet)] * 100)
    assert scene.server.counters["IcmpInEchos"] == 200
    assert scene.server.counters["IcmpOutEchoReps"] == 0


# Fragments


def test_fragments_that_never_become_whole_are_bounded() -> None:
    """In memory, in number, and for each source; and then forgotten."""
    scene = Scene(ipv4=Ipv4Config(reassembly_memory=100_000, reassembly_datagrams=100, reassembly_per_source=10))
    counters = scene.server.counters
    for number in range(3000):
        source = MALLORY + number // 30
        frames = [ip_frame(99, bytes(1400), source, more_fragments=True, identification=number)]
        scene.attack(frames)
    reassembler = scene.server._ipv4._reassembler
    assert reassembler.memory <= 100_000 and len(reassembler) <= 100
    assert counters["IpReasmNoMemory"] >= 2900
    scene.after(60 * SECOND)
    assert reassembler.memory == 0 and len(reassembler) == 0


def test_one_source_does_not_take_everybodys_place() -> None:
    scene = Scene(ipv4=Ipv4Config(reassembly_per_source=10))
    request = icmp.build(icmp.IcmpMessage(icmp.ECHO_REQUEST, 0, 1, bytes(2000)))
    honest = [
        ip_frame(ip.PROTOCOL_ICMP, request[:1400], MALLORY + 1, more_fragments=True, identification=7),
        ip_frame(ip.PROTOCOL_ICMP, request[1400:], MALLORY + 1, fragment_offset=1400, identification=7),
    ]
    scene.attack(honest[:1])
    scene.attack([ip_frame(99, bytes(800), more_fragments=True, identification=each) for each in range(5000)])
    scene.attack(honest[1:])
    assert scene.server.counters["IcmpOutEchoReps"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_eight_octets_a_fragment_still_make_a_datagram(seed: int) -> None:
    """8,000 of them in any order (FragmentSmack): each finds its place without a look at all others."""
    scene = Scene()
    request = icmp.build(icmp.IcmpMessage(icmp.ECHO_REQUEST, 0, 1, random.Random(seed).randbytes(15_992)))
    offsets = list(range(0, len(request), 8))
    random.Random(seed).shuffle(offsets)
    for offset in offsets:
        more = offset + 8 < len(request)
        fields = {"more_fragments": more, "fragment_offset": offset, "identification": 9}
        scene.attack([ip_frame(ip.PROTOCOL_ICMP, request[offset : offset + 8], **fields)])
    assert scene.server.counters["IpReasmOKs"] == 1 and scene.server.counters["IcmpOutEchoReps"] == 1


@pytest.mark.parametrize("offset", [8, 16, 24, 0])
def test_fragments_that_overlap_spoil_the_datagram(offset: int) -> None:
    """Teardrop, and every way of saying one thing to a firewall and another to us."""
    scene = Scene()
    request = icmp.build(icmp.IcmpMessage(icmp.ECHO_REQUEST, 0, 1, bytes(72)))
    scene.attack([ip_frame(1, request[:32], more_fragments=True, identification=9)])
    scene.attack([ip_frame(1, bytes(16), more_fragments=True, fragment_offset=offset, identification=9)])
    scene.attack([ip_frame(1, request[32:], fragment_offset=32, identification=9)])
    assert scene.server.counters["IpReasmOKs"] == 0


# Segments to nobody


def test_segments_to_nobody_leave_nothing_behind() -> None:
    """Every combination of control bits, to a closed port and to a listener; resets have no answer, others one."""
    scene = Scene()
    listener = scene.server.listen(PORT, scene.now)
    for flags in range(64):
        for port in (PORT, 81):
            answers = scene.ask(Segment(5000 + flags, port, 7, 9, flags, 1000))
            if flags & RST:
                assert answers == []
            elif port == 81 or flags & ACK:
                assert len(answers) == bool(port == 81 or flags & ACK) and answers[0].flags & RST
            elif flags & SYN:
                assert answers[0].flags == SYN | ACK
            else:
                assert answers == []
    assert not list(scene.server.connections()) and listener.acceptable == 0
    assert all(key.remote_port - 5000 & (SYN | ACK | RST) == SYN for key in scene.server.half_open())


def test_a_christmas_tree_and_a_bare_segment_are_answered_like_any_other() -> None:
    scene = Scene()
    scene.server.listen(PORT, scene.now)
    assert scene.ask(Segment(5000, PORT, 7, 9, FIN | PSH | URG, 1000)) == []
    assert scene.ask(Segment(5000, PORT, 7, 9, 0, 1000)) == []
    [reset] = scene.ask(Segment(5000, 81, 7, 9, FIN | PSH | URG, 1000))
    assert reset.flags == RST | ACK and reset.ack == 8


def test_a_segment_in_our_own_name_starts_no_talk_with_ourselves() -> None:
    """LAND: a SYN from our address and port to the same, through the wire."""
    scene = Scene()
    scene.server.listen(PORT, scene.now)
    scene.attack([segment_frame(Segment(PORT, PORT, 7, 0, SYN, 1000), PUBLIC)] * 100)
    assert not list(scene.server.connections()) and not list(scene.server.half_open())
    assert scene.server.counters["IpInMartians"] == 100 and scene.server.counters["TcpOutSegs"] == 0


def test_a_source_that_no_host_has_gets_nothing() -> None:
    scene = Scene()
    scene.server.listen(PORT, scene.now)
    for source in (0, 0x7F000001, 0xE0000001, 0xFFFFFFFF, NETWORK | 255):
        scene.attack([segment_frame(Segment(5000, PORT, 7, 0, SYN, 1000), source)])
    assert not list(scene.server.half_open()) and scene.server.counters["TcpOutSegs"] == 0


def test_the_client_is_none_the_worse() -> None:
    """All of it at once, while the client pings."""
    scene = Scene()
    scene.server.listen(PORT, scene.now)
    replies = []
    scene.client.on_echo_reply = lambda *reply: replies.append(reply[0])
    dice = random.Random(1)
    noise = [
        lambda: segment_frame(Segment(dice.randrange(65536), PORT, 0, 0, SYN, 0), MALLORY + dice.randrange(1 << 20)),
        lambda: segment_frame(Segment(dice.randrange(65536), 81, 0, 0, ACK, 0), MALLORY + dice.randrange(1 << 20)),
        lambda: ip_frame(99, bytes(800), more_fragments=True, identification=dice.randrange(65536)),
        lambda: arp_frame(arp.REQUEST, NETWORK | dice.randrange(3, 250), a_mac(dice.randrange(1 << 16))),
        lambda: dice.randbytes(dice.randrange(100)),
    ]
    for second in range(20):
        scene.attack([dice.choice(noise)() for _ in range(500)])
        scene.client.ping(scene.server.interfaces[0].address, 1, second, b"?", scene.now)
        scene.run(SECOND)
    assert len(replies) == 20 and CLIENT != PUBLIC
