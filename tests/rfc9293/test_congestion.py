"""Congestion control and loss recovery: RFC 5681, RFC 6582, RFC 3042, RFC 6928."""

import pytest

from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire.tcp import ACK, FIN, SYN
from stack.wire.tcp_options import TcpOptions

OUR_ISS = -20 & MASK
SECOND = 10**9


def cwnd(bench):
    return bench.connection.info().cwnd


def sizes(sent):
    return [len(seg.payload) for seg in sent if seg.payload]


def offset(seg):
    """Where in the stream the segment begins."""
    return (seg.seq - OUR_ISS - 1) & MASK


@pytest.mark.req("6928-1", "5681-5", "5681-4", "2525-2.1", "9293-MUST-19", "3390-1")
@pytest.mark.parametrize(("mss", "window"), [(100, 1000), (1000, 10_000), (1460, 14_600), (9000, 18_000)])
def test_the_initial_window(bench, mss, window):
    bench = bench()
    bench.wire.link_mtu = bench.wire.path_mtu = 9040
    bench.into(State.ESTABLISHED, options=TcpOptions(mss=mss))
    assert cwnd(bench) == window
    assert sum(sizes(bench.write(bytes(60_000)))) == window


@pytest.mark.req("5681-6")
def test_the_handshake_does_not_open_the_window(bench):
    bench = bench(State.SYN_SENT)
    bench.peer(SYN | ACK, options=TcpOptions(mss=1000))
    assert cwnd(bench) == 10_000


@pytest.mark.req("2525-2.3")
def test_without_an_mss_option_the_window_is_of_536(bench):
    bench = bench(State.ESTABLISHED, options=TcpOptions())
    assert cwnd(bench) == 5360


@pytest.mark.req("5681-8")
def test_ssthresh_begins_high(bench):
    assert bench(State.ESTABLISHED).connection.info().ssthresh >= 1 << 30


@pytest.mark.req("5681-9", "5681-4")
@pytest.mark.parametrize(("acked", "growth"), [(400, 400), (1000, 1000), (2000, 1000)])
def test_slow_start_grows_by_what_is_acknowledged_up_to_a_segment(bench, acked, growth):
    bench = bench(State.ESTABLISHED)
    bench.write(bytes(10_000))
    bench.peer(ACK, ack=acked - 10_000)
    assert cwnd(bench) == 10_000 + growth


@pytest.mark.req("5681-10", "3465-1", "2525-2.6", "5681-3", "5681-11")
def test_congestion_avoidance_grows_by_a_segment_a_round_trip(bench):
    bench = bench(State.ESTABLISHED)
    bench.connection.sender.congestion.ssthresh = 10_000
    bench.write(bytes(60_000))
    for _ in range(9):
        bench.una = (bench.connection.sender.una + 1000) & MASK
        bench.peer(ACK)
        assert cwnd(bench) == 10_000
    bench.una = (bench.connection.sender.una + 1000) & MASK
    bench.peer(ACK)
    assert cwnd(bench) == 11_000


def test_a_window_that_was_not_used_does_not_grow(bench):
    bench = bench(State.ESTABLISHED)
    for _ in range(50):
        bench.write(b"little")
        bench.peer(ACK)
    assert cwnd(bench) == 10_000


@pytest.mark.req("5681-24", "6928-4")
def test_after_a_silence_the_window_is_the_restart_window(bench):
    bench = bench(State.ESTABLISHED)
    bench.write(bytes(60_000))
    while bench.connection.info().unacknowledged:
        bench.peer(ACK)
    assert cwnd(bench) > 10_000
    bench.advance(60 * SECOND)
    bench.write(b"x")
    assert cwnd(bench) == 10_000


# Fast retransmit and fast recovery


def lossy(bench, segments=10):
    """`segments` segments of 1000 octets are in flight; the first one is lost. More text waits."""
    bench = bench(State.ESTABLISHED, send_buffer=1 << 20)
    bench.sent = bench.write(bytes(100_000))
    assert len(bench.sent) == segments
    bench.una = (OUR_ISS + 1) & MASK
    return bench


def duplicate(bench):
    bench.una = bench.connection.sender.una
    return bench.peer(ACK)


@pytest.mark.req("3042-1", "3042-2", "5681-18")
def test_limited_transmit_sends_new_segments_on_two_duplicates(bench):
    bench = lossy(bench)
    for expected in (10_000, 11_000):
        [seg] = duplicate(bench)
        assert offset(seg) == expected and len(seg.payload) == 1000
        assert cwnd(bench) == 10_000


@pytest.mark.req("5681-17", "5681-20", "2525-2.4")
def test_the_third_duplicate_retransmits(bench):
    bench = lossy(bench)
    duplicate(bench)
    duplicate(bench)
    again = duplicate(bench)
    assert [(offset(seg), len(seg.payload)) for seg in again][:1] == [(0, 1000)]
    info = bench.connection.info()
    assert info.cwnd == info.ssthresh + 3000
    assert bench.counters["TcpExtTCPRenoRecovery"] == 1


@pytest.mark.req("5681-19")
def test_what_limited_transmit_sent_does_not_count_as_in_flight(bench):
    bench = lossy(bench)
    for _ in range(3):
        duplicate(bench)
    assert bench.connection.info().ssthresh == 5000


@pytest.mark.req("5681-12")
def test_ssthresh_is_half_of_what_was_in_flight_not_of_cwnd(bench):
    bench = bench(State.ESTABLISHED)
    bench.connection.sender.congestion.cwnd = 50_000
    bench.write(bytes(8000))
    bench.una = (OUR_ISS + 1) & MASK
    for _ in range(3):
        duplicate(bench)
    assert bench.connection.info().ssthresh == 4000


@pytest.mark.req("5681-21")
def test_each_further_duplicate_inflates_the_window(bench):
    bench = lossy(bench)
    for _ in range(3):
        duplicate(bench)
    before = cwnd(bench)
    duplicate(bench)
    assert cwnd(bench) == before + 1000


@pytest.mark.req("5681-22", "6582-3", "2525-2.8")
def test_a_full_acknowledgment_deflates_the_window(bench):
    bench = lossy(bench)
    for _ in range(6):
        duplicate(bench)
    high = bench.connection.sender.max
    bench.una = high
    bench.peer(ACK)
    info = bench.connection.info()
    assert info.cwnd <= info.ssthresh
    assert not bench.connection.sender.recovery.active


@pytest.mark.req("6582-4", "6582-5")
def test_a_partial_acknowledgment_retransmits_the_next_hole(bench):
    bench = lossy(bench)
    for _ in range(3):
        duplicate(bench)
    before = cwnd(bench)
    bench.una = (OUR_ISS + 1 + 3000) & MASK
    sent = bench.peer(ACK)
    assert offset(sent[0]) == 3000 and len(sent[0].payload) == 1000
    assert bench.connection.sender.recovery.active
    assert cwnd(bench) == before - 3000 + 1000


@pytest.mark.req("6582-1", "6582-2", "6582-7", "6582-8")
def test_duplicates_after_a_timeout_cause_no_fast_retransmit(bench):
    bench = lossy(bench)
    bench.advance(bench.connection.info().rto)
    retransmitted = bench.counters["TcpRetransSegs"]
    bench.una = (OUR_ISS + 1 + 5000) & MASK
    bench.peer(ACK)
    for _ in range(5):
        bench.una = (OUR_ISS + 1 + 5000) & MASK
        bench.peer(ACK)
    assert bench.counters["TcpExtTCPRenoRecovery"] == 0
    assert retransmitted == 1


@pytest.mark.req("5681-27", "5681-28")
def test_losses_of_one_window_halve_once_and_of_two_windows_twice(bench):
    bench = lossy(bench)
    for _ in range(3):
        duplicate(bench)
    halved = bench.connection.info().ssthresh
    bench.una = (OUR_ISS + 1 + 3000) & MASK
    bench.peer(ACK)
    assert bench.connection.info().ssthresh == halved
    for _ in range(2):  # the end of recovery, and one segment more: RFC 6582 asks for more than recover
        bench.una = bench.connection.sender.max
        bench.peer(ACK)
    for _ in range(3):
        duplicate(bench)
    assert bench.connection.info().ssthresh < halved
    assert bench.counters["TcpExtTCPRenoRecovery"] == 2


@pytest.mark.req("5681-2")
@pytest.mark.parametrize("how", ["text", "window", "fin", "nothing in flight"])
def test_what_is_no_duplicate(bench, how):
    bench = lossy(bench)
    if how == "nothing in flight":
        bench.una = bench.connection.sender.max
        while bench.connection.info().unacknowledged or bench.connection.info().unsent:
            bench.una = bench.connection.sender.max
            bench.peer(ACK)
    for turn in range(4):
        bench.una = bench.connection.sender.una
        if how == "text":
            bench.peer(ACK, b"text")
        elif how == "window":
            bench.peer(ACK, window=60_000 - turn)
        elif how == "fin":
            bench.peer(ACK | FIN, at=-1 if turn else 0)
        else:
            bench.peer(ACK)
    assert bench.connection.sender.recovery.duplicates == 0
    assert bench.counters["TcpExtTCPRenoRecovery"] == 0


@pytest.mark.req("6582-6", "6298-13")
def test_a_partial_acknowledgment_starts_the_timer_again(bench):
    bench = lossy(bench)
    for _ in range(3):
        duplicate(bench)
    bench.advance(SECOND // 10)
    bench.una = (OUR_ISS + 1 + 3000) & MASK
    bench.peer(ACK)
    assert bench.connection.retransmit.deadline == bench.now + bench.connection.info().rto


@pytest.mark.req("6298-7", "8961-2")
def test_karn_what_was_fast_retransmitted_is_not_measured(bench):
    bench = lossy(bench)
    before = bench.connection.info()
    for _ in range(3):
        duplicate(bench)
    assert bench.advance(SECOND // 10) == []
    bench.una = bench.connection.sender.max
    bench.peer(ACK)
    after = bench.connection.info()
    assert (after.srtt, after.rttvar) == (before.srtt, before.rttvar)
