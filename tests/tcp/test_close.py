"""Closing: RFC 9293 3.6 and its figures, TIME-WAIT (3.6.1, RFC 6191), and time-outs of the last states."""

import itertools

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.wire.tcp_options import TcpOptions
from tests.tcp.harness import Bench, Peer, established, reach, stream

HALF_SECOND = SECOND // 2
MSL = TcpConfig().maximum_segment_lifetime


@pytest.mark.req("9293-3.10.4-CLOSE-ESTAB", "9293-3.10.7.4-ack-FIN-WAIT-1", "9293-3.10.7.4-fin-FIN-WAIT-2")
@pytest.mark.req("9293-MUST-13", "9293-3.10.8-timewait")
def test_figure_12_normal_close_sequence(wrapping: tuple[Bench, int]) -> None:
    bench, isn = wrapping
    peer = established(bench, isn=isn)
    peer.close()
    peer.expect("FA", seq=1, ack=1, data=0)
    assert peer.state == "FIN_WAIT_1"
    peer.send("A", ack=2)
    assert peer.state == "FIN_WAIT_2"
    peer.expect_nothing(for_=SECOND)
    peer.send("FA", ack=2)
    peer.expect("A", seq=2, ack=2, data=0)
    assert peer.state == "TIME_WAIT"
    peer.expect_nothing(for_=2 * MSL - MILLISECOND)
    assert peer.exists()
    peer.expect_nothing(for_=2 * MILLISECOND)
    assert not peer.exists()


@pytest.mark.req("9293-3.6-case2", "9293-3.10.4-CLOSE-CLOSE-WAIT", "9293-3.10.7.4-ack-LAST-ACK")
@pytest.mark.req("9293-3.10.3-RECEIVE-CLOSE-WAIT", "9293-3.10.2-SEND-CLOSE-WAIT")
def test_figure_12_the_other_side(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.send("FA", data=10)
    peer.expect("A", seq=1, ack=12, data=0, within=HALF_SECOND)
    assert peer.state == "CLOSE_WAIT" and peer.read() == stream(0, 10) and peer.connection.at_end_of_stream
    peer.expect_nothing(for_=60 * SECOND)  # the FIN only after the user's CLOSE
    peer.write(20)
    peer.expect("A", seq=1, ack=12, data=20)
    peer.close()
    peer.expect("FA", seq=21, ack=12, data=0)
    assert peer.state == "LAST_ACK"
    peer.send("A", ack=21)  # not of the FIN
    assert peer.state == "LAST_ACK"
    peer.send("A", ack=22)
    peer.expect_nothing()
    assert peer.state == "CLOSED" and not peer.exists() and peer.error is None


@pytest.mark.req("9293-3.10.7.4-fin-FIN-WAIT-1-unacked", "9293-3.10.7.4-ack-CLOSING")
def test_figure_13_simultaneous_close(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.shutdown()
    peer.expect("FA", seq=1, ack=1)
    peer.send("FA", ack=1)
    peer.expect("A", seq=2, ack=2, data=0)
    assert peer.state == "CLOSING"
    peer.send("A", ack=1)
    assert peer.state == "CLOSING"
    peer.send("A", ack=2)
    peer.expect_nothing()
    assert peer.state == "TIME_WAIT"


@pytest.mark.req("9293-3.10.7.4-fin-FIN-WAIT-1-acked")
@pytest.mark.parametrize("length", [0, 30])
def test_a_fin_that_acknowledges_ours(bench: Bench, isn: int, length: int) -> None:
    peer = established(bench, isn=isn)
    peer.shutdown()
    peer.expect("FA", seq=1)
    peer.send("FA", ack=2, data=length)
    peer.expect("A", seq=2, ack=2 + length, data=0)
    assert peer.state == "TIME_WAIT" and peer.read() == stream(0, length)
    peer.expect_nothing(for_=2 * MSL - MILLISECOND)  # no retransmission timer is left


@pytest.mark.req("9293-3.6-nosendafterclose", "9293-3.10.7.4-ack-FIN-WAIT-2", "9293-3.10.3-RECEIVE-FIN-WAIT-2")
def test_half_closed_reading_goes_on(bench: Bench, isn: int) -> None:
    """Only close() bounds FIN-WAIT-2; a half-closed connection may be read for as long as the peer likes."""
    peer = reach("FIN_WAIT_2", bench, isn=isn)
    for round_ in range(5):
        bench.elapse(300 * SECOND)
        peer.send("PA", data=100)
        peer.expect("A", seq=2, ack=101 + 100 * round_, within=HALF_SECOND)
        assert peer.read() == stream(100 * round_, 100)
    peer.send("FA")
    peer.expect("A", seq=2, ack=502)
    assert peer.state == "TIME_WAIT" and peer.connection.at_end_of_stream


@pytest.mark.req("9293-3.10.4-CLOSE-ESTAB", "9293-SHLD-28")
def test_the_fin_comes_behind_all_text(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn, mss=1460)
    assert peer.write(100_000) == 100_000
    peer.close()
    got, fins = 0, 0
    for _ in range(200):
        for sent in peer.take():
            assert sent.seq == got + 1 and sent.data == stream(got, len(sent.data))
            got += len(sent.data)
            fins += "F" in sent.flags
            assert ("F" in sent.flags) == (got == 100_000)
        if fins:
            break
        peer.send("A")
    assert (got, fins) == (100_000, 1)
    assert peer.state == "FIN_WAIT_1"


@pytest.mark.req("9293-3.6-fin-rexmt", "6298-15")
@pytest.mark.parametrize("state", ["FIN_WAIT_1", "CLOSING", "LAST_ACK"])
def test_a_fin_is_sent_again_until_it_is_acknowledged(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    times = [peer.expect("FA", seq=1, data=0, within=60 * SECOND).at for _ in range(5)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(1.9 < later / earlier < 2.1 for earlier, later in itertools.pairwise(gaps))
    peer.send("A", ack=2)
    peer.expect_nothing(for_=10 * SECOND)
    assert peer.state == {"FIN_WAIT_1": "FIN_WAIT_2", "CLOSING": "TIME_WAIT", "LAST_ACK": "CLOSED"}[state]


# TIME-WAIT


@pytest.mark.req("9293-3.10.7.4-ack-TIME-WAIT", "9293-3.10.7.4-fin-TIME-WAIT")
def test_a_repeated_fin_starts_2_msl_again(bench: Bench, isn: int) -> None:
    peer = reach("TIME_WAIT", bench, isn=isn)
    bench.elapse(2 * MSL - SECOND)
    peer.send("FA", seq=1)
    peer.expect("A", seq=2, ack=2, data=0)
    bench.elapse(2 * MSL - MILLISECOND)
    assert peer.exists()
    bench.elapse(2 * MILLISECOND)
    assert not peer.exists()


@pytest.mark.req("9293-MUST-13", "9293-3.10.7.4-seq-TIME-WAIT")
def test_old_duplicates_in_time_wait_do_not_prolong_it(bench: Bench) -> None:
    """3.10.7.4 restarts the time-out for a FIN only: other segments could keep the record for ever."""
    peer = reach("TIME_WAIT", bench)
    for _ in range(3):
        bench.elapse(MSL // 2)
        peer.send("A", seq=1, data=b"x")
        peer.expect("A", seq=2, ack=2)
    bench.elapse(MSL // 2 + MILLISECOND)
    assert not peer.exists()


def again(peer: Peer, **options: object) -> Peer:
    """A new SYN on the same sockets: relative numbers count from the old connection's ISN."""
    peer.strict = False
    peer.send("S", **options)  # type: ignore[arg-type]
    return peer


@pytest.mark.req("9293-MAY-2", "6191-3")
@pytest.mark.parametrize(("seq", "accepted"), [(3, True), (1 << 30, True), (1, False), (-1000, False)])
def test_a_new_syn_in_time_wait_without_timestamps(bench: Bench, isn: int, seq: int, accepted: bool) -> None:
    """RFC 1122 4.2.2.13 (a): the new SYN's number must be greater than the largest one used before."""
    peer = reach("TIME_WAIT", bench, isn=isn)
    old_iss = peer.iss
    bench.elapse(100 * MILLISECOND)
    again(peer, seq=seq)
    answers = peer.take()
    if accepted:
        assert [each.flags for each in answers] == ["SA"] and answers[0].ack == seq + 1
        assert old_iss is not None and 0 < (peer.iss - old_iss) % (1 << 32) < 1 << 31  # (b): above the old numbers
        peer.send("A", seq=seq + 1, ack=1)
        assert [each.state.name for each in bench.host.connections()] == ["ESTABLISHED"]
    else:
        assert all((each.flags, each.seq, each.ack) == ("A", 2, 2) for each in answers)
        assert [each.state.name for each in bench.host.connections()] == ["TIME_WAIT"]


@pytest.mark.req("9293-MAY-2")
def test_what_replaces_a_time_wait_begins_above_all_that_was_sent(bench: Bench, isn: int) -> None:
    """RFC 1122 4.2.2.13 (a), also when the old connection was faster than the clock that numbers begin with."""
    peer = established(bench, isn=isn)
    peer.strict = False
    old_iss, sent = peer.iss, 0
    while sent < 2_000_000:
        sent += peer.write(60_000)
        peer.send("A")
    peer.close()
    while peer.state == "FIN_WAIT_1":
        peer.send("A")
    peer.send("FA")
    assert peer.state == "TIME_WAIT" and list(bench.host.resting())
    peer.take()
    again(peer, seq=1000)
    [answer] = peer.take()
    assert answer.flags == "SA" and old_iss is not None and peer.iss is not None
    assert sent < (peer.iss - old_iss) % (1 << 32) < 1 << 31


STAMP = 5000


@pytest.mark.parametrize(
    ("ts_val", "seq", "accepted"),
    [
        pytest.param(STAMP + 1, -5000, True, marks=pytest.mark.req("6191-1", "9293-SHLD-4"), id="later"),
        pytest.param(STAMP, 100, True, marks=pytest.mark.req("6191-2"), id="same-and-greater"),
        pytest.param(STAMP, -100, False, marks=pytest.mark.req("6191-4"), id="same-and-lesser"),
        pytest.param(STAMP - 1, 100, False, marks=pytest.mark.req("6191-4"), id="earlier"),
        pytest.param(None, 100, True, marks=pytest.mark.req("6191-3"), id="without-and-greater"),
        pytest.param(None, -100, False, marks=pytest.mark.req("6191-4"), id="without-and-lesser"),
    ],
)
@pytest.mark.req("9293-3.10.7.4-syn-TIME-WAIT")
def test_a_new_syn_in_time_wait_with_timestamps(bench: Bench, ts_val: int | None, seq: int, accepted: bool) -> None:
    listener = bench.listen()
    peer = Peer(bench)
    peer.ts_val = STAMP
    peer.handshake(listener, ts=True)
    peer.shutdown()
    peer.expect("FA")
    peer.send("FA")
    peer.expect("A")
    assert peer.state == "TIME_WAIT"
    again(peer, seq=seq, options=TcpOptions(mss=1460, ts_val=ts_val))
    answers = peer.take()
    states = [each.state.name for each in bench.host.connections()]
    if accepted:
        assert [each.flags for each in answers] == ["SA"] and states == []
        assert [key.remote_port for key in bench.host.half_open()] == [peer.port]
    else:
        assert states == ["TIME_WAIT"] and "SA" not in [each.flags for each in answers]


@pytest.mark.req("6191-5")
def test_a_new_syn_with_timestamps_after_a_connection_without(bench: Bench) -> None:
    peer = reach("TIME_WAIT", bench)
    again(peer, seq=-100, options=TcpOptions(mss=1460, ts_val=1))
    assert [each.flags for each in peer.take()] == ["SA"]


@pytest.mark.req("9293-3.10.7.4-syn-TIME-WAIT")
def test_without_a_listener_no_syn_ends_time_wait(bench: Bench) -> None:
    peer = reach("TIME_WAIT", bench, active=True)
    again(peer, seq=1000)
    assert "SA" not in [each.flags for each in peer.take()]


# Time-outs of a connection that nobody holds


def test_a_released_connection_does_not_stay_in_fin_wait_2(bench: Bench) -> None:
    peer = established(bench)
    peer.close()
    peer.expect("FA")
    peer.send("A")
    assert peer.state == "FIN_WAIT_2"
    bench.elapse(TcpConfig().fin_wait_2_timeout + SECOND)
    assert not peer.exists()


def test_a_released_connection_does_not_retransmit_for_ever(bench: Bench) -> None:
    peer = established(bench)
    peer.write(100)
    peer.close()
    bench.elapse(TcpConfig().orphan_timeout + 130 * SECOND)
    assert not peer.exists()
