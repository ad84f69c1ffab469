"""Queues before a transmitter: drop-tail and CoDel."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.clock import MILLISECOND, SECOND
from stack.errors import ConfigurationError
from stack.virtual.link import Channel, LinkProfile
from stack.virtual.queues import CoDel, DropTail
from tests.virtual.frames import CE, ECT_0, ECT_1, NOT_ECT, number_of, numbered, packet, packet_of

RATE = 8_000_000  # a frame of 1,000 octets takes a millisecond


def waits(queue, load, duration, size=1000):
    """A constant flow of `load` times the rate: (when, how long) for each frame that was sent, by its leaving."""
    channel = Channel(LinkProfile(rate=RATE, queue=queue), seed=1)
    transmission = size * 8 * SECOND // RATE
    gap = int(transmission / load)
    seen = []
    for number in range(duration // gap):
        now = number * gap
        channel.send(numbered(number, size), now)
        while (at := channel.deadline()) is not None and at <= now + gap:
            for frame in channel.receive(at):
                seen.append((at, at - transmission - number_of(frame) * gap))
    return seen, channel


def test_a_full_queue_drops_what_comes_by_octets():
    channel = Channel(LinkProfile(rate=RATE, queue=DropTail(octets=3500)), seed=1)
    for number in range(6):
        channel.send(numbered(number), 0)
    assert channel.counters.overflows == 2  # one is being sent, and three wait
    assert channel.counters.most_queued == 3000
    assert [number_of(frame) for frame in channel.receive(SECOND)] == [0, 1, 2, 3]


def test_a_full_queue_drops_what_comes_by_packets():
    channel = Channel(LinkProfile(rate=RATE, queue=DropTail(octets=None, packets=2)), seed=1)
    for number in range(6):
        channel.send(numbered(number), 0)
    assert channel.counters.overflows == 3
    assert [number_of(frame) for frame in channel.receive(SECOND)] == [0, 1, 2]


def test_a_queue_without_limits_keeps_everything():
    channel = Channel(LinkProfile(rate=RATE, queue=DropTail(octets=None)), seed=1)
    for number in range(2000):
        channel.send(numbered(number), 0)
    assert channel.counters.in_transit == 2000


def test_drop_tail_marks_above_its_threshold_and_drops_only_when_full():
    channel = Channel(LinkProfile(rate=RATE, queue=DropTail(octets=4000, mark_above=2000)), seed=1)
    for number in range(7):
        channel.send(packet(number, ECT_0), 0)
    codepoints = [packet_of(frame)[0].tos for frame in channel.receive(SECOND)]
    assert codepoints == [ECT_0, ECT_0, ECT_0, CE, CE]
    assert (channel.counters.marked, channel.counters.overflows) == (2, 2)


@given(st.lists(st.sampled_from([NOT_ECT, ECT_0, ECT_1, CE]), max_size=60), st.booleans())
def test_nobody_gets_ce_who_does_not_speak_ecn(codepoints, aqm):
    queue = CoDel(target=1, interval=2, ecn=True) if aqm else DropTail(mark_above=1000)
    channel = Channel(LinkProfile(rate=RATE, queue=queue), seed=1)
    for number, codepoint in enumerate(codepoints):
        channel.send(packet(number, codepoint), 0)
    arrived = [packet_of(frame)[0] for frame in channel.receive(SECOND)]
    for header in arrived:
        sent = codepoints[header.identification]
        assert header.tos == sent or (header.tos == CE and sent in (ECT_0, ECT_1))
    changed = sum(header.tos != codepoints[header.identification] for header in arrived)
    assert changed == channel.counters.marked
    if aqm:  # those who speak ECN are never dropped by it
        assert channel.counters.queue_drops == len(codepoints) - len(arrived) <= codepoints.count(NOT_ECT)


def test_codel_lets_a_burst_pass_that_drains_within_its_interval():
    channel = Channel(LinkProfile(rate=RATE, queue=CoDel()), seed=1)
    for number in range(90):
        channel.send(numbered(number), 0)
    assert len(channel.receive(SECOND)) == 90
    assert channel.counters.queue_drops == 0


def test_codel_drops_first_after_an_interval_above_its_target():
    seen, channel = waits(CoDel(), load=1.2, duration=SECOND)
    assert channel.counters.queue_drops > 0
    numbers = [round((at - wait) / (MILLISECOND / 1.2)) for at, wait in seen]
    first_lost = next(number for number, following in itertools.pairwise(numbers) if following != number + 1)
    above = next(at for at, wait in seen if wait >= 5 * MILLISECOND)
    lost_at = next(at for at, wait in seen if round((at - wait) / (MILLISECOND / 1.2)) > first_lost)
    assert 99 * MILLISECOND <= lost_at - above <= 103 * MILLISECOND


def test_codel_drops_faster_and_faster_as_its_control_law_says():
    """Dropped k-th: interval / sqrt(k) after the one before (RFC 8289 section 5.5)."""
    channel = Channel(LinkProfile(rate=RATE, queue=CoDel()), seed=1)
    for number in range(3000):
        channel.send(numbered(number), 0)
    dropped_at, drops = [], 0
    for millisecond in range(1, 800):
        channel.receive(millisecond * MILLISECOND)
        if channel.counters.queue_drops > drops:
            drops = channel.counters.queue_drops
            dropped_at.append(millisecond)
    gaps = [after - before for before, after in itertools.pairwise(dropped_at)]
    expected = [100 / count**0.5 for count in range(1, len(gaps) + 1)]
    assert len(gaps) >= 10
    assert gaps == pytest.approx(expected, abs=2)


def test_codel_brings_the_waiting_time_to_its_target_and_keeps_it_there():
    target = 5 * MILLISECOND
    seen, channel = waits(CoDel(target=target), load=1.02, duration=60 * SECOND)
    settled = [wait for at, wait in seen if at > 10 * SECOND]
    mean = sum(settled) / len(settled)
    assert target <= mean <= target + 2 * MILLISECOND  # up to two frames: it acts on whole ones
    assert max(settled) < 2 * target
    assert channel.counters.queue_drops == pytest.approx(len(seen) * 0.02, rel=0.05)
    assert len(seen) == pytest.approx(60_000, rel=0.001)  # and the link was never idle


def test_drop_tail_lets_the_same_flow_wait_as_long_as_the_queue_is():
    seen, _ = waits(DropTail(octets=100_000), load=1.02, duration=60 * SECOND)
    assert [wait for at, wait in seen if at > 10 * SECOND][-1] > 98 * MILLISECOND


@pytest.mark.req("3168-21")
def test_codel_marks_as_often_as_it_would_drop():
    """RFC 3168 section 5: CE only where the packet would have been dropped."""
    counts = []
    for codepoint in (NOT_ECT, ECT_0):
        channel = Channel(LinkProfile(rate=RATE, queue=CoDel(ecn=True)), seed=1)
        for number in range(20_000):
            now = number * MILLISECOND * 98 // 100
            channel.send(packet(number & 0xFFFF, codepoint), now)
            channel.receive(now)
        counts.append((channel.counters.queue_drops, channel.counters.marked))
    (dropped, unmarked), (undropped, marked) = counts
    assert unmarked == undropped == 0
    assert dropped > 100
    assert marked >= dropped  # a mark does not shorten the queue, so there may be more of them


@pytest.mark.parametrize("octets", [0, -1])
def test_an_impossible_queue_is_refused(octets):
    for model in (DropTail, CoDel):
        with pytest.raises(ConfigurationError, match="octets"):
            model(octets=octets)
    with pytest.raises(ConfigurationError, match="interval"):
        CoDel(target=200 * MILLISECOND)


def test_codel_counts_the_time_up_to_when_a_frame_leaves_not_when_somebody_asks():
    channel = Channel(LinkProfile(rate=RATE, queue=CoDel()), seed=1)
    for number in range(50):
        channel.send(numbered(number), 0)
    channel.receive(20 * MILLISECOND)
    channel.receive(SECOND)
    assert channel.counters.queue_drops == 0


def test_codel_leaves_one_frame_alone_however_slow_the_link():
    """A frame takes far longer than the target: only where more than it waits is there a queue (RFC 8289 5.5)."""
    channel = Channel(LinkProfile(rate=100_000, queue=CoDel()), seed=1)
    for number in range(2):
        channel.send(numbered(number), 0)
    for number in range(2, 200):
        channel.send(numbered(number), (number - 2) * 80 * MILLISECOND)
    assert len(channel.receive(60 * SECOND)) == 200
