"""Losses found by time: RFC 8985 section 6 (RACK)."""

from itertools import pairwise

import pytest

from stack.clock import MILLISECOND, SECOND
from tests.conformance.flight import MSS, RTT, Flight


def reordered(flight, number=0):
    """Make the sender see one reordering: `number` arrives after `number` + 1, without having been sent again."""
    flight.write(2)
    flight.wait(RTT)
    flight.ack(number, (number + 1, number + 2))
    flight.ack(number + 2)
    assert flight.info.reordering_seen
    return number + 2


def when_sent_again(flight, number, within=10 * SECOND):
    """The instant at which segment `number` is sent again."""
    end = flight.now + within
    while flight.now < end:
        each = flight.wait_for(end - flight.now)
        if each.seq == 1 + MSS * number:
            return each.at
    raise AssertionError(flight.bench.log())


@pytest.mark.req("8985-1", "8985-2")
def test_without_sack_no_loss_is_found_by_time_and_no_tail_is_probed():
    flight = Flight(sack=False)
    flight.write(5)
    start = flight.now
    flight.wait(RTT)
    flight.ack(0)
    flight.ack(0)
    segment = flight.wait_for(5 * SECOND)
    assert segment.at - start >= 3 * RTT and flight.bench.host.counters["TcpExtTCPTimeouts"] == 1
    assert flight.bench.host.counters["TcpExtTCPLossProbes"] == 0


@pytest.mark.req("8985-3", "8985-11", "8985-25", "8985-5", "2018-9")
def test_a_repetition_that_is_lost_is_found_by_what_was_sent_after_it():
    flight = Flight(minimum_rto=SECOND)
    flight.peer.write(60 * MSS)
    flight.play(8 * RTT, lambda number, time: number == 0 and time <= 3)
    times = [at for at, number in flight.log if number == 0]
    assert len(times) == 4 and flight.bench.host.counters["TcpExtTCPTimeouts"] == 0
    assert all(RTT <= later - earlier < 2 * RTT for earlier, later in pairwise(times))


@pytest.mark.req("8985-4")
def test_the_least_round_trip_is_kept_and_forgotten_when_the_path_has_become_longer():
    flight = Flight(rtt=RTT)
    assert flight.info.min_rtt == RTT
    number = 0
    for trip in (80, 120, 60, 90):
        flight.write(1)
        flight.wait(trip * MILLISECOND)
        number += 1
        flight.ack(number)
    assert flight.info.min_rtt == 60 * MILLISECOND
    for _ in range(40):  # RFC 8985 6.2 step 1: "that can adapt when migrating to significantly longer paths"
        flight.wait(30 * SECOND)
        flight.write(1)
        flight.wait(150 * MILLISECOND)
        number += 1
        flight.ack(number)
    assert flight.info.min_rtt == 150 * MILLISECOND


@pytest.mark.req("8985-7")
def test_an_original_that_arrives_late_is_reordering_and_a_repetition_is_not():
    flight = Flight()
    flight.write(6)
    flight.wait(RTT)
    flight.ack(0, (1, 4))
    assert not flight.info.reordering_seen
    flight.wait(RTT)  # 0 was sent again meanwhile
    flight.ack(6)
    assert not flight.info.reordering_seen
    flight.write(3)
    flight.wait(RTT)
    flight.ack(6, (7, 8))
    assert not flight.info.reordering_seen
    flight.ack(8)
    assert flight.info.reordering_seen


@pytest.mark.req("8985-8", "8985-11", "8985-12")
def test_the_window_for_reordering_is_a_quarter_of_the_least_round_trip():
    flight = Flight()
    number = reordered(flight)
    flight.write(6)
    start = flight.now
    flight.wait(RTT)
    assert number not in flight.ack(number, (number + 1, number + 2))
    assert when_sent_again(flight, number) == start + RTT + RTT // 4


@pytest.mark.req("8985-9")
def test_once_reordering_was_seen_three_segments_beyond_a_hole_are_not_enough():
    flight = Flight()
    number = reordered(flight)
    flight.write(6)
    flight.wait(RTT)
    for last in (2, 3, 4, 5):
        assert number not in flight.ack(number, (number + 1, number + last))
    assert flight.info.phase.name == "OPEN"
    assert number in flight.wait(RTT // 4) and flight.info.phase.name == "RECOVERY"


@pytest.mark.req("8985-9", "8985-12")
def test_before_reordering_was_seen_fewer_than_three_wait_for_the_window():
    flight = Flight()
    flight.write(6)
    start = flight.now
    flight.wait(RTT)
    assert 0 not in flight.ack(0, (1, 2))
    assert when_sent_again(flight, 0) == start + RTT + RTT // 4


@pytest.mark.req("8985-9")
def test_in_recovery_there_is_no_window():
    """Of what was sent before something that has arrived, what has had a round trip is lost at once."""
    flight = Flight()
    flight.write(10)
    flight.wait(RTT)
    flight.ack(0, (1, 4))
    assert flight.info.phase.name == "RECOVERY"
    flight.ack(0, (1, 4), (6, 7))
    assert flight.info.lost + flight.info.retransmitted >= 3 * MSS  # 0, 4 and 5


@pytest.mark.req("8985-5", "8985-13", "8985-11")
def test_of_a_burst_only_what_lies_before_the_last_to_arrive_is_lost():
    flight = Flight()
    flight.write(10)
    flight.wait(RTT)
    flight.ack(0, (5, 6))  # 0 to 9 went out in one instant
    sent = flight.wait(RTT // 4)
    info = flight.info
    assert info.lost + MSS * len([each for each in sent if each < 5]) >= 5 * MSS
    assert not {6, 7, 8, 9} & set(sent)
    assert flight.info.in_flight >= 4 * MSS


@pytest.mark.req("8985-5")
def test_what_arrives_later_but_was_sent_earlier_moves_nothing():
    flight = Flight()
    flight.write(2)  # 0 and 1
    flight.wait(20 * MILLISECOND)
    flight.write(2)  # 2 and 3
    flight.wait(20 * MILLISECOND)
    flight.write(2)  # 4 and 5
    start = flight.now - 40 * MILLISECOND
    flight.wait(start + RTT + 20 * MILLISECOND - flight.now)
    flight.ack(0, (2, 3))  # a round trip of 100 ms
    flight.ack(0, (1, 3))  # of 120 ms, but sent before 2
    # 3 was sent with 2 and lies behind it; 4 and 5 were sent later: nothing says that they are lost.
    sent = flight.wait(RTT // 2)
    assert 0 in sent and not {3, 4, 5} & set(sent)


@pytest.mark.req("8985-6")
def test_an_acknowledgment_that_is_too_early_for_the_repetition_says_nothing_of_when_it_was_sent():
    """Condition 2 of RFC 8985 6.2 step 2: sent again less than RACK.min_rtt ago."""
    flight = Flight()
    flight.write(10)
    flight.wait(RTT)
    flight.ack(0, (1, 4))  # 0 goes again, now
    flight.wait(10 * MILLISECOND)
    before = flight.info
    flight.ack(1, (1, 4))  # of the original: in 10 ms nothing comes back
    sent = flight.wait(30 * MILLISECOND)
    # Were the repetition the newest to have arrived, 4 to 9, sent 110 ms before, would be lost.
    assert not {4, 5, 6, 7, 8, 9} & set(sent) and flight.info.lost == 0
    assert before.min_rtt == flight.info.min_rtt == RTT


@pytest.mark.req("8985-6")
def test_an_acknowledgment_that_echoes_an_older_time_stamp_says_nothing_of_the_repetition():
    """Condition 1 of RFC 8985 6.2 step 2: TSecr shows that the original has arrived, however late."""
    flight = Flight(timestamps=True)
    flight.write(10)
    original = flight.peer.ts_seen
    flight.wait(RTT)
    flight.ack(0, (1, 4))  # 0 goes again, now
    flight.wait(RTT + 10 * MILLISECOND)
    flight.peer.ts_seen = original
    flight.ack(1, (1, 4))
    sent = flight.wait(5 * MILLISECOND)
    assert not {4, 5, 6, 7, 8, 9} & set(sent) and flight.info.lost == 0


@pytest.mark.req("8985-10")
def test_each_round_trip_with_a_dsack_widens_the_window():
    flight = Flight()
    number = reordered(flight)
    for rounds in (1, 2, 3):
        flight.write(2)
        flight.wait(RTT)
        flight.ack(number + 1, (number - 1, number))  # a duplicate
        flight.ack(number + 1, (number, number + 1))  # another one in the same round trip
        number += 2
        flight.ack(number)
        flight.write(2)
        start = flight.now
        flight.wait(RTT)
        flight.ack(number, (number + 1, number + 2))
        assert when_sent_again(flight, number) == start + RTT + (rounds + 1) * RTT // 4
        flight.wait(RTT)
        number += 2
        flight.ack(number)
    # SRTT bounds it.
    for _ in range(6):
        flight.write(2)
        flight.wait(RTT)
        number += 2
        flight.ack(number, (number - 2, number - 1))
    flight.write(2)
    start = flight.now
    flight.wait(RTT)
    flight.ack(number, (number + 1, number + 2))
    assert when_sent_again(flight, number) <= start + RTT + flight.info.srtt


@pytest.mark.req("8985-10")
def test_a_widened_window_lasts_for_sixteen_recoveries():
    flight = Flight()
    number = reordered(flight)
    flight.write(2)
    flight.wait(RTT)
    number += 2
    flight.ack(number, (number - 2, number - 1))  # a duplicate
    waits = []
    for _ in range(18):
        flight.write(2)
        start = flight.now
        flight.wait(RTT)
        flight.ack(number, (number + 1, number + 2))
        waits.append(when_sent_again(flight, number) - start - RTT)
        flight.wait(RTT)
        number += 2
        flight.ack(number)
    assert waits == [RTT // 2] * 16 + [RTT // 4] * 2


@pytest.mark.req("8985-14")
def test_on_a_timeout_what_was_sent_lately_is_not_lost():
    flight = Flight()
    number = flight.warm_up()
    flight.write(4)
    while flight.bench.host.counters["TcpExtTCPTimeouts"] == 0:
        before = flight.now
        deadline = flight.bench.host.deadline()
        flight.bench.run_until(deadline - MILLISECOND)
        if flight.peer.connection.retransmit.deadline == deadline:
            flight.write(1)  # a millisecond before the timeout
        flight.bench.run_until(deadline)
        assert flight.now > before
    again = flight.sent()
    assert number in again and number + 4 not in again
    assert flight.info.lost + flight.info.in_flight == 5 * MSS and flight.info.in_flight >= 2 * MSS


@pytest.mark.req("8985-26", "5681-23")
def test_a_lost_repetition_is_another_loss_for_congestion_control():
    flight = Flight(minimum_rto=SECOND)
    flight.peer.write(80 * MSS)
    flight.play(RTT + 30 * MILLISECOND, lambda number, time: number == 0 and time <= 2)
    first = flight.info.ssthresh
    flight.play(2 * RTT, lambda number, time: number == 0 and time <= 2)
    assert [number for _, number in flight.log].count(0) == 3
    assert flight.info.ssthresh < first


@pytest.mark.parametrize("timestamps", [False, True])
def test_what_arrives_before_it_could_be_sent_again_was_not_lost(timestamps):
    """The acknowledgments that tell of a loss, and then of none, come in one batch of frames: nothing is repeated."""
    flight = Flight(timestamps=timestamps)
    first = flight.warm_up(8)
    flight.write(6)
    flight.wait(RTT)
    before = flight.info
    with flight.bench.batch():
        for last in range(first + 2, first + 6):
            flight.ack(first, (first + 1, last))
        flight.ack(first + 6)
    after = flight.info
    assert (after.reductions, after.undone) == (1, 1) and after.reordering_seen and after.phase.name == "OPEN"
    assert after.ssthresh == before.ssthresh and not after.retransmitted  # slow start leads back (RFC 4015 3.1)


def test_what_has_arrived_only_in_part_may_still_be_lost():
    flight = Flight()
    first = flight.warm_up(8)
    flight.write(8)
    flight.wait(RTT)
    with flight.bench.batch():
        flight.ack(first, (first + 1, first + 2), (first + 3, first + 7))
        flight.ack(first + 2, (first + 3, first + 7))
        assert flight.info.undone == 0


@pytest.mark.req("8985-6")
def test_beside_a_repetition_that_says_nothing_what_was_sent_once_counts():
    """RFC 8985 6.2 step 2 passes over the ambiguous segment, not over the acknowledgment."""
    flight = Flight(timestamps=True, minimum_rto=SECOND)
    first = flight.warm_up(8)
    flight.write(6)
    flight.wait(RTT // 2)
    later = flight.write(3)
    flight.wait(RTT // 2)
    original = flight.peer.ts_seen
    assert first in flight.ack(first, (first + 1, first + 6))
    flight.wait(RTT // 2)
    flight.peer.ts_seen = original  # the original has arrived, and of what was sent before the repetition all but one
    flight.ack(first + 6, (later[1], later[2] + 1))
    assert flight.info.undone == 1
    assert flight.wait(RTT // 4) == [later[0]]
