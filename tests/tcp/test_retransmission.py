"""The retransmission timer (RFC 6298), Karn's rule, R1 and R2 (RFC 9293 3.8.3), retries of SYN and SYN-ACK."""

import itertools

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from tests.tcp.harness import REMOTE_PORT, Bench, Peer, Sent, established, reach, stream

RTT = 100 * MILLISECOND
ONE_SECOND_MINIMUM = TcpConfig(minimum_rto=1 * SECOND)


def gaps(times: list[int]) -> list[float]:
    return [(later - earlier) / SECOND for earlier, later in itertools.pairwise(times)]


def exchange(peer: Peer, rtt: int, length: int = 100) -> None:
    """One segment there and its ACK back, `rtt` later."""
    peer.write(length)
    sent = peer.expect("A", data=length)
    peer.expect_nothing(for_=rtt)
    peer.send("A", ack=sent.end)


def until_gone(peer: Peer, limit: int) -> list[Sent]:
    """Everything that is sent until the connection is over, at most `limit` from now."""
    end = peer.bench.now + limit
    peer.bench.run_until(end, lambda: peer.state == "CLOSED")
    return peer.take()


@pytest.mark.req("6298-1", "2525-2.7", "6298-15", "6298-16", "2525-2.10", "9293-MUST-22")
def test_a_syn_is_sent_again_after_1_2_4_8_seconds(bench: Bench, isn: int) -> None:
    peer = bench.connect(isn=isn)
    sent = [peer.expect("S", seq=0, within=60 * SECOND) for _ in range(6)]
    assert gaps([each.at for each in sent]) == [1, 2, 4, 8, 16]
    assert len({(each.options.mss, each.options.window_scale, each.window) for each in sent}) == 1


@pytest.mark.req("9293-MUST-23", "9293-MUST-22", "9293-MUST-20", "9293-3.10.8-user")
def test_a_syn_is_given_up_after_three_minutes_at_the_earliest(bench: Bench) -> None:
    peer = bench.connect()
    sent = until_gone(peer, 400 * SECOND)
    assert bench.now - sent[0].at >= 180 * SECOND
    assert sent[-1].at - sent[0].at >= 60 * SECOND
    assert isinstance(peer.error, TimeoutError) and not peer.exists()
    peer.expect_nothing(for_=300 * SECOND)


@pytest.mark.req("6298-15", "9293-3.10.8-rexmt")
def test_a_syn_ack_is_sent_again_and_given_up(bench: Bench) -> None:
    bench.listen()
    peer = Peer(bench)
    peer.syn()
    sent = [peer.expect("SA", seq=0, ack=1, within=60 * SECOND) for _ in range(4)]
    assert gaps([each.at for each in sent]) == [1, 2, 4]
    until_gone(peer, 300 * SECOND)
    assert not peer.exists()
    peer.expect_nothing(for_=300 * SECOND)


@pytest.mark.req("6298-2", "6298-3", "6298-4", "9293-MUST-18")
def test_srtt_rttvar_and_rto_follow_the_samples() -> None:
    """The recurrence of RFC 6298 2.2 and 2.3, with G of a millisecond at most, on hand-made round-trip times."""
    bench = Bench()
    listener = bench.listen()
    peer = Peer(bench)
    peer.syn()
    peer.expect("SA")
    bench.elapse(400 * MILLISECOND)
    peer.send("A")
    peer.connection = bench.host.accept(listener)
    srtt, rttvar = 400.0, 200.0
    info = peer.connection.info()
    assert (info.srtt, info.rttvar) == (400 * MILLISECOND, 200 * MILLISECOND)
    assert info.rto == 1200 * MILLISECOND
    for rtt in (200, 800, 300, 300, 300, 1000, 100):
        exchange(peer, rtt * MILLISECOND)
        rttvar = 0.75 * rttvar + 0.25 * abs(srtt - rtt)
        srtt = 0.875 * srtt + 0.125 * rtt
        info = peer.connection.info()
        assert info.srtt / MILLISECOND == pytest.approx(srtt, abs=1)
        assert info.rttvar / MILLISECOND == pytest.approx(rttvar, abs=1)
        assert info.rto / MILLISECOND == pytest.approx(srtt + max(200, 4 * rttvar), abs=3)


@pytest.mark.req("6298-9")
def test_the_rto_stays_above_the_round_trip_time_on_a_steady_path(bench: Bench) -> None:
    listener = bench.listen()
    peer = Peer(bench)
    peer.syn()
    peer.expect("SA")
    bench.elapse(700 * MILLISECOND)
    peer.send("A")
    peer.connection = bench.host.accept(listener)
    for _ in range(100):
        exchange(peer, 700 * MILLISECOND)
    info = peer.connection.info()
    assert info.srtt == pytest.approx(700 * MILLISECOND, rel=0.01)
    assert info.rto > info.srtt + MILLISECOND
    assert bench.host.counters["TcpRetransSegs"] == 0


@pytest.mark.req("6298-11", "6298-15", "6298-16", "6298-14", "9293-3.10.8-rexmt", "2525-2.14", "9293-MUST-19")
def test_a_timeout_sends_the_earliest_segment_and_backs_off(isn: int) -> None:
    bench = Bench(ONE_SECOND_MINIMUM)
    peer = established(bench, isn=isn, mss=1000)
    exchange(peer, RTT)
    rto = peer.connection.info().rto
    peer.write(3000)
    began = bench.now
    assert [each.seq for each in peer.take()] == [101, 1101, 2101]
    again = [peer.expect("A", seq=101, data=1000, within=70 * SECOND).at for _ in range(5)]
    assert again[0] - began == rto
    assert gaps(again) == pytest.approx([rto * 2 / SECOND, rto * 4 / SECOND, rto * 8 / SECOND, rto * 16 / SECOND])


@pytest.mark.req("6298-6")
def test_the_backed_off_rto_is_bounded_by_sixty_seconds_at_least(bench: Bench) -> None:
    peer = established(bench)
    peer.write(10)
    sent = [peer.expect("A", seq=1, data=10, within=200 * SECOND).at for _ in range(12)]
    assert gaps(sent)[-1] == gaps(sent)[-2] >= 60


@pytest.mark.req("6298-10", "6298-13", "6298-12", "6928-6")
def test_an_ack_of_new_data_restarts_the_timer_and_the_last_one_stops_it() -> None:
    bench = Bench(ONE_SECOND_MINIMUM)
    peer = established(bench, mss=1000)
    exchange(peer, RTT)
    peer.write(3000)
    peer.take()
    for ack in (1101, 2101):
        peer.expect_nothing(for_=900 * MILLISECOND)
        peer.send("A", ack=ack)
    rto = peer.connection.info().rto
    began = bench.now
    assert peer.expect("A", seq=2101, data=1000, within=10 * SECOND).at - began == rto
    peer.send("A")
    peer.expect_nothing(for_=1000 * SECOND)


@pytest.mark.req("6298-13")
def test_a_duplicate_ack_does_not_restart_the_timer() -> None:
    bench = Bench(ONE_SECOND_MINIMUM)
    peer = established(bench, mss=1000)
    exchange(peer, RTT)
    rto = peer.connection.info().rto
    peer.write(2000)
    began = bench.now
    peer.take()
    bench.elapse(rto // 2)
    peer.send("A", ack=101)
    assert peer.expect("A", seq=101, data=1000, within=10 * SECOND).at - began == rto


@pytest.mark.req("6298-7", "9293-MUST-18")
def test_karn_no_sample_from_a_retransmitted_segment(bench: Bench) -> None:
    peer = established(bench)
    for _ in range(5):
        exchange(peer, RTT)
    before = peer.connection.info()
    peer.write(100)
    peer.expect()
    again = peer.expect("A", seq=501, data=100, within=10 * SECOND)
    bench.elapse(MILLISECOND)
    peer.send("A", ack=again.end)
    after = peer.connection.info()
    assert (after.srtt, after.rttvar) == (before.srtt, before.rttvar)


@pytest.mark.req("6298-19")
def test_the_backed_off_rto_is_kept_until_a_new_sample(bench: Bench) -> None:
    peer = established(bench)
    exchange(peer, RTT)
    rto = peer.connection.info().rto
    peer.write(100)
    peer.expect()
    peer.expect("A", seq=101, within=10 * SECOND)
    peer.expect("A", seq=101, within=10 * SECOND)
    peer.send("A", ack=201)  # of a retransmitted segment
    peer.write(100)
    peer.expect("A", seq=201)
    began = bench.now
    again = peer.expect("A", seq=201, within=60 * SECOND)
    assert again.at - began >= 4 * rto - MILLISECOND
    peer.send("A", ack=301)
    exchange(peer, RTT)
    assert peer.connection.info().rto < 2 * rto


@pytest.mark.req("6298-17")
def test_after_a_lost_syn_the_first_rto_is_three_seconds(bench: Bench) -> None:
    peer = bench.connect()
    peer.expect("S")
    peer.expect("S", within=2 * SECOND)
    peer.syn("SA")
    peer.expect("A", seq=1, ack=1)
    peer.write(100)
    first = peer.expect("A", seq=1, data=100)
    again = peer.expect("A", seq=1, data=100, within=10 * SECOND)
    assert again.at - first.at == 3 * SECOND


@pytest.mark.req("2525-2.4")
def test_what_is_sent_again_has_the_same_octets(wrapping: tuple[Bench, int]) -> None:
    """The first segment is acknowledged in part, so that boundaries move; expect() compares with the stream."""
    bench, isn = wrapping
    peer = established(bench, isn=isn, mss=1000)
    peer.write(2500)
    peer.take()
    peer.send("A", ack=301)
    again = peer.expect("A", seq=301, within=10 * SECOND)
    assert 0 < len(again.data) <= 1000 and again.data == stream(300, len(again.data))


@pytest.mark.req("9293-MUST-20", "9293-SHLD-11", "9293-3.10.8-user")
def test_r2_for_text_is_a_hundred_seconds_at_least_by_default(bench: Bench) -> None:
    peer = established(bench)
    peer.write(100)
    began = bench.now
    sent = until_gone(peer, 2000 * SECOND)
    assert bench.now - began >= 100 * SECOND
    assert len(sent) > 4 and isinstance(peer.error, TimeoutError)
    with pytest.raises(TimeoutError):
        peer.read()
    peer.expect_nothing(for_=100 * SECOND)


@pytest.mark.req("9293-MUST-21", "9293-3.10.8-user")
@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING", "LAST_ACK"])
def test_the_user_timeout_ends_the_connection(state: str) -> None:
    bench = Bench(TcpConfig(user_timeout=30 * SECOND))
    peer = reach(state, bench)
    if state in ("ESTABLISHED", "CLOSE_WAIT"):
        peer.write(100)
    began = bench.now
    until_gone(peer, 200 * SECOND)
    assert 30 * SECOND <= bench.now - began <= 100 * SECOND
    assert isinstance(peer.error, TimeoutError) and not peer.exists()


@pytest.mark.req("9293-MUST-21")
def test_the_user_timeout_may_be_infinite_and_is_a_connections_own() -> None:
    bench = Bench(TcpConfig(user_timeout=None))
    listener = bench.listen()
    patient = Peer(bench, port=1001).handshake(listener)
    hasty = bench.connect(local_port=50000, config=TcpConfig(user_timeout=20 * SECOND))
    hasty.expect("S")
    hasty.syn("SA")
    hasty.expect("A")
    patient.write(10)
    hasty.write(10)
    bench.elapse(200 * SECOND)
    assert hasty.state == "CLOSED" and isinstance(hasty.error, TimeoutError)
    bench.elapse(20_000 * SECOND)
    assert patient.state == "ESTABLISHED"


@pytest.mark.req("9293-SHLD-10", "9293-MUST-20", "9293-SHLD-9")
def test_r1_brings_doubt_about_the_next_hop(bench: Bench) -> None:
    """Negative advice to IP (RFC 1122 3.3.1.4) shows as ARP asking again, not before the third retransmission."""
    peer = established(bench)
    peer.write(100)
    peer.expect()
    asked = len(bench.arp_requests)
    bench.answers_arp = False
    times = []
    for _ in range(7):
        times.append(peer.expect("A", seq=1, within=100 * SECOND).at if len(times) < 3 else bench.now)
    assert all(at >= times[2] for at in bench.arp_requests[asked:])
    bench.elapse(100 * SECOND)
    assert len(bench.arp_requests) > asked
    assert peer.state == "ESTABLISHED"


@pytest.mark.req("9293-3.6-fin-rexmt", "9293-MUST-19")
def test_text_and_fin_are_sent_again_together(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.write(100)
    peer.shutdown()
    peer.take()
    again = [peer.expect(within=100 * SECOND) for _ in range(3)]
    assert all(each.seq == 1 and each.data == stream(0, 100) for each in again)
    peer.send("A", ack=101)
    peer.expect("FA", seq=101, data=0, within=100 * SECOND)
    peer.send("A", ack=102)
    assert peer.state == "FIN_WAIT_2"
    assert peer.port == REMOTE_PORT


@pytest.mark.req("6298-8", "6298-11")
def test_there_is_a_sample_each_round_trip(bench: Bench) -> None:
    """Without timestamps one segment of each flight is timed: a slower path shows within a round trip or two."""
    peer = established(bench)
    for _ in range(20):
        exchange(peer, RTT)
    for _ in range(30):
        exchange(peer, 150 * MILLISECOND)
    assert peer.connection.info().srtt == pytest.approx(150 * MILLISECOND, rel=0.02)
