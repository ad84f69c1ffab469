"""One direction of a link, by itself."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.clock import MICROSECOND, MILLISECOND, SECOND
from stack.errors import ConfigurationError
from stack.virtual.link import Channel, LinkProfile
from stack.virtual.loss import GilbertElliott
from stack.virtual.queues import CoDel, DropTail
from tests.virtual.frames import number_of, numbered

END = 3600 * SECOND

probabilities = st.sampled_from([0.0, 0.1, 0.5])
profiles = st.builds(
    LinkProfile,
    delay=st.sampled_from([0, 1, 3 * MILLISECOND]),
    jitter=st.sampled_from([0, 2 * MILLISECOND]),
    rate=st.sampled_from([None, 999_983, 8_000_000]),
    queue=st.sampled_from([DropTail(), DropTail(3000), DropTail(None, 2), CoDel(MILLISECOND, 5 * MILLISECOND)]),
    loss=st.sampled_from([0.0, 0.2, GilbertElliott(0.1, 0.3)]),
    duplication=probabilities,
    reordering=probabilities,
    reordering_delay=st.just(4 * MILLISECOND),
    corruption=probabilities,
)
sendings = st.lists(st.tuples(st.integers(0, 2000), st.integers(20, 1500)), max_size=60)
"""Microseconds since the frame before, and octets."""


def poll(channel, until):
    """(when, frame) for everything that arrives up to `until`, each asked for when deadline() says."""
    arrived = []
    while (at := channel.deadline()) is not None and at <= until:
        arrived += [(at, frame) for frame in channel.receive(at)]
    return arrived


def play(profile, sending, seed=1, extra=()):
    """Send the frames; what arrives when. `extra`: instants at which receive() is called without need."""
    channel = Channel(profile, seed)
    arrived, now = [], 0
    extra = sorted(extra)
    for number, (gap, size) in enumerate(sending):
        now += gap * MICROSECOND
        while extra and extra[0] <= now:
            at = extra.pop(0)
            arrived += poll(channel, at)
            assert channel.receive(at) == []
        arrived += poll(channel, now)
        channel.send(numbered(number, size), now)
        counters = channel.counters
        assert counters.frames + counters.duplicated == accounted_for(counters)
    arrived += poll(channel, END)
    return arrived, channel


def accounted_for(counters):
    dropped = counters.lost + counters.lost_while_down + counters.overflows + counters.queue_drops
    return counters.delivered + counters.in_transit + dropped


@given(profiles, sendings)
def test_every_frame_arrives_or_is_counted_or_is_on_its_way(profile, sending):
    arrived, channel = play(profile, sending)
    counters = channel.counters
    assert counters.in_transit == 0
    assert counters.delivered == len(arrived)
    assert counters.frames == len(sending)
    assert counters.octets == sum(size for _, size in sending)
    assert counters.frames + counters.duplicated == accounted_for(counters)


@given(profiles, sendings, st.lists(st.integers(0, 60_000), max_size=10))
def test_how_often_one_asks_changes_nothing(profile, sending, extra):
    instants = [each * MICROSECOND for each in extra]
    assert play(profile, sending)[0] == play(profile, sending, extra=instants)[0]


@given(profiles, sendings)
def test_the_order_is_kept_where_nothing_reorders(profile, sending):
    arrived, channel = play(profile, sending)
    if not profile.reordering and not profile.corruption:
        numbers = [number_of(frame) for _, frame in arrived]
        assert numbers == sorted(numbers)
        assert len(set(numbers)) == len(numbers) - channel.counters.duplicated
    assert [at for at, _ in arrived] == sorted(at for at, _ in arrived)


@given(sendings, st.sampled_from([64_000, 999_983, 1_000_000_007]))
def test_the_rate_is_not_exceeded_over_any_window(sending, rate):
    arrived, _ = play(LinkProfile(rate=rate, queue=DropTail(None)), sending)
    assert len(arrived) == len(sending)
    for first in range(len(arrived)):
        octets = 0
        for at, frame in arrived[first + 1 :]:  # the frame at `first` has ended where the window begins
            octets += len(frame)
            assert octets * 8 * SECOND <= rate * (at - arrived[first][0])


@given(profiles, sendings)
def test_no_frame_is_faster_than_delay_and_rate_allow(profile, sending):
    arrived, _ = play(profile, sending)
    sent, now = [], 0
    for gap, _ in sending:
        now += gap * MICROSECOND
        sent.append(now)
    if not profile.corruption:
        for at, frame in arrived:
            transmission = len(frame) * 8 * SECOND / profile.rate if profile.rate else 0
            assert at - sent[number_of(frame)] >= profile.delay + transmission


@given(profiles, sendings, st.integers(0, 100))
def test_the_same_seed_does_the_same(profile, sending, seed):
    assert play(profile, sending, seed)[0] == play(profile, sending, seed)[0]


def test_another_seed_does_something_else():
    sending = [(100, 100)] * 200
    for profile in (
        LinkProfile(loss=0.5),
        LinkProfile(corruption=0.5),
        LinkProfile(duplication=0.5),
        LinkProfile(jitter=MILLISECOND),
        LinkProfile(reordering=0.5, reordering_delay=MILLISECOND),
        LinkProfile(loss=GilbertElliott(0.3, 0.3)),
    ):
        assert play(profile, sending, 1)[0] != play(profile, sending, 2)[0]


def test_a_rate_spaces_frames():
    arrived, _ = play(LinkProfile(rate=8_000_000, delay=MILLISECOND), [(0, 1000)] * 3 + [(5000, 500)])
    assert [at for at, _ in arrived] == [n * MILLISECOND for n in (2, 3, 4)] + [6_500 * MICROSECOND]


def test_a_corrupted_frame_differs_in_one_bit():
    [(_, frame)], channel = play(LinkProfile(corruption=1.0), [(0, 100)])
    assert int.from_bytes(frame, "big").bit_count() == 1
    assert channel.counters.corrupted == 1


def test_a_held_back_frame_is_overtaken_by_those_sent_meanwhile():
    profile = LinkProfile(reordering=0.1, reordering_delay=350 * MICROSECOND)
    arrived, channel = play(profile, [(100, 100)] * 500)
    numbers = [number_of(frame) for _, frame in arrived]
    late = [number for before, number in itertools.pairwise(numbers) if number < before]
    assert channel.counters.reordered > 30
    assert len(late) > 20
    assert all(at - (number_of(frame) + 1) * 100 * MICROSECOND in (0, 350 * MICROSECOND) for at, frame in arrived)


def test_jitter_delays_without_reordering():
    arrived, _ = play(LinkProfile(delay=MILLISECOND, jitter=MILLISECOND), [(100, 100)] * 500)
    assert [number_of(frame) for _, frame in arrived] == list(range(500))
    lateness = [at - (number + 1) * 100 * MICROSECOND for number, (at, _) in enumerate(arrived)]
    assert min(lateness) >= MILLISECOND and MILLISECOND * 3 // 2 < max(lateness) <= 2 * MILLISECOND


def test_a_link_that_is_down_loses_what_is_sent_and_delivers_what_is_on_its_way():
    channel = Channel(LinkProfile(delay=10 * MILLISECOND), seed=1)
    channel.send(numbered(0), 0)
    channel.is_down = True
    channel.send(numbered(1), MILLISECOND)
    channel.is_down = False
    channel.send(numbered(2), 2 * MILLISECOND)
    assert [number_of(frame) for _, frame in poll(channel, END)] == [0, 2]
    assert channel.counters.lost_while_down == 1


def test_very_many_frames_at_once_come_in_batches():
    channel = Channel(LinkProfile(), seed=1)
    for number in range(1000):
        channel.send(numbered(number), 5)
    batches = []
    while channel.deadline() is not None:
        batches.append(channel.receive(5))
    assert [number_of(frame) for batch in batches for frame in batch] == list(range(1000))
    assert max(len(batch) for batch in batches) <= 256


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": 1.5},
        {"corruption": -0.1},
        {"duplication": 2},
        {"reordering": -1},
        {"rate": 0},
        {"delay": -1},
        {"jitter": -1},
        {"reordering_delay": -1},
    ],
)
def test_an_impossible_profile_is_refused(fields):
    with pytest.raises(ConfigurationError, match=next(iter(fields))):
        LinkProfile(**fields)


def test_loss_takes_time_on_the_wire():
    """What is lost is lost behind the transmitter: a link that loses half carries half of its rate, not all of it."""
    sending = [(0, 1000)] * 100
    arrived, _ = play(LinkProfile(rate=8_000_000, loss=0.5), sending)
    assert 30 < len(arrived) < 70
    assert arrived[-1][0] > 95 * MILLISECOND


def test_what_overtakes_a_frame_held_back_arrives_in_its_own_time():
    profile = LinkProfile(rate=8_000_000, delay=MILLISECOND, reordering=0.3, reordering_delay=7 * MILLISECOND)
    arrived, channel = play(profile, [(0, 200)] * 200)
    assert channel.counters.reordered > 30
    lateness = {at - MILLISECOND - (number_of(frame) + 1) * 200 * MICROSECOND for at, frame in arrived}
    assert lateness == {0, 7 * MILLISECOND}


@given(profiles, sendings)
def test_who_asks_only_at_the_end_gets_the_same_frames(profile, sending):
    channel, now, frames = Channel(profile, 1), 0, []
    for number, (gap, size) in enumerate(sending):
        now += gap * MICROSECOND
        channel.send(numbered(number, size), now)
    while channel.deadline() is not None:
        frames += channel.receive(END)
    assert frames == [frame for _, frame in play(profile, sending)[0]]
