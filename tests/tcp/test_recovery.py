"""Duplicate ACKs, fast retransmit and fast recovery (RFC 5681 3.2, RFC 6582 NewReno)."""

import pytest

from stack.clock import MILLISECOND, SECOND
from tests.tcp.harness import Bench, Peer, Sent
from tests.tcp.test_congestion import MSS, RTT, connection, fill


def in_flight(bench: Bench, isn: int = -10001, segments: int = 10) -> Peer:
    """Ten segments in flight and a great deal more to send."""
    peer = connection(bench, isn=isn)
    fill(peer)
    assert len(peer.take()) == segments
    return peer


def duplicates(peer: Peer, ack: int, count: int) -> list[Sent]:
    for _ in range(count):
        peer.send("A", ack=ack)
    return peer.take()


def numbers(sent: list[Sent]) -> list[int]:
    """Sequence numbers in segments: 0 for the first one."""
    assert all(each.seq % MSS == 1 and len(each.data) == MSS for each in sent)
    return [each.seq // MSS for each in sent]


@pytest.mark.req("5681-17", "5681-18", "5681-19", "5681-20", "5681-21", "5681-22", "2525-2.8", "6582-3", "9293-MUST-19")
def test_one_loss_is_repaired(bench: Bench, isn: int) -> None:
    peer = in_flight(bench, isn)
    assert numbers(duplicates(peer, 1, 1)) == [10]  # limited transmit (RFC 3042)
    assert numbers(duplicates(peer, 1, 1)) == [11]
    assert peer.connection.info().cwnd == 10 * MSS
    assert numbers(duplicates(peer, 1, 1)) == [0]
    info = peer.connection.info()
    assert (info.ssthresh, info.cwnd) == (5 * MSS, 8 * MSS)
    assert numbers(duplicates(peer, 1, 8)) == [12, 13, 14, 15]  # 16 fit after the eleventh, 12 are in flight
    assert peer.connection.info().cwnd == 16 * MSS
    peer.send("A", ack=12 * MSS + 1)
    info = peer.connection.info()
    # RFC 6582 3.2 step 3: min(ssthresh, max(FlightSize, SMSS) + SMSS), or ssthresh; four segments are in flight
    assert info.ssthresh == 5 * MSS and info.cwnd == 5 * MSS
    assert numbers(peer.take()) == [16]


@pytest.mark.req("5681-2")
@pytest.mark.parametrize("what", ["window", "text", "nothing in flight", "old"])
def test_what_is_no_duplicate_ack(bench: Bench, what: str) -> None:
    """RFC 5681 section 2: outstanding data, no text, no SYN or FIN, the highest ACK, the same window."""
    peer = connection(bench)
    fill(peer)
    if what == "nothing in flight":
        while peer.queue:
            peer.take()
            peer.send("A")
        before = peer.connection.info().cwnd
        assert duplicates(peer, peer.seen, 5) == []
        assert peer.connection.info().cwnd == before
        return
    peer.take()
    peer.send("A", ack=MSS + 1)
    peer.take()
    sent: list[Sent] = []
    for index in range(5):
        if what == "window":
            peer.send("A", ack=MSS + 1, window=60000 - index)
        elif what == "text":
            peer.send("A", ack=MSS + 1, data=10)
        else:
            peer.send("A", ack=1)
        sent += [each for each in peer.take() if each.data]
    assert sent == [] and bench.host.counters["TcpExtTCPRenoRecovery"] == 0


@pytest.mark.req("5681-21", "5681-20")
def test_two_duplicates_are_not_enough(bench: Bench) -> None:
    peer = in_flight(bench)
    duplicates(peer, 1, 2)
    peer.send("A", ack=MSS + 1)
    assert 0 not in numbers(peer.take())
    assert bench.host.counters["TcpExtTCPRenoRecovery"] == 0


@pytest.mark.req("6582-4", "6582-5", "5681-27", "6582-3")
def test_two_losses_are_repaired_one_a_round_trip(bench: Bench, isn: int) -> None:
    peer = in_flight(bench, isn)
    duplicates(peer, 1, 2)
    assert numbers(duplicates(peer, 1, 1)) == [0]
    sent = duplicates(peer, 1, 7)
    before = peer.connection.info()
    bench.elapse(RTT)
    peer.send("A", ack=4 * MSS + 1)  # a partial ACK: segment 4 was lost too
    first = peer.take()
    after = peer.connection.info()
    assert numbers(first)[0] == 4
    # deflated by the four segments acknowledged, and one added back; ssthresh is not touched again
    assert after.cwnd == before.cwnd - 4 * MSS + MSS and after.ssthresh == before.ssthresh == 5 * MSS
    highest = max(each.end for each in [*sent, *first])
    bench.elapse(RTT)
    peer.send("A", ack=highest)
    assert peer.connection.info().cwnd <= 5 * MSS
    assert peer.connection.info().ssthresh == 5 * MSS


@pytest.mark.req("6582-4")
def test_every_partial_ack_sends_the_next_hole(bench: Bench) -> None:
    """Segments 0, 2, 4 and 6 are lost."""
    peer = in_flight(bench)
    assert numbers(duplicates(peer, 1, 3))[-1] == 0
    duplicates(peer, 1, 3)
    for hole in (2, 4, 6):
        bench.elapse(RTT)
        peer.send("A", ack=hole * MSS + 1)
        assert numbers(peer.take())[0] == hole
    assert peer.connection.info().ssthresh == 5 * MSS
    assert bench.host.counters["TcpExtTCPTimeouts"] == 0


@pytest.mark.req("6582-6")
def test_only_the_first_partial_ack_restarts_the_timer(bench: Bench) -> None:
    """RFC 6582 3.2 step 3, the impatient variant: many losses end in a timeout rather than in a round trip each."""
    peer = in_flight(bench)
    duplicates(peer, 1, 9)
    bench.elapse(RTT)
    peer.send("A", ack=MSS + 1)
    peer.take()
    began = bench.now
    rto = peer.connection.info().rto
    for hole in range(2, 8):
        bench.elapse(RTT)
        if bench.host.counters["TcpExtTCPTimeouts"]:
            break
        peer.send("A", ack=hole * MSS + 1)
        peer.take()
    bench.elapse(max(0, began + rto - bench.now))
    assert bench.host.counters["TcpExtTCPTimeouts"] == 1


@pytest.mark.req("6582-7", "6582-8", "6582-2")
def test_duplicates_after_a_timeout_that_cover_less_than_recover(bench: Bench) -> None:
    peer = in_flight(bench)
    peer.expect("A", seq=1, data=MSS, within=10 * SECOND)
    ssthresh = peer.connection.info().ssthresh
    peer.send("A", ack=MSS + 1)
    resent = numbers(peer.take())
    assert resent == [1, 2]
    sent = duplicates(peer, MSS + 1, 6)
    assert 1 not in numbers(sent)
    assert bench.host.counters["TcpExtTCPRenoRecovery"] == 0
    assert peer.connection.info().ssthresh == ssthresh


@pytest.mark.req("6582-1", "6582-2")
def test_a_loss_in_the_first_flight_is_repaired_fast(wrapping: tuple[Bench, int]) -> None:
    """recover starts at ISS, so that the very first octet can be fast retransmitted."""
    bench, isn = wrapping
    peer = in_flight(bench, isn)
    assert numbers(duplicates(peer, 1, 3))[-1] == 0


@pytest.mark.req("5681-27")
def test_a_third_duplicate_again_in_the_same_recovery_halves_nothing(bench: Bench) -> None:
    peer = in_flight(bench)
    duplicates(peer, 1, 5)
    peer.send("A", ack=4 * MSS + 1)
    peer.take()
    duplicates(peer, 4 * MSS + 1, 6)
    assert peer.connection.info().ssthresh == 5 * MSS
    assert bench.host.counters["TcpExtTCPRenoRecovery"] <= 2


@pytest.mark.req("5681-28")
def test_a_lost_retransmission_reduces_twice(bench: Bench) -> None:
    peer = in_flight(bench)
    duplicates(peer, 1, 9)
    assert peer.connection.info().ssthresh == 5 * MSS
    peer.expect("A", seq=1, data=MSS, within=10 * SECOND)
    info = peer.connection.info()
    assert info.cwnd == MSS and info.ssthresh < 5 * MSS


@pytest.mark.req("5681-28")
def test_losses_in_two_successive_windows_reduce_twice(bench: Bench) -> None:
    peer = in_flight(bench)
    duplicates(peer, 1, 9)
    peer.send("A", ack=peer.seen)
    assert peer.connection.info().ssthresh == 5 * MSS
    flight = peer.take()
    while len(flight) < 5:
        bench.elapse(RTT)
        for each in flight:
            peer.send("A", ack=each.end)
        flight = peer.take()
    first = flight[0].seq
    sent = duplicates(peer, first, 3)
    assert first in [each.seq for each in sent]
    assert peer.connection.info().ssthresh < 5 * MSS


@pytest.mark.req("5681-23", "5681-21")
def test_a_flood_of_duplicates_sends_no_more_than_the_window_allows(bench: Bench) -> None:
    """Inflation beyond what is in flight may be capped (RFC 5681 3.2); beyond the peer's window nothing goes."""
    peer = connection(bench, wscale=None)
    fill(peer)
    peer.take()
    duplicates(peer, 1, 1000)
    assert peer.seen - 1 <= 65535


@pytest.mark.req("6298-12", "5681-17")
def test_fast_retransmit_comes_before_the_timer(bench: Bench) -> None:
    peer = in_flight(bench)
    bench.elapse(10 * MILLISECOND)
    assert 0 in numbers(duplicates(peer, 1, 3))
    assert bench.host.counters["TcpExtTCPTimeouts"] == 0
    peer.send("A", ack=peer.seen)
    assert bench.host.counters["TcpRetransSegs"] == 1


@pytest.mark.req("5681-17")
def test_the_last_segment_of_a_stream_is_repaired_by_duplicates_too(bench: Bench) -> None:
    """Five segments, then nothing more to send: three duplicates bring the first one again."""
    peer = connection(bench)
    peer.write(5 * MSS)
    assert numbers(peer.take()) == [0, 1, 2, 3, 4]
    assert numbers(duplicates(peer, 1, 3)) == [0]
    peer.send("A", ack=5 * MSS + 1)
    peer.expect_nothing(for_=100 * SECOND)
