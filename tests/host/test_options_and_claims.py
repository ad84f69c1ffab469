"""IPv4 options that are refused, and the claim to an address (RFC 5227), seen from the wire."""

import random
from itertools import pairwise

import pytest

from stack.addresses import BROADCAST_MAC, UNSPECIFIED, UNSPECIFIED_MAC, ipv4, mac
from stack.clock import MILLISECOND, SECOND
from stack.config import ArpConfig, HostConfig, InterfaceConfig
from stack.host import Host
from stack.wire import arp, ethernet, icmp
from stack.wire import ipv4 as ip

US, PEER = ipv4("10.0.0.1"), ipv4("10.0.0.2")
OUR_MAC, PEER_MAC = mac("02:00:00:00:00:01"), mac("02:00:00:00:00:02")


def make_host(probe=False):
    config = HostConfig((InterfaceConfig(OUR_MAC, US, 24),), arp=ArpConfig(probe=probe))
    return Host(config, secret=b"s" * 16, random=random.Random(1))


def take(host):
    ring = host.take_frames()
    frames = [bytes(frame) for frame in ring]
    ring.clear()
    return frames


def run(host, start, end):
    """Every ARP packet that is sent, with its time, until `end`."""
    sent = [(start, frame) for frame in take(host)]
    while (deadline := host.deadline()) is not None and deadline <= end:
        host.advance(deadline)
        sent += [(deadline, frame) for frame in take(host)]
    packets = []
    for at, frame in sent:
        header, payload = ethernet.parse(frame)
        if header.ethertype == ethernet.ETHERTYPE_ARP:
            packets.append((at, header.dst, arp.parse(payload)))
    return packets


def from_peer(packet, dst=OUR_MAC):
    header = ethernet.EthernetHeader(dst, PEER_MAC, ethernet.ETHERTYPE_ARP)
    return ethernet.build(header, arp.build(packet))


def echo(options):
    header = ip.Ipv4Header(PEER, US, ip.PROTOCOL_ICMP, options=options)
    message = icmp.build(icmp.IcmpMessage(icmp.ECHO_REQUEST, 0, 1, b"ping"))
    frame = ethernet.EthernetHeader(OUR_MAC, PEER_MAC, ethernet.ETHERTYPE_IPV4)
    return ethernet.build(frame, ip.build(header, message))


@pytest.mark.parametrize(
    ("options", "type", "code", "rest", "counter"),
    [
        (b"\x07\x09\x04\x00", icmp.PARAMETER_PROBLEM, 0, 21 << 24, "IpInHdrErrors"),
        (b"\x83\x07\x04" + bytes(4) + b"\x00", icmp.DESTINATION_UNREACHABLE, 5, 0, "IpInSourceRouted"),
        (b"\x89\x07\x04" + bytes(4) + b"\x00", icmp.DESTINATION_UNREACHABLE, 5, 0, "IpInSourceRouted"),
    ],
)
def test_options_that_are_refused_are_reported(options, type, code, rest, counter):
    host = make_host()
    run(host, 0, 10 * SECOND)
    host.receive(0, [from_peer(arp.ArpPacket(arp.REQUEST, PEER_MAC, PEER, UNSPECIFIED_MAC, US))], 11 * SECOND)
    take(host)
    host.receive(0, [echo(options)], 11 * SECOND)
    frames = [frame for frame in take(host) if ethernet.parse(frame)[0].ethertype == ethernet.ETHERTYPE_IPV4]
    [frame] = frames
    message = icmp.parse(ip.parse(ethernet.parse(frame)[1])[1])
    assert (message.type, message.code, message.rest) == (type, code, rest)
    assert host.counters[counter] == 1


def test_options_that_are_well_formed_do_no_harm():
    host = make_host()
    host.receive(0, [echo(b"\x01\x07\x07\x04" + bytes(4))], SECOND)
    assert host.counters["IcmpOutEchoReps"] == 1


def test_an_address_is_probed_for_three_times_then_announced_twice():
    packets = run(make_host(probe=True), 0, 60 * SECOND)
    probes = [(at, p) for at, _, p in packets if p.sender_address == UNSPECIFIED]
    announcements = [(at, p) for at, _, p in packets if p.sender_address == US]
    assert [len(probes), len(announcements)] == [3, 2]
    assert all(dst == BROADCAST_MAC and p.target_address == US for _, dst, p in packets)
    times = [at for at, _ in probes]
    assert times[0] <= SECOND
    assert all(SECOND <= later - earlier <= 2 * SECOND for earlier, later in pairwise(times))
    assert announcements[0][0] - times[2] == 2 * SECOND
    assert announcements[1][0] - announcements[0][0] == 2 * SECOND


def test_nothing_is_answered_for_an_address_that_is_still_probed_for():
    host = make_host(probe=True)
    take(host)
    host.receive(0, [from_peer(arp.ArpPacket(arp.REQUEST, PEER_MAC, PEER, UNSPECIFIED_MAC, US))], MILLISECOND)
    host.receive(0, [echo(b"")], MILLISECOND)
    assert take(host) == []
    assert host.counters["IpInAddrErrors"] == 1


def test_a_conflict_while_probing_starts_the_probing_again():
    host = make_host(probe=True)
    first = run(host, 0, 2 * SECOND)
    assert first
    host.receive(0, [from_peer(arp.ArpPacket(arp.REPLY, PEER_MAC, US, OUR_MAC, US))], 2 * SECOND)
    assert host.counters["ArpInConflicts"] == 1
    later = run(host, 2 * SECOND, 60 * SECOND)
    assert len([p for _, _, p in later if p.sender_address == UNSPECIFIED]) == 3


def test_a_bound_address_is_defended_once_in_ten_seconds():
    host = make_host()
    run(host, 0, 10 * SECOND)
    conflict = from_peer(arp.ArpPacket(arp.REQUEST, PEER_MAC, US, UNSPECIFIED_MAC, US), BROADCAST_MAC)
    sent = []
    for second in (20, 21, 25, 31):
        host.receive(0, [conflict], second * SECOND)
        sent.append(len(take(host)))
    assert sent == [1, 0, 0, 1]
