"""The last of what is in flight, probed for: RFC 8985 section 7 (TLP)."""

import pytest

from stack.clock import MILLISECOND, SECOND
from tests.conformance.flight import MSS, RTT, Flight
from tests.tcp.harness import Bench, Peer


def segment(sent):
    """Its number."""
    return (sent.seq - 1) // MSS


@pytest.fixture
def flight():
    """Three round trips have gone by: SRTT is RTT."""
    flight = Flight()
    flight.next = flight.warm_up(8)
    assert flight.info.srtt == RTT
    return flight


@pytest.mark.req("8985-16", "8985-17", "8985-20")
def test_two_round_trips_after_the_last_new_text_its_last_segment_goes_again(flight):
    flight.write(2)
    flight.wait(20 * MILLISECOND)
    flight.write(2)
    start = flight.now
    probe = flight.wait_for(5 * SECOND)
    assert probe.at - start == 2 * RTT and segment(probe) == flight.next + 3
    assert (
        flight.bench.host.counters["TcpExtTCPLossProbes"] == 1 and flight.bench.host.counters["TcpExtTCPTimeouts"] == 0
    )


@pytest.mark.req("8985-16")
def test_an_acknowledgment_of_new_text_starts_the_wait_again(flight):
    flight.write(4)
    flight.wait(RTT)
    flight.ack(flight.next + 2)
    start = flight.now
    assert flight.wait_for(5 * SECOND).at - start == 2 * RTT


@pytest.mark.req("8985-17")
def test_a_single_segment_may_be_given_the_time_of_a_delayed_acknowledgment(flight):
    flight.write(1)
    start = flight.now
    probe = flight.wait_for(5 * SECOND)
    assert 2 * RTT <= probe.at - start <= 2 * RTT + SECOND
    assert flight.bench.host.counters["TcpExtTCPLossProbes"] == 1


@pytest.mark.req("8985-17")
def test_a_probe_is_not_later_than_the_timeout_would_be():
    flight = Flight()  # one sample: RTO is 300 ms
    flight.write(2)
    start = flight.now
    flight.wait(150 * MILLISECOND)
    flight.write(1)
    assert flight.wait_for(SECOND).at - start == 300 * MILLISECOND
    assert flight.bench.host.counters["TcpExtTCPLossProbes"] == 1


@pytest.mark.req("8985-17")
def test_without_a_sample_a_probe_waits_for_a_second():
    """A passive open whose SYN-ACK went twice has no sample (Karn)."""
    bench = Bench()
    listener = bench.listen()
    peer = Peer(bench)
    peer.strict = False
    peer.syn(mss=MSS, sack=True)
    bench.elapse(1500 * MILLISECOND)
    peer.take()
    peer.send("A", ack=1)
    peer.connection = bench.host.accept(listener)
    assert peer.connection.info().srtt is None
    peer.write(2 * MSS)
    start = bench.now
    peer.take()
    again = peer.expect(within=10 * SECOND)
    assert again.at - start == SECOND


@pytest.mark.req("8985-16")
def test_there_is_no_probe_while_something_is_acknowledged_selectively(flight):
    flight.write(4)
    flight.wait(RTT)
    flight.ack(flight.next, (flight.next + 1, flight.next + 2))
    flight.wait(4 * SECOND)
    assert flight.bench.host.counters["TcpExtTCPLossProbes"] == 0


@pytest.mark.req("8985-16", "8985-15")
def test_there_is_no_probe_in_recovery_and_there_is_again_after_it(flight):
    first = flight.next
    flight.write(5)
    flight.wait(RTT)
    flight.ack(first, (first + 1, first + 5))
    assert flight.info.phase.name == "RECOVERY"
    flight.wait(250 * MILLISECOND)
    assert flight.bench.host.counters["TcpExtTCPLossProbes"] == 0
    flight.ack(first + 5)
    flight.write(1)
    flight.wait(RTT)
    flight.ack(first + 6)
    flight.write(2)
    flight.wait_for(SECOND)
    assert flight.bench.host.counters["TcpExtTCPLossProbes"] == 1


@pytest.mark.req("8985-20", "8985-3")
def test_a_probe_is_new_text_when_there_is_some_that_the_peer_has_room_for(flight):
    number = flight.next
    cwnd = flight.info.cwnd // MSS
    sent = flight.write(cwnd + 3)
    assert len(sent) == cwnd
    probe = flight.wait_for(SECOND)
    assert segment(probe) == number + cwnd  # one more than cwnd allows
    # Its acknowledgment finds the losses before it.
    flight.wait(RTT)
    again = flight.ack(number, (number + cwnd, number + cwnd + 1))
    assert number in again + flight.wait(RTT // 4)


@pytest.mark.req("8985-20")
def test_a_probe_repeats_the_last_segment_when_the_peers_window_is_full():
    flight = Flight(window=4 * MSS)
    assert flight.write(8) == [0, 1, 2, 3]
    assert segment(flight.wait_for(SECOND)) == 3


@pytest.mark.req("8985-18", "8985-19", "8985-21")
def test_after_a_probe_there_is_a_timeout_and_no_second_probe(flight):
    flight.write(3)
    probe = flight.wait_for(5 * SECOND)
    rto = flight.info.rto
    again = flight.wait_for(5 * SECOND)
    assert again.at - probe.at == rto and segment(again) == flight.next
    counters = flight.bench.host.counters
    assert (counters["TcpExtTCPLossProbes"], counters["TcpExtTCPTimeouts"]) == (1, 1)


@pytest.mark.req("8985-18", "8985-19")
def test_there_is_no_second_probe_before_a_new_sample_of_the_round_trip(flight):
    flight.write(2)
    flight.wait_for(SECOND)  # the first probe repeats the second segment
    flight.wait(RTT)
    # Its acknowledgment gives no sample (Karn): the probe was a repetition.
    flight.ack(flight.next + 2)
    samples = flight.info.srtt
    flight.write(2)
    start = flight.now
    again = flight.wait_for(5 * SECOND)
    assert flight.info.srtt == samples
    assert flight.bench.host.counters["TcpExtTCPLossProbes"] == 1
    assert flight.bench.host.counters["TcpExtTCPTimeouts"] == 1 and again.at - start >= 250 * MILLISECOND


@pytest.mark.req("8985-22", "8985-23")
def test_a_loss_that_the_probe_has_repaired_counts_as_one(flight):
    cwnd, number = flight.info.cwnd, flight.next
    flight.write(6)
    flight.wait(RTT)
    flight.ack(number + 5)  # the last is lost
    probe = flight.wait_for(5 * SECOND)
    assert segment(probe) == number + 5
    flight.wait(RTT)
    flight.ack(number + 6)
    flight.write(2)
    flight.wait(RTT)
    flight.ack(number + 8)  # beyond TLP.end_seq, and no sign of a duplicate
    assert flight.info.ssthresh < cwnd and flight.info.cwnd < cwnd


@pytest.mark.req("8985-24")
@pytest.mark.parametrize("kind", ["dsack", "bare duplicate"])
def test_a_probe_that_was_not_needed_costs_nothing(flight, kind):
    cwnd, ssthresh, number = flight.info.cwnd, flight.info.ssthresh, flight.next
    flight.write(6)
    probe = flight.wait_for(5 * SECOND)
    assert segment(probe) == number + 5
    flight.ack(number + 6)  # all had arrived
    flight.wait(RTT)
    flight.ack(number + 6, *([(number + 5, number + 6)] if kind == "dsack" else []))
    flight.write(2)
    flight.wait(RTT)
    flight.ack(number + 8)
    assert flight.info.ssthresh == ssthresh and flight.info.cwnd >= cwnd


@pytest.mark.req("8985-22", "8985-24")
def test_a_dsack_on_the_acknowledgment_that_covers_the_probe_ends_it(flight):
    ssthresh, number = flight.info.ssthresh, flight.next
    flight.write(6)
    flight.wait_for(5 * SECOND)
    flight.wait(RTT)
    flight.ack(number + 6, (number + 5, number + 6))
    flight.write(2)
    flight.wait(RTT)
    flight.ack(number + 8)
    assert flight.info.ssthresh == ssthresh


@pytest.mark.req("8985-22")
def test_a_probe_of_new_text_is_no_sign_of_a_loss(flight):
    number, ssthresh = flight.next, flight.info.ssthresh
    cwnd = flight.info.cwnd // MSS
    flight.write(cwnd + 1)
    flight.wait_for(SECOND)
    flight.wait(RTT)
    flight.ack(number + cwnd + 1)
    flight.write(2)
    flight.wait(RTT)
    flight.ack(number + cwnd + 3)
    assert flight.info.ssthresh == ssthresh


@pytest.mark.req("8985-15")
def test_a_timeout_forgets_the_probe(flight):
    number = flight.next
    flight.write(3)
    flight.wait_for(SECOND)  # the probe
    flight.wait_for(SECOND)  # the timeout
    flight.wait(RTT)
    flight.ack(number + 3)
    flight.write(1)
    flight.wait(RTT)
    flight.ack(number + 4)  # a sample
    ssthresh = flight.info.ssthresh
    flight.write(1)
    flight.wait_for(SECOND)
    assert flight.bench.host.counters["TcpExtTCPLossProbes"] == 2 and flight.info.ssthresh == ssthresh
