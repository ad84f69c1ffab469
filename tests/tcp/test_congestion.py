"""Slow start, congestion avoidance, the initial and the restart window (RFC 5681, RFC 6928), as traces of flights."""

import itertools

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from tests.tcp.harness import Bench, Peer, established

RTT = 100 * MILLISECOND
MSS = 1000


def connection(bench: Bench, *, isn: int = -10001, mss: int | None = MSS, wscale: int | None = 7) -> Peer:
    """ESTABLISHED with a window that never limits, and with a sample of the round-trip time."""
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.strict = False
    peer.syn(mss=mss, wscale=wscale)
    peer.host_shift = peer.expect("SA").options.window_scale or 0
    bench.elapse(RTT)
    peer.send("A")
    peer.connection = bench.host.accept(listener)
    return peer


def fill(peer: Peer) -> None:
    while peer.connection.writable > 100_000:
        peer.write(100_000)


def round_trip(peer: Peer, every: int = 1) -> int:
    """Acknowledge what is in flight a round-trip later, each `every`-th segment; how many octets are then in flight."""
    flight = peer.take()
    peer.bench.elapse(RTT)
    assert not peer.queue, peer.bench.log()
    for index, sent in enumerate(flight):
        if index % every == every - 1 or index == len(flight) - 1:
            peer.send("A", ack=sent.end)
    return sum(len(each.data) for each in peer.queue)


@pytest.mark.req("6928-1", "5681-5", "2525-2.1", "5681-6", "3390-1")
@pytest.mark.parametrize(
    ("mss", "mtu", "expected"), [(536, 1500, 5360), (1000, 1500, 10000), (1460, 1500, 14600), (8960, 9000, 17920)]
)
@pytest.mark.parametrize("active", [False, True], ids=["passive", "active"])
def test_the_initial_window(mss: int, mtu: int, expected: int, active: bool) -> None:
    """min(10 * MSS, max(2 * MSS, 14600)), and the ACK of the SYN adds nothing (RFC 5681 3.1)."""
    bench = Bench(mtu=mtu)
    peer = established(bench, mss=mss, wscale=7, active=active)
    peer.write(100_000)
    assert sum(len(each.data) for each in peer.take()) == expected
    peer.expect_nothing(for_=150 * MILLISECOND)


@pytest.mark.req("2525-2.3", "9293-MUST-15", "6928-1")
def test_the_initial_window_when_the_peer_sends_no_mss(bench: Bench) -> None:
    peer = established(bench, mss=None)
    peer.write(100_000)
    assert [len(each.data) for each in peer.take()] == [536] * 10


@pytest.mark.req("5681-7", "6928-2")
def test_the_initial_window_is_one_segment_after_a_lost_syn(bench: Bench) -> None:
    peer = bench.connect()
    peer.expect("S")
    peer.expect("S", within=2 * SECOND)
    peer.expect("S", within=3 * SECOND)
    peer.syn("SA", mss=MSS)
    peer.expect("A")
    peer.write(100_000)
    assert [len(each.data) for each in peer.take()] == [MSS]


@pytest.mark.req("5681-8")
def test_ssthresh_starts_arbitrarily_high(bench: Bench) -> None:
    assert connection(bench).connection.info().ssthresh >= 1 << 30 >> 1


@pytest.mark.req("5681-4", "5681-9", "9293-MUST-19", "5681-1", "5681-3")
def test_slow_start_doubles_the_flight(bench: Bench, isn: int) -> None:
    peer = connection(bench, isn=isn)
    fill(peer)
    flights = [sum(len(each.data) for each in peer.queue)]
    for _ in range(3):
        fill(peer)
        flights.append(round_trip(peer))
    assert flights == [10 * MSS, 20 * MSS, 40 * MSS, 80 * MSS]


@pytest.mark.req("5681-9")
def test_acks_of_pieces_gain_nothing(bench: Bench) -> None:
    """cwnd += min(N, SMSS): ten ACKs of a hundred octets are worth one of a thousand."""
    peer = connection(bench)
    fill(peer)
    peer.take()
    for ack in range(101, 1002, 100):
        peer.send("A", ack=ack)
    assert peer.connection.info().cwnd == 11 * MSS


@pytest.mark.req("5681-9")
def test_a_stretch_ack_in_slow_start_counts_one_segment(bench: Bench) -> None:
    """min(N, SMSS) again, from the other side; RFC 3465's L = 2 is the most that any standard allows."""
    peer = connection(bench)
    fill(peer)
    peer.take()
    peer.send("A", ack=8 * MSS + 1)
    assert peer.connection.info().cwnd <= 12 * MSS


def avoiding(bench: Bench) -> Peer:
    """In congestion avoidance: a timeout with twenty segments in flight, then slow start up to ssthresh."""
    peer = connection(bench)
    fill(peer)
    round_trip(peer)
    highest = peer.take()[-1].end
    peer.expect("A", data=MSS, within=10 * SECOND)
    assert peer.connection.info().ssthresh == 10 * MSS
    peer.send("A", ack=highest)
    while peer.connection.info().cwnd < 10 * MSS:
        round_trip(peer)
    return peer


@pytest.mark.req("5681-4", "5681-10", "2525-2.6", "9293-MUST-19", "5681-3")
@pytest.mark.parametrize("every", [1, 2])
def test_congestion_avoidance_adds_a_segment_a_round_trip(bench: Bench, every: int) -> None:
    peer = avoiding(bench)
    fill(peer)
    round_trip(peer, every)
    cwnds = [peer.connection.info().cwnd]
    for _ in range(10):
        fill(peer)
        round_trip(peer, every)
        cwnds.append(peer.connection.info().cwnd)
    steps = [later - earlier for earlier, later in itertools.pairwise(cwnds)]
    assert all(0 < step <= MSS for step in steps), steps
    assert 7 * MSS <= cwnds[-1] - cwnds[0] <= 10 * MSS or every == 2


@pytest.mark.req("5681-11")
def test_a_very_large_window_still_grows(bench: Bench) -> None:
    """SMSS * SMSS / cwnd would be 0: rounded up to one octet. MSS 48 makes 2,500 octets large enough."""
    peer = connection(bench, mss=48)
    fill(peer)
    for _ in range(5):
        round_trip(peer)
    peer.take()
    peer.expect("A", within=10 * SECOND)
    before = peer.connection.info()
    highest = peer.seen
    peer.send("A", ack=highest)
    for _ in range(20):
        fill(peer)
        cwnd = peer.connection.info().cwnd
        round_trip(peer)
        if cwnd >= before.ssthresh and peer.connection.info().unacknowledged > cwnd // 2:
            assert peer.connection.info().cwnd > cwnd


@pytest.mark.req("5681-12", "5681-13", "2525-2.2", "6298-14", "2525-2.14")
def test_after_a_timeout_one_segment(bench: Bench, isn: int) -> None:
    peer = connection(bench, isn=isn)
    fill(peer)
    assert len(peer.take()) == 10
    peer.expect("A", seq=1, data=MSS, within=10 * SECOND)
    peer.expect_nothing()
    info = peer.connection.info()
    assert (info.cwnd, info.ssthresh) == (MSS, 5 * MSS)


@pytest.mark.req("5681-12")
@pytest.mark.parametrize(("segments", "ssthresh"), [(1, 2), (3, 2), (6, 3)])
def test_ssthresh_is_from_what_is_in_flight_not_from_cwnd(bench: Bench, segments: int, ssthresh: int) -> None:
    peer = connection(bench)
    peer.write(segments * MSS)
    assert len(peer.take()) == segments
    peer.expect("A", seq=1, within=10 * SECOND)
    assert peer.connection.info().ssthresh == ssthresh * MSS


@pytest.mark.req("5681-14")
def test_a_second_timeout_of_the_same_segment_holds_ssthresh(bench: Bench) -> None:
    peer = connection(bench)
    fill(peer)
    peer.take()
    for _ in range(3):
        peer.expect("A", seq=1, data=MSS, within=10 * SECOND)
        assert peer.connection.info().ssthresh == 5 * MSS


@pytest.mark.req("5681-13", "5681-9")
def test_slow_start_after_a_timeout(bench: Bench) -> None:
    """Everything in flight was lost: 1, 2, 4 segments go out again, then congestion avoidance from 5."""
    peer = connection(bench)
    fill(peer)
    peer.take()
    peer.expect("A", seq=1, data=MSS, within=10 * SECOND)
    flights = []
    ack = MSS + 1
    for _ in range(3):
        bench.elapse(RTT)
        peer.send("A", ack=ack)
        sent = peer.take()
        assert [each.seq for each in sent] == [ack + MSS * index for index in range(len(sent))]
        flights.append(len(sent))
        ack = sent[0].end
        for each in sent[1:]:
            ack = each.end
        assert peer.connection.info().cwnd <= 5 * MSS
    assert flights[0] == 2 and all(1 <= each <= 5 for each in flights)


@pytest.mark.req("5681-24", "6928-4")
def test_after_idling_the_restart_window(bench: Bench) -> None:
    peer = connection(bench)
    fill(peer)
    for _ in range(2):
        round_trip(peer)
    while peer.queue:
        round_trip(peer)
    assert peer.connection.info().cwnd >= 40 * MSS
    bench.elapse(10 * SECOND)
    peer.write(200_000)
    assert sum(len(each.data) for each in peer.take()) <= 10 * MSS


@pytest.mark.req("5681-24")
def test_a_window_below_the_restart_window_is_not_raised_by_idling(bench: Bench) -> None:
    peer = connection(bench)
    fill(peer)
    peer.take()
    peer.expect("A", seq=1, within=10 * SECOND)
    peer.send("A", ack=10 * MSS + 1)
    peer.strict = False
    while peer.connection.info().unsent or peer.connection.info().unacknowledged:
        peer.take()
        peer.send("A")
        if peer.connection.info().cwnd > 4 * MSS:
            break
    cwnd = peer.connection.info().cwnd
    assert cwnd < 10 * MSS


@pytest.mark.req("5681-1")
def test_never_beyond_the_smaller_of_cwnd_and_the_peers_window(bench: Bench) -> None:
    peer = established(bench, mss=MSS, window=4000)
    peer.strict = False
    peer.write(50_000)
    acked = 1
    for _ in range(20):
        in_flight = peer.seen - acked
        assert in_flight <= min(4000, peer.connection.info().cwnd)
        sent = peer.take()
        if not sent:
            break
        for each in sent:
            acked = each.end
            peer.send("A", ack=acked, window=4000)
    assert acked > 20_000


@pytest.mark.req("5681-9", "5681-3")
def test_a_window_that_is_not_used_does_not_grow(bench: Bench) -> None:
    """RFC 5681 is silent, RFC 2861 and 7661 are not: ACKs of an application-limited flow prove nothing."""
    peer = connection(bench)
    for _ in range(100):
        peer.write(100)
        peer.take()
        bench.elapse(RTT)
        peer.send("A")
    assert peer.connection.info().cwnd <= 20 * MSS


@pytest.mark.req("9293-MAY-18")
def test_the_congestion_control_has_a_name() -> None:
    assert connection(Bench(TcpConfig(congestion="newreno"))).connection.info().congestion == "newreno"
