"""IPv4 as RFC 791, RFC 1122 3.2.1 and 3.3, RFC 2474 and RFC 6864 ask for it of a host."""

import errno
from itertools import pairwise

import pytest

from stack.addresses import BROADCAST_MAC, ipv4
from stack.clock import SECOND
from stack.config import ArpConfig, Ipv4Config
from stack.errors import ConfigurationError
from stack.internet.fragments import Identifications
from stack.wire import arp, icmp, udp
from stack.wire import ipv4 as ip
from stack.wire.ethernet import ETHERTYPE_ARP, ETHERTYPE_IPV4
from stack.wire.ipv4 import PROTOCOL_ICMP, PROTOCOL_UDP
from tests.conformance.lab import BROADCAST, EVERYBODY, FAR, GATEWAY, OTHER, PEER, US, Lab, default_route, mac_of

UNKNOWN_PROTOCOL = 200


@pytest.fixture
def sender():
    """A host with a UDP socket: call it with the length of a datagram; what went out."""
    return Sender()


class Sender:
    def __init__(self, **lab):
        self.lab = Lab(**lab)
        self.socket = self.lab.host.bind_udp(5000, self.lab.now)

    def __call__(self, size=10, to=PEER, port=53, **options):
        self.lab.host.send_datagram(self.socket, bytes(size), to, port, self.lab.now, **options)
        return self.lab.take()

    def raises(self, number, *arguments, **options):
        with pytest.raises(OSError, match=f"Errno {number}\\]"):
            self(*arguments, **options)
        assert self.lab.take() == []


# The frame


@pytest.mark.req("894-1", "1122-2.3.3-1", "1122-2.3.1-1")
def test_every_frame_is_of_rfc_894_and_no_longer_than_the_mtu(sender):
    lab = sender.lab
    sender(1472)
    sender(8000)
    lab.echo(bytes(1400))
    lab.arp(arp.REQUEST)
    lab.host.listen(80, lab.now)
    assert {header.ethertype for _, header, _ in lab.frames} == {ETHERTYPE_IPV4, ETHERTYPE_ARP}
    assert max(len(payload) for _, _, payload in lab.frames) == 1500
    # Received: padding behind a short datagram is not part of it.
    header = ip.Ipv4Header(PEER, US, PROTOCOL_ICMP)
    padded = ip.build(header, icmp.build(icmp.IcmpMessage(icmp.ECHO_REQUEST, 0, 1, b"12345"))).ljust(46, b"\xff")
    [reply] = lab.receive(padded)
    assert reply.icmp.payload == b"12345"


@pytest.mark.req("791-8", "1122-3.3.2-1")
def test_a_link_of_68_octets_and_a_datagram_of_576():
    lab = Lab(mtu=68)
    socket = lab.host.bind_udp(9, lab.now)
    text = bytes(range(256)) * 2 + bytes(36)
    whole = udp.build(udp.UdpHeader(4000, 9), text, PEER, US)
    assert len(whole) + 20 == 576
    for at in range(0, len(whole), 48):
        lab.datagram(whole[at : at + 48], fragment_offset=at, more_fragments=at + 48 < len(whole))
    assert lab.host.receive_datagram(socket).data == text
    lab.host.send_datagram(socket, text, PEER, 9, lab.now)
    sent = lab.take()
    assert {each.header.length + len(each.payload) for each in sent[:-1]} == {68}
    assert sum(len(each.payload) for each in sent) == 8 + len(text)
    [whole] = lab.echo(bytes(40))
    assert not whole.header.more_fragments


# Addresses


@pytest.mark.req("1122-3.2.1.3-1", "1122-3.3.1.1-1")
@pytest.mark.parametrize(
    ("prefix", "near", "far"),
    [
        (30, ["192.0.2.2"], ["192.0.2.4", "192.0.2.254"]),
        (26, ["192.0.2.2", "192.0.2.62"], ["192.0.2.64", "192.0.3.2"]),
        (24, ["192.0.2.200"], ["192.0.3.1"]),
        (8, ["192.255.0.9"], ["193.0.2.2"]),
        (31, ["192.0.2.0"], ["192.0.2.2"]),
    ],
)
def test_the_mask_decides_what_is_near(prefix, near, far):
    gateway = ipv4(near[0])
    lab = Lab(f"192.0.2.1/{prefix}", routes=default_route(gateway))
    for address in near:
        lab.host.ping(ipv4(address), 1, 1, b"", lab.now)
        assert [each.link.dst for each in lab.take()] == [mac_of(ipv4(address))]
    for address in far:
        lab.host.ping(ipv4(address), 1, 1, b"", lab.now)
        assert [each.link.dst for each in lab.take()] == [mac_of(gateway)]


@pytest.mark.req("3021-1")
def test_on_a_link_of_two_both_addresses_are_hosts():
    lab = Lab("192.0.2.1/31", routes=())
    peer = ipv4("192.0.2.0")
    [reply] = lab.echo(src=peer)
    assert reply.header.dst == peer and reply.link.dst == mac_of(peer)
    socket = lab.host.bind_udp(9, lab.now)
    lab.host.send_datagram(socket, b"", peer, 9, lab.now)
    assert [each.link.dst for each in lab.take()] == [mac_of(peer)]


@pytest.mark.req("1122-3.2.1.3-2")
def test_every_source_is_an_address_of_ours():
    lab = Lab("192.0.2.1/24", "203.0.113.1/24")
    ours = {US, ipv4("203.0.113.1")}
    there = ipv4("203.0.113.9")
    lab.echo()
    lab.echo(src=there, dst=ipv4("203.0.113.1"), port=1)
    lab.udp(9)
    socket = lab.host.bind_udp(5000, lab.now)
    for to in (PEER, there, FAR, BROADCAST, EVERYBODY):
        lab.host.send_datagram(socket, b"", to, 53, lab.now)
    lab.host.connect(there, 80, lab.now)
    lab.host.connect(PEER, 80, lab.now)
    lab.take()
    sources = {ip.parse(payload)[0].src for _, header, payload in lab.frames if header.ethertype == ETHERTYPE_IPV4}
    assert sources == ours
    for stranger in (PEER, EVERYBODY, ipv4("127.0.0.1"), ipv4("224.0.0.1")):
        with pytest.raises(OSError, match="not an address of this host"):
            lab.host.bind_udp(6000, lab.now, stranger)
        with pytest.raises(OSError, match="not an address of this host"):
            lab.host.connect(PEER, 80, lab.now, local=stranger)
        with pytest.raises(OSError, match="not an address of this host"):
            lab.host.send_datagram(socket, b"", PEER, 53, lab.now, source=stranger)


@pytest.mark.req("1122-3.2.1.3-5", "6890-1")
@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "240.0.0.1", "255.255.255.254"]
)
def test_addresses_that_nobody_on_a_network_has_are_not_sent_to(sender, address):
    lab = sender.lab
    sender.raises(errno.ENETUNREACH, to=ipv4(address))
    with pytest.raises(OSError, match="unreachable"):
        lab.host.ping(ipv4(address), 1, 1, b"", lab.now)
    with pytest.raises(OSError, match=r"unreachable|unspecified"):
        lab.host.connect(ipv4(address), 80, lab.now)
    assert lab.advance(10 * SECOND) == []
    assert lab.arps == []


@pytest.mark.req("6890-1")
@pytest.mark.parametrize(
    "address", ["10.1.2.3", "100.64.0.1", "169.254.1.1", "172.16.0.1", "192.168.0.1", "198.18.0.1"]
)
def test_private_and_shared_addresses_are_addresses_of_hosts(address):
    [reply] = Lab().echo(src=ipv4(address))
    assert reply.header.dst == ipv4(address)


@pytest.mark.req("6890-1", "1122-3.2.1.3-4")
@pytest.mark.parametrize("address", ["0.0.0.0", "0.255.1.1", "127.0.0.1", "127.8.8.8", "240.0.0.1", "254.1.1.1"])
def test_datagrams_of_such_sources_are_dropped(address):
    lab = Lab()
    assert lab.echo(src=ipv4(address)) == [] and lab.counters["IpInMartians"] == 1


@pytest.mark.req("919-1", "922-1", "1122-3.3.6-1")
@pytest.mark.parametrize("address", [EVERYBODY, BROADCAST])
def test_a_broadcast_is_for_everybody_on_the_link(sender, address):
    lab = sender.lab
    [sent] = sender(to=address)
    assert sent.link.dst == BROADCAST_MAC and sent.header.dst == address and lab.arps == []
    lab.udp(5000, b"to all", dst=address, link=BROADCAST_MAC)
    received = lab.host.receive_datagram(sender.socket)
    assert (received.data, received.address, received.destination) == (b"to all", PEER, address)


@pytest.mark.req("922-1", "1122-3.3.6-1", "1122-3.2.1.3-3")
def test_the_broadcast_address_of_another_network_is_no_broadcast_here(sender):
    lab = sender.lab
    [sent] = sender(to=ipv4("198.51.100.255"))
    assert sent.link.dst == mac_of(GATEWAY)  # RFC 1122 3.3.6: its own network's routers know it, we do not
    lab.udp(5000, b"to others", dst=ipv4("198.51.100.255"), link=BROADCAST_MAC)
    assert lab.host.receive_datagram(sender.socket) is None


@pytest.mark.req("1122-2.4-1", "1122-3.3.6-1")
def test_a_link_broadcast_to_one_address_is_dropped(sender):
    lab = sender.lab
    assert lab.udp(5000, b"", link=BROADCAST_MAC) == [] and lab.host.receive_datagram(sender.socket) is None
    assert lab.echo(link=BROADCAST_MAC) == []


@pytest.mark.req("1122-3.1-2", "1122-3.1-3", "919-1")
@pytest.mark.parametrize("networks", [("192.0.2.1/24",), ("192.0.2.1/24", "203.0.113.1/24", "198.18.0.1/24")])
def test_a_host_forwards_nothing_however_many_interfaces_it_has(networks):
    lab = Lab(*networks)
    for dst in (OTHER, FAR, ipv4("203.0.113.9"), ipv4("198.18.0.9"), EVERYBODY, BROADCAST):
        link = BROADCAST_MAC if dst in (EVERYBODY, BROADCAST) else None
        assert lab.udp(9, b"go on", dst=dst, link=link) == []
    assert lab.advance(10 * SECOND) == []


@pytest.mark.req("1122-3.1-4")
def test_what_is_discarded_is_counted_by_its_reason():
    lab = Lab()
    header = ip.Ipv4Header(PEER, US, UNKNOWN_PROTOCOL)
    good = ip.build(header, bytes(30))
    cases = {
        "IpInHdrErrors": b"\x65" + good[1:],
        "IpExtInCsumErrors": good[:11] + bytes((good[11] ^ 1,)) + good[12:],
        "IpExtInTruncatedPkts": good[:-1],
        "IpInMartians": ip.build(ip.Ipv4Header(ipv4("127.0.0.1"), US, UNKNOWN_PROTOCOL), b""),
        "IpInAddrErrors": ip.build(ip.Ipv4Header(PEER, OTHER, UNKNOWN_PROTOCOL), b""),
        "IpInUnknownProtos": good,
    }
    for name, packet in cases.items():
        before = dict(lab.counters)
        lab.receive(packet)
        after = {
            each
            for each, count in lab.counters.items()
            if each.startswith(("IpIn", "IpExtIn")) and count != before[each]
        }
        assert after == {"IpInReceives", name}


# TTL, DS field and options, as a transport protocol sets them


@pytest.mark.req("1122-3.2.1.7-1", "1122-3.2.1.7-3")
def test_the_ttl_is_what_was_asked_for_and_never_zero(sender):
    lab = sender.lab
    assert [each.header.ttl for each in sender()] == [64]
    sender.socket.ttl = 3
    assert [each.header.ttl for each in sender()] == [3]
    for wrong in (0, -1, 256):
        sender.socket.ttl = wrong
        sender.raises(errno.EINVAL)
        with pytest.raises(ConfigurationError):
            Ipv4Config(ttl=wrong)
    [reply] = Lab(ipv4=Ipv4Config(ttl=17)).echo()
    assert reply.header.ttl == 17
    assert {each.header.ttl for each in lab.echo()} == {64}


@pytest.mark.req("1122-3.2.1.6-1", "1122-3.2.1.6-2", "2474-1", "2474-2")
@pytest.mark.parametrize("codepoint", range(64))
def test_any_ds_codepoint_is_sent_received_and_harmless(sender, codepoint):
    lab = sender.lab
    sender.socket.tos = codepoint << 2
    assert [each.header.tos for each in sender()] == [codepoint << 2]
    lab.udp(5000, b"", tos=codepoint << 2)
    assert lab.host.receive_datagram(sender.socket).tos == codepoint << 2
    [reply] = lab.echo(tos=codepoint << 2)
    assert reply.icmp.type == icmp.ECHO_REPLY
    sender.socket.tos = 256
    sender.raises(errno.EINVAL)


ROUTER_ALERT = bytes((148, 4, 0, 0))
UNKNOWN = bytes((0x5E, 4, 1, 2))
RECORD_ROUTE = bytes((7, 7, 4)) + bytes(4) + b"\x00"


@pytest.mark.req("1122-3.2.1.8-1", "1122-4.1.3.2-1", "1122-3.2.1.8-2")
@pytest.mark.parametrize("options", [ROUTER_ALERT, UNKNOWN, RECORD_ROUTE, ROUTER_ALERT + UNKNOWN])
def test_options_go_from_the_application_to_the_wire_and_back(sender, options):
    lab = sender.lab
    sender.socket.options = options
    assert [each.header.options for each in sender()] == [options]
    lab.udp(5000, b"text", options=options)
    received = lab.host.receive_datagram(sender.socket)
    assert (received.data, received.options) == (b"text", options)


@pytest.mark.req("1122-3.2.1.8-1")
@pytest.mark.parametrize("options", [bytes((7, 1)), bytes((7,)), bytes((7, 9, 0)), b"\x01" * 41])
def test_options_that_cannot_be_are_refused(sender, options):
    sender.socket.options = options
    sender.raises(errno.EINVAL)


# Fragments


@pytest.mark.req("791-3", "1122-3.3.3-2", "1191-12", "8085-2")
def test_what_fits_is_sent_with_df_and_nothing_longer_than_the_path_takes_is_sent_whole(sender):
    lab = sender.lab
    [whole] = sender(1472, to=FAR)
    assert whole.header.dont_fragment and not whole.header.more_fragments
    lab.quote(icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, whole, rest=1400, src=GATEWAY)
    with pytest.raises(OSError, match="too long for the path"):
        lab.host.receive_datagram(sender.socket)
    pieces = sender(1472, to=FAR)
    assert [each.header.fragment_offset for each in pieces] == [0, 1376]
    assert all(each.header.length + len(each.payload) <= 1400 for each in pieces)
    assert not any(each.header.dont_fragment for each in pieces)
    assert [each.header.dont_fragment for each in sender(1372, to=FAR)] == [True]
    assert len(sender(1472, to=PEER)) == 1


@pytest.mark.req("791-5")
def test_later_fragments_have_the_options_that_are_to_be_copied(sender):
    sender.socket.options = RECORD_ROUTE[:7] + ROUTER_ALERT
    first, *later = sender(4000)
    assert ip.parse_options(first.header.options) == [(7, b"\x04" + bytes(4)), (148, bytes(2))]
    assert [ip.parse_options(each.header.options) for each in later] == [[(148, bytes(2))]] * len(later)
    assert b"".join(each.payload for each in (first, *later))[8:] == bytes(4000)


# The identification (RFC 6864)


@pytest.mark.req("6864-1", "6864-2", "6864-3")
@pytest.mark.parametrize("identification", [0, 7])
def test_the_identification_of_a_whole_datagram_means_nothing(sender, identification):
    lab = sender.lab
    for text in (b"one", b"two", b"two"):
        lab.udp(5000, text, identification=identification, dont_fragment=True)
    got = [lab.host.receive_datagram(sender.socket).data for _ in range(3)]
    assert got == [b"one", b"two", b"two"]
    # Nor does a fragment of the same identification that waits get mixed with it.
    lab.datagram(bytes(16), PROTOCOL_UDP, identification=identification, more_fragments=True)
    lab.udp(5000, b"four", identification=identification, dont_fragment=True)
    assert lab.host.receive_datagram(sender.socket).data == b"four"


@pytest.mark.req("6864-5", "6864-7")
def test_what_may_be_fragmented_is_limited_to_what_can_be_told_apart():
    lab = Lab()

    def ping(size, count=1):
        """Echo requests longer than 552 octets may be fragmented by routers; the identifications, None with DF."""
        numbers = []
        for _ in range(count):
            lab.host.ping(PEER, 1, 1, bytes(size), lab.now)
        while ring := lab.host.take_frames():
            for frame in ring:  # 65,536 of them: no time for more than the octets that matter
                numbers.append(None if frame[20] & 0x40 else bytes(frame[18:20]))
            ring.clear()
        return numbers

    lab.host.ping(PEER, 1, 1, b"", lab.now)
    lab.take()
    start, used = lab.now, []
    with pytest.raises(OSError, match="two minutes") as raised:
        for _ in range(65_537):
            used += ping(600)
    assert raised.value.errno == errno.ENOBUFS and lab.counters["IpOutDiscards"] == 1
    assert len(set(used)) == len(used) > 65_000 and None not in used
    assert ping(500) == [None]  # has no use for an identification
    lab.advance(start + 120 * SECOND - lab.now)
    assert ping(600)[-1] is not None


@pytest.mark.req("6864-5")
@pytest.mark.parametrize("start", [0, 1, 200, 65_535])
def test_no_identification_comes_back_within_two_minutes_however_the_rate_changes(start):
    identifications, now, last = Identifications(start), 0, {}
    for pause in (0, 1, 30, 60, 119, 0, 120, 1, 1, 300, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10):
        now += pause * SECOND
        for _ in range(9_000):
            number = identifications.take(now)
            if number is None:
                break
            assert now - last.get(number, -120 * SECOND) >= 120 * SECOND
            last[number] = now
    assert len(last) == 65_536


@pytest.mark.req("6864-4", "6864-5")
def test_fragments_of_one_datagram_share_an_identification_and_two_datagrams_do_not(sender):
    datagrams = [sender(3000) for _ in range(20)]
    numbers = [{each.header.identification for each in datagram} for datagram in datagrams]
    assert all(len(each) == 1 for each in numbers)
    assert all(one != other for one, other in pairwise(numbers))


# Silence


@pytest.mark.req("1122-3.3.1.4-2")
def test_a_host_that_has_nothing_to_say_says_nothing():
    lab = Lab(arp=ArpConfig(reachable_time=30 * SECOND))
    lab.host.ping(FAR, 1, 1, b"", lab.now)
    lab.take()
    lab.arps.clear()
    assert lab.advance(24 * 3600 * SECOND) == []
    assert lab.arps == []
