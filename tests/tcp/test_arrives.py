"""SEGMENT ARRIVES in the synchronized states: sequence check, ACK, text and FIN (RFC 9293 3.10.7.4)."""

from itertools import permutations

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from tests.tcp.harness import FIN_RECEIVED, SYNCHRONIZED, Bench, established, rcv_nxt, reach, snd_nxt, stream

HALF_SECOND = SECOND // 2


def ids(prefix: str, states: tuple[str, ...] = SYNCHRONIZED) -> list[object]:
    """A parameter per state, marked with the row of that state."""
    short = {"ESTABLISHED": "ESTAB", "SYN_RECEIVED": "SYN-RCVD"}
    return [
        pytest.param(state, marks=pytest.mark.req(prefix + short.get(state, state.replace("_", "-"))))
        for state in states
    ]


# First, check the sequence number


@pytest.mark.req("9293-3.10.7.4-seq-6", "9293-3.5.2-rst-sync", "9293-3.10.7.4-seq-2", "9293-3.10.7.4-seq-4")
@pytest.mark.parametrize(("offset", "length"), [(-11, 10), (-1, 0), (-1, 1), (65535, 0), (65535, 10), (1 << 30, 5)])
@pytest.mark.parametrize("state", ids("9293-3.10.7.4-seq-"))
def test_an_unacceptable_segment_is_acknowledged_and_dropped(
    bench: Bench, isn: int, state: str, offset: int, length: int
) -> None:
    """`offset` is from RCV.NXT; the first octet beyond the window is at 65,535 from it."""
    peer = reach(state, bench, isn=isn)
    window = peer.connection.info().receive_window
    if offset == 65535:
        offset = window
    peer.send("A", seq=rcv_nxt(state) + offset, data=b"x" * length)
    peer.expect("A", seq=snd_nxt(state), ack=rcv_nxt(state), data=0)
    peer.expect_nothing()
    assert peer.state == state and peer.connection.readable == 0


@pytest.mark.req("9293-3.10.7.4-seq-2")
def test_an_empty_segment_at_the_last_octet_of_the_window_is_acceptable(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.write(100)
    peer.expect("A", data=100)
    peer.send("A", seq=1 + peer.connection.info().receive_window - 1, ack=101)
    peer.expect_nothing()
    assert peer.connection.info().unacknowledged == 0


@pytest.mark.req("9293-3.10.7.4-seq-8", "9293-3.10.7.4-seq-4", "9293-3.10.7.4-seq-10")
@pytest.mark.parametrize("state", ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2"])
def test_the_new_part_of_a_segment_is_taken(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.send("A", data=100)
    peer.take()
    peer.send("A", seq=51, data=100)
    peer.expect("A", ack=151, within=HALF_SECOND)
    assert peer.read() == stream(0, 150)


@pytest.mark.req("9293-3.10.7.4-seq-9", "9293-3.10.7.4-text-edge")
def test_what_is_beyond_the_right_edge_is_trimmed_with_its_fin(isn: int) -> None:
    bench = Bench(TcpConfig(receive_buffer=4096))
    peer = established(bench, isn=isn)
    window = peer.connection.info().receive_window
    peer.strict = False
    for at in range(0, window - 500, 500):
        peer.send("A", seq=1 + at, data=500)
    at = (window - 1) // 500 * 500
    peer.take()
    peer.send("FA", seq=1 + at, data=500 if at + 500 > window else 600)
    peer.expect("A", ack=1 + window, window=0, within=HALF_SECOND)
    assert peer.state == "ESTABLISHED" and not peer.connection.at_end_of_stream
    assert peer.read() == stream(0, window)


@pytest.mark.req("9293-3.10.7.4-seq-9")
def test_a_fin_just_beyond_the_window_is_not_taken(isn: int) -> None:
    """The text fills the window to its last octet: the FIN has no room and comes again."""
    bench = Bench(TcpConfig(receive_buffer=4096))
    peer = established(bench, isn=isn)
    window = peer.connection.info().receive_window
    peer.strict = False
    for at in range(0, window, 512):
        peer.send("FA" if at + 512 >= window else "A", seq=1 + at, data=min(512, window - at))
    assert peer.take()[-1].ack == 1 + window
    assert peer.state == "ESTABLISHED"
    assert peer.read() == stream(0, window)
    peer.take()
    peer.send("FA", seq=1 + window)
    peer.expect("A", ack=2 + window, within=HALF_SECOND)
    assert peer.state == "CLOSE_WAIT"


@pytest.mark.req("9293-3.10.7.4-seq-1", "9293-3.10.7.4-seq-3", "9293-3.10.7.4-seq-5", "9293-3.8.6.1-zwack")
@pytest.mark.req("9293-MUST-66", "9293-MAY-8")
def test_a_closed_window(isn: int) -> None:
    bench = Bench(TcpConfig(receive_buffer=4096))
    peer = established(bench, isn=isn)
    peer.write(100)
    peer.expect(data=100)
    peer.strict = False
    end = 1 + peer.connection.info().receive_window
    for at in range(1, end, 512):
        peer.send("A", seq=at, ack=1, data=min(512, end - at))
    assert (peer.queue[-1].ack, peer.queue[-1].window) == (end, 0)
    peer.take()
    peer.send("A", seq=end, ack=1, data=1)  # a probe
    peer.expect("A", seq=101, ack=end, window=0, data=0)
    peer.send("A", seq=end + 1, ack=101)  # not at RCV.NXT: not acceptable, so its ACK does not count
    peer.expect("A", seq=101, ack=end, window=0, data=0)
    peer.send("A", seq=end, ack=101)
    peer.expect_nothing()
    assert peer.connection.info().unacknowledged == 0
    peer.send("R", seq=end + 1)
    peer.expect_nothing()
    assert peer.state == "ESTABLISHED"
    peer.send("R", seq=end)
    peer.expect_nothing()
    assert peer.state == "CLOSED" and isinstance(peer.error, ConnectionResetError)


@pytest.mark.req("9293-3.10.7.4-seq-5")
def test_text_beyond_a_closed_window_still_acknowledges(isn: int) -> None:
    """RFC 9293 3.10.7.4: with a zero window "special allowance should be made to accept valid ACKs"."""
    bench = Bench(TcpConfig(receive_buffer=4096))
    peer = established(bench, isn=isn)
    peer.write(100)
    peer.expect(data=100)
    peer.strict = False
    end = 1 + peer.connection.info().receive_window
    for at in range(1, end, 512):
        peer.send("A", seq=at, ack=1, data=min(512, end - at))
    peer.take()
    peer.send("A", seq=end, ack=101, data=10)
    peer.expect("A", seq=101, ack=end, window=0, data=0)
    assert peer.connection.info().unacknowledged == 0
    assert peer.connection.readable == end - 1


# Fifth, check the ACK field


@pytest.mark.req("9293-3.10.7.4-ack-off")
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_segment_without_ack_is_dropped(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    for flags in ("", "F", "P"):
        peer.send(flags, seq=rcv_nxt(state), data=b"x" * 10)
        peer.expect_nothing(for_=50 * MILLISECOND if state != "TIME_WAIT" else 0)
    assert peer.state == state and peer.connection.readable == 0


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-future", "9293-3.10.7.4-ack-5961", "5961-6", "9293-3.4-ackok")
@pytest.mark.parametrize("ahead", [1, 1000, 1 << 30])
@pytest.mark.parametrize("state", ["ESTABLISHED", "FIN_WAIT_2", "CLOSE_WAIT"])
def test_an_ack_of_what_was_never_sent(bench: Bench, isn: int, state: str, ahead: int) -> None:
    peer = reach(state, bench, isn=isn)
    peer.send("A", seq=rcv_nxt(state), ack=snd_nxt(state) + ahead, data=b"x" * 10)
    peer.expect("A", seq=snd_nxt(state), ack=rcv_nxt(state), data=0)
    assert peer.state == state and peer.connection.readable == 0


@pytest.mark.req("9293-3.10.7.4-ack-5961", "5961-6", "9293-MAY-12", "5961-9")
def test_an_ack_from_too_long_ago(bench: Bench, isn: int) -> None:
    """Acceptable are ACKs in [SND.UNA - MAX.SND.WND, SND.NXT] (RFC 5961 5.2)."""
    peer = established(bench, isn=isn)
    peer.write(10)
    peer.expect(data=10)
    peer.send("A")
    peer.send("A", seq=1, ack=11 - 65535 - 1, data=10)
    peer.expect("A", seq=11, ack=1, data=0)
    assert peer.connection.readable == 0
    peer.send("A", seq=1, ack=11 - 65535, data=10)
    peer.expect("A", ack=11, within=HALF_SECOND)
    assert peer.read() == stream(0, 10)


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-new", "9293-3.10.7.4-ack-ESTAB-dup", "9293-3.4-ackok")
def test_new_and_old_acks(wrapping: tuple[Bench, int]) -> None:
    bench, isn = wrapping
    peer = established(bench, isn=isn, mss=1000)
    peer.write(3000)
    assert [each.seq for each in peer.take()] == [1, 1001, 2001]
    peer.send("A", ack=1501)
    assert peer.connection.info().unacknowledged == 1500
    peer.send("A", seq=1, ack=1001, data=10)  # an old ACK: ignored, the text is not
    assert peer.connection.info().unacknowledged == 1500
    peer.expect("A", ack=11, data=0, within=HALF_SECOND)
    assert peer.read() == stream(0, 10)
    peer.expect("A", seq=1501, within=10 * SECOND)  # what is sent again begins at SND.UNA


@pytest.mark.req("9293-3.10.7.4-ack-CLOSE-WAIT")
def test_acks_in_close_wait(bench: Bench, isn: int) -> None:
    peer = reach("CLOSE_WAIT", bench, isn=isn)
    peer.write(100)
    peer.expect("A", seq=1, ack=2, data=100)
    peer.send("A")
    peer.expect_nothing(for_=100 * SECOND)
    assert peer.connection.info().unacknowledged == 0 and peer.state == "CLOSE_WAIT"


# Seventh, process the segment text


@pytest.mark.req("9293-3.10.3-RECEIVE-ack")
@pytest.mark.parametrize("state", ids("9293-3.10.7.4-text-", ("ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2")))
def test_text_is_taken_and_acknowledged(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.send("PA", ack=1, data=100)
    peer.expect("A", seq=snd_nxt(state), ack=101, data=0, within=HALF_SECOND)
    assert peer.read() == stream(0, 100) and peer.state == state


@pytest.mark.parametrize("state", ids("9293-3.10.7.4-text-", ("CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT")))
def test_text_after_the_peers_fin_is_ignored(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.send("A", seq=2, ack=1, data=100)
    bench.elapse(HALF_SECOND if state not in ("CLOSING", "LAST_ACK") else 100 * MILLISECOND)
    assert all(each.ack == 2 for each in peer.take())
    assert peer.connection.readable == 0 and peer.state == state


@pytest.mark.req("9293-3.10.7.4-text-piggyback", "9293-3.10.2-SEND-ESTAB")
def test_the_answer_carries_the_ack(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.send("PA", data=20)
    peer.write(30)
    peer.expect("A", seq=1, ack=21, data=30)
    peer.send("A")
    peer.expect_nothing(for_=SECOND)


PIECES = ((0, 300), (200, 200), (400, 200), (500, 250), (750, 150))  # offset and length, with overlaps


@pytest.mark.req("9293-SHLD-31", "2525-2.5", "9293-3.10.3-RECEIVE-ESTAB")
@pytest.mark.parametrize("order", list(permutations(range(5))), ids=lambda order: "".join(map(str, order)))
def test_five_overlapping_segments_in_every_order(order: tuple[int, ...]) -> None:
    bench = Bench()
    peer = established(bench, isn=-400)
    peer.strict = False
    held: set[int] = set()
    for index in order:
        at, length = PIECES[index]
        peer.send("A", seq=1 + at, data=length)
        held.update(range(at, at + length))
        edge = next(each for each in range(901) if each not in held)
        assert peer.connection.readable == edge
        assert all(each.ack <= 1 + edge for each in peer.queue)
    bench.elapse(HALF_SECOND)
    assert peer.take()[-1].ack == 901
    assert peer.read() == stream(0, 900)


@pytest.mark.req("9293-SHLD-31", "9293-MAY-13", "5681-15", "5681-16")
def test_a_gap_brings_immediate_acks_and_so_does_its_end(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.send("A", seq=1001, data=1000)
    peer.expect("A", seq=1, ack=1, data=0)
    peer.send("A", seq=3001, data=1000)
    peer.expect("A", seq=1, ack=1, data=0)
    peer.send("A", seq=1, data=1000)  # fills the first of two gaps
    peer.expect("A", seq=1, ack=2001, data=0)
    peer.send("A", seq=2001, data=1000)
    peer.expect("A", seq=1, ack=4001, data=0)
    assert peer.read() == stream(0, 4000)


# Eighth, check the FIN bit


@pytest.mark.req("9293-3.10.7.4-fin-gen", "9293-3.10.7.4-fin-ESTAB", "2525-2.15", "9293-MUST-12")
@pytest.mark.parametrize("length", [0, 1, 1000])
def test_a_fin_in_established(bench: Bench, isn: int, length: int) -> None:
    peer = established(bench, isn=isn)
    peer.send("FA", data=length)
    peer.expect("A", seq=1, ack=2 + length, data=0, within=HALF_SECOND)
    assert peer.state == "CLOSE_WAIT" and peer.error is None
    assert peer.read() == stream(0, length)
    assert peer.connection.at_end_of_stream


@pytest.mark.req("9293-3.10.7.4-fin-gap")
@pytest.mark.parametrize("length", [0, 100])
@pytest.mark.parametrize("state", ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2"])
def test_a_fin_waits_for_the_gap_before_it(bench: Bench, isn: int, length: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.send("FA", seq=101, ack=snd_nxt(state), data=length)
    peer.expect("A", ack=1)
    assert peer.state == ("FIN_WAIT_2" if state == "FIN_WAIT_1" else state)
    assert not peer.connection.at_end_of_stream
    peer.send("A", seq=1, data=100)
    peer.expect("A", ack=102 + length)
    assert peer.state == ("CLOSE_WAIT" if state == "ESTABLISHED" else "TIME_WAIT")
    assert peer.read() == stream(0, 100 + length) and peer.connection.at_end_of_stream


@pytest.mark.parametrize("state", ids("9293-3.10.7.4-fin-", ("CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT")))
def test_a_repeated_fin_is_acknowledged_and_changes_nothing(bench: Bench, isn: int, state: str) -> None:
    assert state in FIN_RECEIVED
    peer = reach(state, bench, isn=isn)
    peer.send("FA", seq=1, ack=2 if state == "TIME_WAIT" else 1)
    peer.expect("A", seq=snd_nxt(state), ack=2, data=0)
    assert peer.state == state


@pytest.mark.req("9293-3.10.7.4-fin-gap", "9293-3.10.7.4-text-CLOSE-WAIT")
def test_text_beyond_a_fin_that_waits_is_no_part_of_the_stream(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.strict = False
    peer.send("A", seq=301, data=b"beyond")
    peer.send("FA", seq=101, data=50)
    peer.send("A", seq=201, data=b"beyond")
    peer.send("A", seq=1, data=100)
    bench.elapse(HALF_SECOND)
    assert peer.take()[-1].ack == 152 and peer.state == "CLOSE_WAIT"
    assert peer.read() == stream(0, 150) and peer.connection.at_end_of_stream


@pytest.mark.req("9293-3.10.7.4-seq-3", "9293-3.10.7.4-fin-ESTAB")
def test_a_fin_at_a_closed_window_waits(isn: int) -> None:
    """A FIN takes a sequence number: with a zero window it is not acceptable (3.10.7.4, first check)."""
    bench = Bench(TcpConfig(receive_buffer=4096))
    peer = established(bench, isn=isn)
    peer.strict = False
    for _ in range(8):
        peer.send("A", data=512)
    peer.take()
    peer.send("FA", seq=4097)
    peer.expect("A", ack=4097, window=0)
    assert peer.state == "ESTABLISHED"
    peer.read()
    peer.take()
    peer.send("FA", seq=4097)
    peer.expect("A", ack=4098, within=HALF_SECOND)
    assert peer.state == "CLOSE_WAIT"
