"""Timeouts that were none: F-RTO (RFC 5682), Eifel detection (RFC 3522) and response (RFC 4015)."""

import pytest

from stack.clock import MILLISECOND, SECOND
from tests.conformance.flight import MSS, RTT, Flight

SENT = 4  # segments in flight when nothing more comes back


class Spike:
    """A connection on which the acknowledgments of `SENT` segments are late, at the moment of its timeout.

    What is in flight then: the segments, and the loss probe, which was new text when there was some.
    """

    def __init__(self, *, more=20, timestamps=False, rounds=8, window_segments=0, **config):
        self.flight = flight = Flight(timestamps=timestamps, **config)
        self.first = flight.warm_up(rounds)
        while flight.info.cwnd < window_segments * MSS:
            self.first += len(flight.write(flight.info.cwnd // MSS))
            flight.wait(RTT)
            flight.ack(self.first)
        self.before = flight.info
        flight.peer.write(SENT * MSS)
        self.original = flight.peer.ts_seen
        if more:  # the peer's window opens for it later
            flight.peer.send("A", ack=1 + MSS * self.first, window=SENT * MSS)
            flight.peer.write(more * MSS)
        assert flight.sent()[-SENT:] == [self.first + each for each in range(SENT)]
        counters = flight.bench.host.counters
        while not counters["TcpExtTCPTimeouts"]:
            flight.bench.run_until(flight.bench.host.deadline())
        self.again = flight.sent()
        self.timed_out_at = flight.now

    def ack(self, count, *blocks, original=False, **fields):
        """The segments before `first` + `count` have arrived."""
        if original:
            self.flight.peer.ts_seen = self.original
        shifted = [(self.first + left, self.first + right) for left, right in blocks]
        return [each - self.first for each in self.flight.ack(self.first + count, *shifted, **fields)]

    @property
    def info(self):
        return self.flight.info


@pytest.mark.req("5682-2", "5682-1")
def test_a_timeout_sends_the_first_segment_and_nothing_else():
    spike = Spike()
    assert [each - spike.first for each in spike.again][-1] == 0
    assert spike.again.count(spike.first) == 1


@pytest.mark.req("5682-4", "5682-1")
def test_the_first_acknowledgment_lets_out_two_new_segments():
    spike = Spike()
    assert spike.ack(1) == [SENT, SENT + 1]


@pytest.mark.req("5682-6", "5682-8", "4015-1", "5682-1")
@pytest.mark.parametrize("selectively", [False, True])
def test_the_next_one_shows_that_the_timeout_was_none(selectively):
    spike = Spike()
    sent = spike.ack(1)
    sent += spike.ack(1, (2, 3)) if selectively else spike.ack(2)
    assert spike.info.phase.name == "OPEN" and spike.info.undone == 1 and spike.info.lost == 0
    sent += spike.ack(SENT)
    assert sent and min(sent) >= SENT  # no go-back-N: nothing but new text
    assert spike.info.ssthresh == spike.before.ssthresh


@pytest.mark.req("5682-3")
def test_an_acknowledgment_of_everything_shows_nothing():
    """RFC 5682 3.1 (2a): the repetition may have filled the only hole, and all acknowledgments before been lost."""
    spike = Spike()
    spike.ack(SENT)
    assert spike.info.undone == 0 and spike.info.ssthresh == 2 * MSS
    assert spike.info.cwnd <= 2 * MSS


@pytest.mark.req("5682-3", "5682-5")
def test_a_duplicate_that_says_nothing_ends_the_test_and_the_rest_is_sent_again():
    spike = Spike()
    sent = spike.ack(1)
    sent += spike.ack(1, (SENT, SENT + 1))  # of new text: 1 to 3 are really lost
    assert spike.info.undone == 0 and spike.info.cwnd <= 3 * MSS
    spike.flight.bench.elapse(RTT)
    sent += [each - spike.first for each in spike.flight.sent()]
    assert 1 in sent
    assert spike.info.ssthresh == 2 * MSS


@pytest.mark.req("5682-5")
def test_without_anything_that_was_sent_before_the_timeout_it_is_a_loss():
    spike = Spike()
    spike.ack(1)
    spike.flight.wait(RTT)
    spike.ack(1, (SENT, SENT + 2))
    spike.flight.wait(RTT)
    assert spike.info.undone == 0 and spike.info.ssthresh == 2 * MSS


@pytest.mark.req("5682-1")
def test_a_second_timeout_starts_the_test_again():
    spike = Spike()
    counters = spike.flight.bench.host.counters
    while counters["TcpExtTCPTimeouts"] < 2:
        spike.flight.bench.run_until(spike.flight.bench.host.deadline())
    assert [each - spike.first for each in spike.flight.sent()] == [0]
    assert spike.ack(1) == [SENT, SENT + 1]


@pytest.mark.req("5682-7")
def test_in_recovery_a_timeout_is_believed():
    flight = Flight()
    first = flight.warm_up(8)
    flight.peer.write(30 * MSS)
    flight.sent()
    flight.wait(RTT)
    flight.ack(first, (first + 1, first + 5))
    assert flight.info.phase.name == "RECOVERY"
    counters = flight.bench.host.counters
    while not counters["TcpExtTCPTimeouts"]:
        flight.bench.run_until(flight.bench.host.deadline())
    flight.sent()
    ssthresh = flight.info.ssthresh
    flight.ack(first + 1, (first + 1, first + 5))
    flight.ack(first + 5)
    flight.ack(first + 6)
    assert flight.info.undone == 0 and flight.info.ssthresh == ssthresh


@pytest.mark.req("3522-1")
def test_an_old_time_stamp_shows_at_once_that_the_timeout_was_none():
    spike = Spike(timestamps=True)
    spike.flight.bench.elapse(20 * MILLISECOND)
    sent = spike.ack(1, original=True)
    assert spike.info.undone == 1 and spike.info.phase.name == "OPEN"
    assert min(sent, default=SENT) >= SENT and spike.info.ssthresh == spike.before.ssthresh


@pytest.mark.req("3522-1")
def test_the_time_stamp_of_the_repetition_shows_nothing():
    spike = Spike(timestamps=True)
    spike.flight.bench.elapse(RTT)
    spike.ack(1)
    assert spike.info.undone == 0


@pytest.mark.req("4015-2")
@pytest.mark.parametrize("acked", [1, 2])
def test_what_was_reduced_is_restored_without_a_burst(acked):
    """RFC 4015 3.1 (9): cwnd is what is in flight and min(bytes acknowledged, IW) more, ssthresh what it was."""
    spike = Spike(timestamps=True, more=100, window_segments=30)
    assert spike.before.cwnd >= 30 * MSS
    spike.flight.bench.elapse(20 * MILLISECOND)
    sent = spike.ack(acked, original=True)
    assert spike.info.undone == 1 and spike.info.ssthresh >= spike.before.ssthresh
    assert len(sent) <= acked


@pytest.mark.req("4015-3")
@pytest.mark.parametrize("timestamps", [False, True])
def test_the_timer_learns_from_the_spike(timestamps):
    spike = Spike(timestamps=timestamps)
    late = spike.flight.now - spike.timed_out_at + 2 * RTT
    spike.flight.bench.elapse(200 * MILLISECOND)
    for count in (1, 2, SENT):
        spike.ack(count, original=timestamps)
    fresh = spike.flight.peer.ts_seen
    spike.flight.bench.elapse(4 * RTT)  # the path has become longer: of new text the first sample
    spike.flight.peer.ts_seen = fresh
    spike.ack(SENT + 1)
    assert spike.info.rto > spike.before.rto and spike.info.rto >= late
    assert spike.info.srtt > spike.before.srtt


@pytest.mark.req("5682-6")
def test_after_a_real_timeout_slow_start_goes_on():
    spike = Spike()
    assert spike.info.cwnd == MSS and spike.info.ssthresh == 2 * MSS
    spike.flight.wait(RTT)
    spike.ack(1)
    spike.flight.wait(RTT)
    spike.ack(1, (SENT, SENT + 2))
    spike.flight.wait(SECOND)
    assert spike.info.cwnd <= 4 * MSS
