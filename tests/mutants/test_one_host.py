"""One host, and frames made by hand: ARP, IPv4, fragments and ICMP, in virtual time."""

import random
from itertools import pairwise

import pytest

from stack.addresses import BROADCAST_MAC, UNSPECIFIED_MAC, MacAddress, Network, ipv4, mac
from stack.clock import SECOND
from stack.config import ArpConfig, HostConfig, IcmpConfig, InterfaceConfig, Ipv4Config, RouteConfig
from stack.host import Host
from stack.internet.path_mtu import PathMtu
from stack.wire import arp, ethernet, icmp, tcp, udp
from stack.wire import ipv4 as ip
from stack.wire.arp import ArpPacket
from stack.wire.ethernet import ETHERTYPE_ARP, ETHERTYPE_IPV4, EthernetHeader
from stack.wire.icmp import IcmpMessage
from stack.wire.ipv4 import PROTOCOL_ICMP, PROTOCOL_UDP, Ipv4Header
from stack.wire.udp import UdpHeader

OUR_MAC, PEER_MAC, OTHER_MAC = mac("02:00:00:00:00:01"), mac("02:00:00:00:00:02"), mac("02:00:00:00:00:03")
US, PEER, OTHER = ipv4("192.0.2.1"), ipv4("192.0.2.2"), ipv4("192.0.2.3")
BROADCAST, GATEWAY, FAR = ipv4("192.0.2.255"), ipv4("192.0.2.254"), ipv4("198.51.100.7")


class Lab:
    """The host under test and the wire in front of it."""

    def __init__(self, **config):
        interface = InterfaceConfig(OUR_MAC, US, 24)
        routes = (RouteConfig(Network.of(0, 0), GATEWAY),)
        self.host = Host(HostConfig((interface,), routes, **config), secret=bytes(32), random=random.Random(1))
        self.now = 0
        self.started = self.sent()

    def sent(self):
        """(header, payload) of the frames sent since the last time."""
        frames = []
        while ring := self.host.take_frames():
            for frame in ring:
                header, payload = ethernet.parse(bytes(frame))
                frames.append((header, bytes(payload)))
            ring.clear()
        return frames

    def receive(self, payload, ethertype=ETHERTYPE_IPV4, dst=OUR_MAC, src=PEER_MAC):
        self.host.receive(0, [ethernet.build(EthernetHeader(dst, src, ethertype), payload)], self.now)
        self.host.advance(self.now)
        return self.sent()

    def advance(self, duration):
        end, frames = self.now + duration, []
        while (deadline := self.host.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.host.advance(self.now)
            frames += [(self.now, *frame) for frame in self.sent()]
        self.now = end
        return frames

    def arp(
        self, operation, sender=PEER, target=US, sender_mac=PEER_MAC, target_mac=UNSPECIFIED_MAC, dst=BROADCAST_MAC
    ):
        packet = ArpPacket(operation, sender_mac, sender, target_mac, target)
        return self.receive(arp.build(packet), ETHERTYPE_ARP, dst, sender_mac)

    def know_peer(self):
        self.arp(arp.REQUEST)
        self.arp(arp.REPLY, target_mac=OUR_MAC, dst=OUR_MAC)
        return self

    def datagram(self, payload, protocol=PROTOCOL_UDP, src=PEER, dst=US, link=OUR_MAC, **fields):
        return self.receive(ip.build(Ipv4Header(src, dst, protocol, **fields), payload), dst=link)

    def icmp(self, *message, **where):
        return self.datagram(icmp.build(IcmpMessage(*message)), PROTOCOL_ICMP, **where)

    def count(self, name):
        return self.host.counters[name]


def errors(frames):
    """(type, code) of the ICMP messages among `frames`."""
    return [(payload[20], payload[21]) for header, payload in frames if header.ethertype == ETHERTYPE_IPV4]


@pytest.fixture
def lab():
    return lambda **config: Lab(**config)


# ARP


@pytest.mark.req("826-4", "826-5", "5227-10", "5227-12")
def test_a_request_for_us_is_answered_to_the_one_who_asked(lab):
    [(header, payload)] = lab().arp(arp.REQUEST)
    reply = arp.parse(payload)
    assert (header.dst, header.src, header.ethertype) == (PEER_MAC, OUR_MAC, ETHERTYPE_ARP)
    assert reply == ArpPacket(arp.REPLY, OUR_MAC, US, PEER_MAC, PEER)


@pytest.mark.req("826-3")
def test_others_requests_are_neither_answered_nor_learned_from(lab):
    bench = lab()
    assert bench.arp(arp.REQUEST, target=OTHER) == []
    assert bench.host.interfaces[0].neighbors.state(PEER) is None
    assert bench.count("ArpInUnsolicited") == 1


@pytest.mark.req("826-3")
def test_a_reply_that_nobody_asked_for_is_ignored(lab):
    bench = lab()
    bench.arp(arp.REPLY, target_mac=OUR_MAC, dst=OUR_MAC)
    assert bench.host.interfaces[0].neighbors.state(PEER) is None


@pytest.mark.req("826-2")
def test_what_is_known_is_updated_by_others_requests_too(lab):
    bench = lab().know_peer()
    bench.arp(arp.REQUEST, target=OTHER, sender_mac=OTHER_MAC)
    bench.host.ping(PEER, 1, 1, b"x", bench.now)
    [(header, _)] = bench.sent()
    assert header.dst == OTHER_MAC


@pytest.mark.req("1812-arp-1")
def test_a_group_address_is_nobodys(lab):
    bench = lab()
    assert bench.arp(arp.REQUEST, sender_mac=MacAddress(b"\x01\x00\x5e\x00\x00\x01")) == []
    assert bench.count("ArpInInvalidSender") == 1


@pytest.mark.req("826-1", "1122-2.3.2.1-2", "1122-2.3.2.2-1", "1812-arp-2", "1122-2.4-2")
def test_a_packet_waits_for_its_neighbour(lab):
    bench = lab()
    bench.host.ping(PEER, 1, 1, b"first", bench.now)
    [(header, payload)] = bench.sent()
    assert header.dst == BROADCAST_MAC
    assert arp.parse(payload) == ArpPacket(arp.REQUEST, OUR_MAC, US, UNSPECIFIED_MAC, PEER)
    bench.host.ping(PEER, 1, 2, b"second", bench.now)
    assert bench.sent() == [] and bench.advance(SECOND - 1) == []
    assert len(bench.advance(1)) == 1
    out = bench.arp(arp.REPLY, target_mac=OUR_MAC, dst=OUR_MAC)
    assert [payload[-5:] for _, payload in out] == [b"first", b"econd"]
    assert {header.dst for header, _ in out} == {PEER_MAC}


@pytest.mark.req("1122-2.3.2.1-1", "1122-2.3.2.1-3")
def test_an_old_entry_is_asked_for_again(lab):
    bench = lab(arp=ArpConfig(reachable_time=30 * SECOND)).know_peer()
    bench.host.ping(PEER, 1, 1, b"", bench.now)
    assert len(bench.sent()) == 1
    bench.advance(31 * SECOND)
    bench.host.ping(PEER, 1, 2, b"", bench.now)
    kinds = {header.ethertype: header.dst for header, _ in bench.sent()}
    assert kinds == {ETHERTYPE_ARP: PEER_MAC, ETHERTYPE_IPV4: PEER_MAC}
    assert len(bench.advance(60 * SECOND)) >= 2
    bench.host.ping(PEER, 1, 3, b"", bench.now)
    assert all(header.ethertype == ETHERTYPE_ARP for header, _ in bench.sent())


@pytest.mark.req("5227-1", "5227-2", "5227-3", "5227-6", "5227-11")
def test_an_address_is_probed_and_announced(lab):
    bench = lab(arp=ArpConfig(probe=True))
    frames = [(at, arp.parse(payload)) for at, _, payload in bench.advance(20 * SECOND)]
    probes = [(at, each) for at, each in frames if each.sender_address == 0]
    claims = [(at, each) for at, each in frames if each.sender_address == US]
    assert len(probes) == 3 and all(each.target_address == US for _, each in probes)
    assert probes[0][0] <= SECOND
    assert all(SECOND <= b[0] - a[0] <= 2 * SECOND for a, b in pairwise(probes))
    assert claims[0][0] - probes[-1][0] >= 2 * SECOND and len(claims) == 2
    assert claims[1][0] - claims[0][0] == 2 * SECOND
    assert bench.advance(3600 * SECOND) == []


@pytest.mark.req("5227-4", "5227-1")
def test_an_address_that_somebody_has_is_not_used(lab):
    bench = lab(arp=ArpConfig(probe=True))
    bench.advance(SECOND)
    bench.arp(arp.REPLY, sender=US, sender_mac=OTHER_MAC, target_mac=OUR_MAC, dst=OUR_MAC)
    assert bench.count("ArpInConflicts") == 1 and not bench.host.interfaces[0].is_bound


@pytest.mark.req("5227-7", "5227-8")
def test_an_address_in_use_is_defended_once_in_a_while(lab):
    bench = lab()
    bench.advance(20 * SECOND)
    defence = bench.arp(arp.REQUEST, sender=US, sender_mac=OTHER_MAC, target=US)
    assert [arp.parse(payload).sender_address for _, payload in defence] == [US]
    assert bench.arp(arp.REQUEST, sender=US, sender_mac=OTHER_MAC, target=US) == []


# IPv4


@pytest.mark.req("1122-3.2.1.3-3")
@pytest.mark.parametrize("dst", [OTHER, FAR, ipv4("224.0.0.1")])
def test_datagrams_for_others_are_dropped_in_silence(lab, dst):
    bench = lab().know_peer()
    assert bench.icmp(icmp.ECHO_REQUEST, 0, 0, b"", dst=dst) == []
    assert bench.count("IpInAddrErrors") == 1


@pytest.mark.req("1122-3.2.1.3-4", "9293-MUST-63", "1122-4.1.3.6-1")
@pytest.mark.parametrize("src", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.255"])
def test_sources_that_no_host_can_have(lab, src):
    bench = lab().know_peer()
    assert bench.icmp(icmp.ECHO_REQUEST, 0, 0, b"", src=ipv4(src)) == []
    assert bench.count("IpInMartians") == 1


@pytest.mark.req("1122-3.2.1.2-1", "1122-3.2.1.1-1")
@pytest.mark.parametrize(("at", "counter"), [(8, "IpExtInCsumErrors"), (0, "IpInHdrErrors")])
def test_damaged_headers_are_dropped(lab, at, counter):
    bench = lab().know_peer()
    packet = bytearray(ip.build(Ipv4Header(PEER, US, PROTOCOL_ICMP), icmp.build(IcmpMessage(8, 0, 0, b""))))
    packet[at] ^= 0x20
    assert bench.receive(bytes(packet)) == [] and bench.count(counter) == 1


@pytest.mark.req("1122-3.2.1.7-2")
@pytest.mark.parametrize("ttl", [0, 1])
def test_a_datagram_for_us_has_arrived_whatever_its_ttl(lab, ttl):
    assert errors(lab().know_peer().icmp(icmp.ECHO_REQUEST, 0, 0, b"", ttl=ttl)) == [(0, 0)]


@pytest.mark.req("1122-3.3.1.1-1")
def test_what_is_far_goes_to_the_gateway(lab):
    bench = lab()
    bench.host.ping(FAR, 1, 1, b"", bench.now)
    [(_, payload)] = bench.sent()
    assert arp.parse(payload).target_address == GATEWAY


@pytest.mark.req("9293-MUST-57")
@pytest.mark.parametrize("dst", [BROADCAST, ipv4("255.255.255.255"), ipv4("224.0.0.1")])
@pytest.mark.parametrize("flags", [tcp.SYN, tcp.ACK])
def test_a_segment_for_a_group_is_dropped_in_silence(lab, dst, flags):
    bench = lab().know_peer()
    bench.host.listen(80, bench.now)
    segment = tcp.build(tcp.Segment(4000, 80, 1, 1, flags, 1000), PEER, dst)
    assert bench.datagram(segment, ip.PROTOCOL_TCP, dst=dst, link=BROADCAST_MAC) == []
    assert list(bench.host.connections()) == []


# Fragments


def fragments(text, *cuts):
    """(offset, more, piece) for `text` cut at `cuts`."""
    edges = [0, *cuts, len(text)]
    return [(a, b != len(text), text[a:b]) for a, b in pairwise(edges)]


def deliver(bench, parts, identification=7, src=PEER):
    out = []
    for offset, more, piece in parts:
        out += bench.datagram(
            piece, PROTOCOL_ICMP, src, identification=identification, fragment_offset=offset, more_fragments=more
        )
    return out


TEXT = bytes(range(200)) * 4
PING = icmp.build(IcmpMessage(icmp.ECHO_REQUEST, 0, 1, TEXT))


@pytest.mark.req("1122-3.2.1.4-1", "815-1", "791-7", "1122-3.3.2-1")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 0, 2, 2, 1)])
def test_fragments_in_any_order(lab, order):
    bench = lab().know_peer()
    parts = fragments(PING, 64, 128)
    [(_, payload)] = deliver(bench, [parts[i] for i in order])
    _, message = ip.parse(payload)
    assert icmp.parse(message) == IcmpMessage(icmp.ECHO_REPLY, 0, 1, TEXT)
    assert bench.count("IpReasmOKs") == 1


@pytest.mark.req("791-6")
def test_fragments_of_two_datagrams_are_not_mixed(lab):
    bench = lab().know_peer()
    parts = fragments(PING, 64)
    assert deliver(bench, parts[:1], identification=1) == []
    assert deliver(bench, parts[1:], identification=2) == []
    assert deliver(bench, parts[1:], identification=1, src=OTHER) == []
    assert len(deliver(bench, parts[1:], identification=1)) == 1


@pytest.mark.req("815-2", "3128-1")
@pytest.mark.parametrize("forged", [(56, True), (0, True), (64, False)])
def test_fragments_that_overlap_spoil_the_datagram(lab, forged):
    bench = lab().know_peer()
    parts = fragments(PING, 64, 128)
    offset, more = forged
    assert deliver(bench, [parts[0], parts[1], (offset, more, b"EVILEVIL"), parts[2]]) == []
    assert bench.count("IpReasmOverlaps") == 1 and bench.count("IpReasmOKs") == 0


@pytest.mark.req("791-12")
def test_a_fragment_that_is_not_the_last_is_of_whole_units(lab):
    bench = lab().know_peer()
    assert deliver(bench, [(0, True, PING[:63])]) == [] and bench.count("IpReasmFails") == 1


@pytest.mark.req("791-11")
def test_the_ping_of_death(lab):
    bench = lab().know_peer()
    assert deliver(bench, [(65528, False, bytes(64))]) == [] and bench.count("IpReasmFails") == 1


@pytest.mark.req("1122-3.3.2-2", "815-3")
@pytest.mark.parametrize(("which", "reported"), [(0, [(11, 1)]), (1, [])])
def test_a_datagram_that_stays_incomplete(lab, which, reported):
    bench = lab(ipv4=Ipv4Config(reassembly_timeout=30 * SECOND)).know_peer()
    bench.advance(5 * SECOND)  # the announcements are over
    deliver(bench, [fragments(PING, 64)[which]])
    assert bench.advance(30 * SECOND - 1) == []
    frames = bench.advance(1)
    assert errors([frame[1:] for frame in frames]) == reported
    assert bench.count("IpReasmTimeout") == 1


@pytest.mark.req("815-3")
def test_incomplete_datagrams_are_bounded(lab):
    bench = lab(ipv4=Ipv4Config(reassembly_per_source=8)).know_peer()
    for identification in range(20):
        deliver(bench, [fragments(PING, 64)[0]], identification)
    assert bench.count("IpReasmNoMemory") == 12


@pytest.mark.req("791-4", "6864-4")
def test_what_is_too_long_is_sent_in_fragments(lab):
    bench = lab().know_peer()
    bench.host.ping(PEER, 1, 1, bytes(4000), bench.now)
    headers = [ip.parse(payload) for _, payload in bench.sent()]
    assert [(header.fragment_offset, header.more_fragments) for header, _ in headers] == [
        (0, True), (1480, True), (2960, False)
    ]  # fmt: skip
    assert len({header.identification for header, _ in headers}) == 1
    assert sum(len(text) for _, text in headers) == 4008


# ICMP


@pytest.mark.req("792-2", "1122-3.2.2.6-1", "1122-3.2.2.6-2", "1122-3.2.2.6-3")
def test_echo(lab):
    [(header, payload)] = lab().know_peer().icmp(icmp.ECHO_REQUEST, 0, 0x12345678, b"the same octets")
    answer, message = ip.parse(payload)
    assert (header.dst, answer.src, answer.dst) == (PEER_MAC, US, PEER)
    assert icmp.parse(message) == IcmpMessage(icmp.ECHO_REPLY, 0, 0x12345678, b"the same octets")


@pytest.mark.req("1122-3.2.2.6-4", "1122-3.2.2-5")
@pytest.mark.parametrize("link", [OUR_MAC, BROADCAST_MAC])
def test_a_broadcast_echo_is_not_answered(lab, link):
    assert lab().know_peer().icmp(icmp.ECHO_REQUEST, 0, 0, b"", dst=BROADCAST, link=link) == []


@pytest.mark.req("792-1")
def test_a_message_with_a_wrong_checksum_is_dropped(lab):
    bench = lab().know_peer()
    damaged = bytearray(icmp.build(IcmpMessage(icmp.ECHO_REQUEST, 0, 0, b"x")))
    damaged[-1] ^= 1
    assert bench.datagram(bytes(damaged), PROTOCOL_ICMP) == [] and bench.count("IcmpInCsumErrors") == 1


QUERY = udp.build(UdpHeader(4000, 53), b"anybody there?", PEER, US)


@pytest.mark.req("1122-4.1.3.1-1", "1122-3.2.2.1-1", "1122-3.2.2-2", "792-6", "1122-3.2.2-9")
def test_a_datagram_for_a_closed_port(lab):
    bench = lab().know_peer()
    [(_, payload)] = bench.datagram(QUERY, tos=8, ttl=9)
    header, text = ip.parse(payload)
    message = icmp.parse(text)
    assert (message.type, message.code, message.rest, header.tos) == (3, 3, 0, 0)
    assert bytes(message.payload) == ip.build(Ipv4Header(PEER, US, PROTOCOL_UDP, tos=8, ttl=9), QUERY)


@pytest.mark.req("1122-3.2.2.1-1")
def test_a_protocol_that_nobody_speaks(lab):
    assert errors(lab().know_peer().datagram(b"12345678", 200)) == [(3, 2)]


@pytest.mark.req("1122-3.2.2-5", "1122-3.2.2-6")
def test_what_no_error_is_sent_about(lab):
    bench = lab().know_peer()
    to_all = udp.build(UdpHeader(4000, 53), b"", PEER, BROADCAST)
    assert bench.datagram(to_all, dst=BROADCAST, link=BROADCAST_MAC) == []
    assert bench.datagram(QUERY, link=BROADCAST_MAC) == []
    quote = ip.build(Ipv4Header(US, PEER, 200), b"12345678")
    assert bench.icmp(icmp.DESTINATION_UNREACHABLE, 2, 0, quote) == []
    assert bench.icmp(icmp.DESTINATION_UNREACHABLE, 77, 0, b"nonsense") == []


@pytest.mark.req("1122-3.2.2-4")
@pytest.mark.parametrize(("kind", "reported"), [(icmp.ECHO_REQUEST, [(11, 1)]), (icmp.DESTINATION_UNREACHABLE, [])])
def test_an_error_about_an_error(lab, kind, reported):
    bench = lab().know_peer()
    bench.advance(5 * SECOND)
    deliver(bench, [(0, True, icmp.build(IcmpMessage(kind, 0, 0, bytes(56))))])
    assert errors([frame[1:] for frame in bench.advance(60 * SECOND)]) == reported


@pytest.mark.req("1812-4.3.2.8-1")
def test_errors_are_limited(lab):
    bench = lab(icmp=IcmpConfig(errors_per_second=10, error_burst=5)).know_peer()
    assert sum(len(bench.datagram(QUERY)) for _ in range(20)) == 5
    assert bench.count("IcmpOutRateLimited") == 15
    bench.advance(SECOND)
    assert sum(len(bench.datagram(QUERY)) for _ in range(20)) == 5


@pytest.mark.req("1812-4.3.2.3-1")
def test_an_error_quotes_as_much_as_fits_576_octets(lab):
    bench = lab().know_peer()
    [(_, payload)] = bench.datagram(udp.build(UdpHeader(1, 2), bytes(1400), PEER, US))
    assert len(payload) == 576


@pytest.mark.req("1122-3.2.2-1", "6918-1", "6633-2", "1122-3.2.2.7-1", "1122-3.2.2.9-1", "6633-5")
@pytest.mark.parametrize("kind", [1, 4, 10, 15, 17, 30, 37, 255])
def test_messages_of_other_types_are_discarded(lab, kind):
    bench = lab().know_peer()
    assert bench.icmp(kind, 0, 0, b"") == [] and bench.count("IcmpInUnknownType") == 1


# The path MTU


@pytest.mark.req("1191-1", "1191-4", "1191-6", "1191-7")
def test_the_path_mtu_shrinks_and_is_forgotten_after_a_while():
    known = PathMtu(Ipv4Config(path_mtu_timeout=600 * SECOND))
    known.reduce(FAR, 1400, 1500, 0)
    assert known.mtu(FAR, 0) == 1400 and known.mtu(PEER, 0) > 1500
    known.reduce(FAR, 1450, 1500, 1)
    assert known.mtu(FAR, 1) == 1400
    known.reduce(FAR, 0, 1400, 2)  # a router that does not say
    assert known.mtu(FAR, 2) == 1006
    assert known.mtu(FAR, 600 * SECOND) == 1006
    assert known.mtu(FAR, 601 * SECOND) > 1500


@pytest.mark.req("1191-3")
@pytest.mark.parametrize("claimed", [1, 67, 68, 500])
def test_a_forged_mtu_has_a_floor(claimed):
    known = PathMtu(Ipv4Config(minimum_path_mtu=552))
    known.reduce(FAR, claimed, 1500, 0)
    assert known.mtu(FAR, 0) == 552
