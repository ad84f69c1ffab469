"""Address conflicts as RFC 5227 has them."""

from itertools import pairwise

import pytest

from stack.clock import SECOND
from stack.config import ArpConfig
from stack.wire import arp
from stack.wire.arp import ArpPacket
from tests.conformance.lab import OUR_MAC, PEER, US, Lab, mac_of

PROBES = ArpConfig(probe=True, announce_wait=2 * SECOND)


def claimed(lab, operation=arp.REPLY):
    """Another station says that our address is its own."""
    lab.arp(operation, sender=US, sender_mac=mac_of(PEER), target_mac=OUR_MAC, dst=OUR_MAC)


@pytest.mark.req("5227-5")
def test_after_ten_conflicts_an_address_is_tried_once_a_minute():
    lab = Lab(arp=PROBES, settled=False)
    attempts = []
    for _ in range(14):
        before = len(lab.arps)
        for _ in range(10_000):
            if len(lab.arps) > before:
                break
            lab.advance(SECOND // 10)
        attempts.append(lab.arps[before][0])
        claimed(lab)
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert max(gaps[:9]) < 10 * SECOND
    assert min(gaps[9:]) >= 60 * SECOND
    assert not lab.host.interfaces[0].is_bound


@pytest.mark.req("5227-4")
@pytest.mark.parametrize("operation", [arp.REQUEST, arp.REPLY])
def test_while_probing_a_claim_of_either_kind_is_a_conflict(operation):
    lab = Lab(arp=PROBES, settled=False)
    lab.advance(SECOND)
    claimed(lab, operation)
    assert lab.counters["ArpInConflicts"] == 1


@pytest.mark.req("5227-4")
@pytest.mark.parametrize(("asker", "conflicts"), [(mac_of(PEER), 1), (OUR_MAC, 0)])
def test_anothers_probe_is_a_conflict_and_our_own_come_back_is_none(asker, conflicts):
    lab = Lab(arp=PROBES, settled=False)
    lab.advance(SECOND)
    lab.arp(arp.REQUEST, sender=0, sender_mac=asker, target=US)
    assert lab.counters["ArpInConflicts"] == conflicts
    lab.advance(20 * SECOND)
    assert lab.host.interfaces[0].is_bound


@pytest.mark.req("5227-1", "5227-4")
def test_nothing_is_sent_from_an_address_before_it_is_ours():
    lab = Lab(arp=PROBES, settled=False)
    socket = lab.host.bind_udp(5000, lab.now)
    with pytest.raises(OSError, match="being probed"):
        lab.host.send_datagram(socket, b"", PEER, 53, lab.now)
    assert lab.echo() == []
    lab.arp(arp.REQUEST)
    assert all(packet.sender_address == 0 for _, _, packet in lab.arps)


@pytest.mark.req("5227-10")
def test_a_probe_for_an_address_in_use_is_answered():
    lab = Lab()
    lab.arp(arp.REQUEST, sender=0, sender_mac=mac_of(PEER), target=US)
    assert [packet for _, _, packet in lab.arps] == [ArpPacket(arp.REPLY, OUR_MAC, US, mac_of(PEER), 0)]


@pytest.mark.req("5227-7", "5227-8")
def test_of_two_conflicts_within_ten_seconds_one_is_answered():
    lab = Lab()
    for pause, defended in ((0, 1), (5, 0), (6, 1), (9, 0), (2, 1)):
        lab.advance(pause * SECOND)
        lab.arps.clear()
        claimed(lab)
        assert [(packet.sender_address, packet.target_address) for _, _, packet in lab.arps] == [(US, US)] * defended


@pytest.mark.req("1122-2.3.2.2-1")
def test_of_what_waits_for_a_neighbour_the_latest_are_kept():
    lab = Lab()
    lab.silent.add(PEER)
    room = lab.host.config.arp.queue_length
    for sequence in range(room + 10):
        lab.host.ping(PEER, 7, sequence, b"", lab.now)
    sent = lab.arp(arp.REPLY, target_mac=OUR_MAC, dst=OUR_MAC)
    assert [each.icmp.rest & 0xFFFF for each in sent] == list(range(10, room + 10))
    assert lab.counters["ArpQueueDrops"] == 10
