"""Retransmission (RFC 6298), giving up, keep-alive, and what else a timer does (RFC 9293 sections 3.8.3, 3.8.4)."""

from itertools import pairwise

import pytest

from stack.events import CLOSED
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire.tcp import ACK, FIN, SYN
from stack.wire.tcp_options import TcpOptions

OUR_ISS = -20 & MASK
MILLISECOND = 10**6
SECOND = 10**9


def gaps(sent):
    return [later - earlier for earlier, later in pairwise([at for at, _ in sent])]


def settled(bench, rtt=100 * MILLISECOND, **config):
    """A connection with one measurement of its round-trip time."""
    bench = bench(State.ESTABLISHED, **config)
    bench.write(b"x")
    bench.advance(rtt)
    bench.peer(ACK)
    return bench


# The retransmission timeout


@pytest.mark.req("6298-1", "8961-1", "2525-2.7", "9293-MUST-18")
def test_the_first_timeout_is_one_second(bench):
    bench = bench(State.SYN_SENT)
    [(after, syn)] = bench.advance(1500 * MILLISECOND)
    assert after == SECOND and syn.flags == SYN and syn.seq == OUR_ISS


@pytest.mark.req("6298-3", "6298-4", "6298-8")
def test_the_estimator(bench):
    bench = bench(State.ESTABLISHED, minimum_rto=500 * MILLISECOND)
    srtt, rttvar = 1, 0  # the handshake took no time, which counts as a nanosecond
    for rtt in (400, 100, 300):
        bench.write(b"x")
        bench.advance(rtt * MILLISECOND)
        bench.peer(ACK)
        rttvar += (abs(srtt - rtt * MILLISECOND) - rttvar) // 4
        srtt += (rtt * MILLISECOND - srtt) // 8
        info = bench.connection.info()
        assert (info.srtt, info.rttvar) == (srtt, rttvar)
    assert info.rto == srtt + max(4 * rttvar, 500 * MILLISECOND)


@pytest.mark.req("6298-2")
def test_the_first_measurement(bench):
    bench = bench(State.SYN_SENT, minimum_rto=MILLISECOND)
    bench.advance(300 * MILLISECOND)
    bench.peer(SYN | ACK)
    info = bench.connection.info()
    assert (info.srtt, info.rttvar, info.rto) == (300 * MILLISECOND, 150 * MILLISECOND, 900 * MILLISECOND)


@pytest.mark.req("6298-9")
def test_the_variance_never_counts_for_nothing(bench):
    bench = bench(State.ESTABLISHED, minimum_rto=1)
    for _ in range(100):
        bench.write(b"x")
        bench.advance(10 * MILLISECOND)
        bench.peer(ACK)
    info = bench.connection.info()
    assert info.rto >= info.srtt + MILLISECOND


@pytest.mark.req("6298-11", "6298-15", "6298-16", "6298-6", "8961-4", "8961-5", "2525-2.10", "9293-MUST-19")
def test_the_timeout_doubles_up_to_a_minute(bench):
    bench = settled(bench)
    rto = bench.connection.info().rto
    bench.write(b"lost")
    sent = bench.advance(400 * SECOND)
    assert sent[0][0] == rto
    expected = [min(rto << n, 60 * SECOND) for n in range(1, len(sent))]
    assert gaps(sent) == expected and expected[-1] == 60 * SECOND
    assert {bytes(seg.payload) for _, seg in sent} == {b"lost"}


@pytest.mark.req("6298-12")
def test_the_timer_stops_when_everything_is_acknowledged(bench):
    bench = bench(State.ESTABLISHED)
    bench.write(b"data")
    bench.peer(ACK)
    assert bench.connection.retransmit.deadline is None
    assert bench.advance(1000 * SECOND) == []


@pytest.mark.req("6298-13", "6928-6", "6298-10")
def test_the_timer_starts_again_with_every_new_acknowledgment(bench):
    bench = bench(State.ESTABLISHED)
    bench.write(bytes(3000))
    rto = bench.connection.info().rto
    bench.advance(rto - 1)
    bench.peer(ACK, ack=-2000)
    rto = bench.connection.info().rto
    assert bench.advance(rto - 1) == []
    assert len(bench.advance(1)) == 1


@pytest.mark.req("6298-14", "9293-3.10.8-rexmt", "2525-2.14", "5681-13", "2525-2.2", "2525-2.4", "9293-MUST-19")
def test_a_timeout_sends_the_first_segment_only(bench):
    bench = bench(State.ESTABLISHED)
    first = bench.write(bytes(range(250)) * 20)
    assert len(first) == 5
    [(_, again)] = bench.advance(bench.connection.info().rto)
    assert (again.seq, bytes(again.payload)) == (first[0].seq, bytes(first[0].payload))
    assert bench.connection.info().cwnd == 1000
    assert bench.counters["TcpExtTCPTimeouts"] == 1


@pytest.mark.req("5681-12", "5681-14")
def test_a_timeout_halves_what_was_in_flight_once(bench):
    bench = bench(State.ESTABLISHED)
    bench.write(bytes(8000))
    bench.advance(bench.connection.info().rto)
    assert bench.connection.info().ssthresh == 4000
    bench.advance(10 * SECOND)
    assert bench.counters["TcpExtTCPTimeouts"] > 1
    assert bench.connection.info().ssthresh == 4000


@pytest.mark.req("5681-12")
def test_ssthresh_is_never_below_two_segments(bench):
    bench = bench(State.ESTABLISHED)
    bench.write(b"x")
    bench.advance(bench.connection.info().rto)
    assert bench.connection.info().ssthresh == 2000


@pytest.mark.req("6298-7", "8961-2", "9293-MUST-18", "6298-19")
def test_karn_a_retransmitted_segment_is_not_measured_and_the_backoff_stays(bench):
    bench = settled(bench)
    before = bench.connection.info()
    bench.write(b"lost")
    bench.advance(before.rto)
    bench.advance(50 * MILLISECOND)
    bench.peer(ACK)
    after = bench.connection.info()
    assert (after.srtt, after.rttvar) == (before.srtt, before.rttvar)
    assert after.rto == 2 * before.rto
    bench.write(b"y")
    bench.advance(100 * MILLISECOND)
    bench.peer(ACK)
    assert bench.connection.info().rto < 2 * before.rto


@pytest.mark.req("6298-17")
def test_after_a_lost_syn_the_timeout_is_three_seconds(bench):
    bench = bench(State.SYN_SENT)
    bench.advance(1100 * MILLISECOND)
    bench.peer(SYN | ACK)
    assert bench.connection.info().rto == 3 * SECOND


@pytest.mark.req("5681-7")
def test_after_a_lost_syn_the_initial_window_is_one_segment(bench):
    bench = bench(State.SYN_SENT)
    bench.advance(4 * SECOND)
    bench.peer(SYN | ACK, options=TcpOptions(mss=1000))
    assert bench.connection.info().cwnd == 1000


# Giving up


@pytest.mark.req("9293-MUST-20", "9293-SHLD-10", "9293-SHLD-9")
def test_after_r1_the_next_hop_is_doubted(bench):
    bench = settled(bench)
    bench.write(b"lost")
    sent = []
    while not bench.wire.doubted:
        sent += bench.advance(MILLISECOND)
    assert len(sent) == 3


@pytest.mark.req("9293-MUST-20", "9293-SHLD-11", "9293-3.10.8-user")
def test_after_r2_the_connection_is_over(bench):
    bench = settled(bench)
    bench.write(b"lost")
    bench.advance(900 * SECOND)
    assert bench.alive
    bench.advance(30 * SECOND)
    assert not bench.alive and bench.happened() & CLOSED
    with pytest.raises(TimeoutError):
        bench.read()
    assert bench.advance(1000 * SECOND) == []
    assert bench.counters["TcpExtTCPAbortOnTimeout"] == 1


@pytest.mark.req("9293-MUST-21")
@pytest.mark.parametrize("limit", [100, 200])
def test_r2_can_be_set(bench, limit):
    bench = settled(bench, user_timeout=limit * SECOND)
    bench.write(b"lost")
    bench.advance(limit * SECOND - 1)
    assert bench.alive
    bench.advance(1)
    assert not bench.alive


def test_without_r2_it_is_tried_for_ever(bench):
    bench = settled(bench, user_timeout=None)
    bench.write(b"lost")
    assert len(bench.advance(24 * 3600 * SECOND)) > 1000
    bench.peer(ACK)
    assert bench.connection.state is State.ESTABLISHED and bench.connection.info().unacknowledged == 0


@pytest.mark.req("9293-MUST-22", "9293-MUST-23", "9293-SHLD-11")
def test_a_syn_is_sent_for_three_minutes(bench):
    bench = bench(State.SYN_SENT)
    sent = bench.advance(180 * SECOND)
    assert bench.connection.state is State.SYN_SENT
    assert gaps(sent)[:4] == [2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND]
    assert {(seg.flags, seg.seq) for _, seg in sent} == {(SYN, OUR_ISS)}
    bench.advance(20 * SECOND)
    assert not bench.alive and isinstance(bench.connection.error, TimeoutError)
    assert bench.counters["TcpAttemptFails"] == 1


@pytest.mark.req("4987-5")
def test_a_half_open_connection_is_forgotten(bench):
    bench = bench(State.SYN_RECEIVED)
    sent = bench.advance(62 * SECOND)
    assert {seg.flags for _, seg in sent} == {SYN | ACK} and len(sent) == 5
    bench.advance(2 * SECOND)
    assert not bench.alive


def test_progress_starts_r2_again(bench):
    bench = bench(State.ESTABLISHED, user_timeout=100 * SECOND)
    bench.write(bytes(5000))
    for _ in range(5):
        bench.advance(90 * SECOND)
        bench.una = (bench.connection.sender.una + 500) & MASK
        bench.peer(ACK)
    assert bench.connection.state is State.ESTABLISHED


# Keep-alive


@pytest.mark.req("9293-MUST-25")
def test_keep_alive_is_off(bench):
    assert bench(State.ESTABLISHED).advance(24 * 3600 * SECOND) == []


@pytest.mark.req("9293-MUST-24", "9293-MUST-28", "9293-SHLD-12", "2525-2.11", "9293-MAY-5")
def test_keep_alive_asks_after_two_hours(bench):
    bench = bench(State.ESTABLISHED)
    bench.connection.set_keep_alive(True, bench.now)
    [(after, probe)] = bench.advance(7200 * SECOND)
    assert after == 7200 * SECOND
    assert (probe.flags, probe.seq, probe.payload) == (ACK, (bench.una - 1) & MASK, b"")
    bench.peer(ACK)
    [(after, _)] = bench.advance(7200 * SECOND)
    bench.connection.set_keep_alive(False, bench.now)
    assert bench.advance(24 * 3600 * SECOND) == []


@pytest.mark.req("9293-MUST-26", "9293-MUST-27")
def test_keep_alive_waits_for_silence(bench):
    bench = bench(State.ESTABLISHED, keep_alive=True, keep_alive_idle=100 * SECOND)
    bench.advance(60 * SECOND)
    bench.peer(ACK, b"I live")
    sent = [seg for after, seg in bench.advance(99 * SECOND) if after > SECOND]
    assert sent == []
    assert len(bench.advance(1 * SECOND)) == 1


@pytest.mark.req("9293-MUST-29", "2525-2.9")
def test_keep_alive_gives_up_after_many_probes_only(bench):
    bench = bench(State.ESTABLISHED, keep_alive=True)
    probes = bench.advance((7200 + 8 * 75 + 1) * SECOND)
    assert len(probes) == 9 and bench.alive
    bench.advance(75 * SECOND)
    assert not bench.alive and isinstance(bench.connection.error, TimeoutError)
    assert bench.counters["TcpKeepAliveTimeouts"] == 1


# TIME-WAIT and orphans


@pytest.mark.req("9293-3.10.8-timewait", "9293-MUST-13")
def test_time_wait_ends_after_2_msl(bench):
    bench = bench(State.TIME_WAIT, maximum_segment_lifetime=120 * SECOND)
    bench.advance(240 * SECOND - 1)
    assert bench.alive
    bench.advance(1)
    assert not bench.alive and bench.connection.error is None


def test_a_closed_connection_whose_peer_is_silent_ends(bench):
    bench = bench(State.ESTABLISHED, orphan_timeout=100 * SECOND)
    bench.write(b"never acknowledged")
    bench.close()
    bench.advance(101 * SECOND)
    assert not bench.alive and bench.counters["TcpOrphansAborted"] == 1


def test_a_lost_fin_is_repeated_in_last_ack(bench):
    bench = bench(State.LAST_ACK)
    sent = bench.advance(3 * SECOND)
    assert sent and all(seg.flags & FIN for _, seg in sent)


@pytest.mark.req("8961-3")
def test_a_timeout_is_a_sign_of_congestion(bench):
    bench = settled(bench)
    bench.write(bytes(8000))
    bench.advance(bench.connection.info().rto)
    info = bench.connection.info()
    assert (info.cwnd, info.ssthresh) == (1000, 4000)
