"""What may be sent when: the usable window, Nagle, silly windows on the sender's side (RFC 9293 3.7.4, 3.8.6)."""

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from tests.tcp.harness import Bench, Peer, established

MSS = 1000
OVERRIDE = 1 * SECOND  # RFC 9293 3.8.6.2.1: the override timeout is 0.1 to 1.0 s


def lengths(peer: Peer) -> list[int]:
    return [len(each.data) for each in peer.take()]


@pytest.mark.req("9293-MUST-1", "9293-REC-1")
def test_a_window_of_65535_is_not_negative(bench: Bench) -> None:
    peer = established(bench, mss=1460, window=65535)
    peer.strict = False
    peer.write(200_000)
    while sent := peer.take():
        peer.send("A", ack=sent[-1].end - 1)
        if peer.seen - sent[-1].end + 1 > 60_000:
            break
    assert peer.connection.info().send_window == 65535
    assert peer.connection.info().cwnd > 0


@pytest.mark.req("9293-REC-1", "7323-ws-8")
def test_a_window_of_a_gibioctet(bench: Bench) -> None:
    peer = established(bench, wscale=14)
    peer.send("A", window=65535)
    assert peer.connection.info().send_window == 65535 << 14


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-wnd2", "9293-3.8.6-latestwnd")
def test_the_window_counts_from_the_acknowledgment(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn, mss=MSS, window=3000)
    peer.write(10_000)
    assert lengths(peer) == [MSS] * 3
    peer.send("A", ack=1001, window=3000)
    assert [each.seq for each in peer.take()] == [3001]
    peer.send("A", ack=2001, window=2000)  # the edge stays where it was
    peer.expect_nothing()
    peer.send("A", ack=3001, window=4000)
    assert [each.seq for each in peer.take()] == [4001, 5001, 6001]


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-wnd", "9293-3.8.6-latestwnd")
def test_the_window_of_an_older_segment_is_not_taken(bench: Bench, isn: int) -> None:
    """SND.WL1 and SND.WL2: taken if WL1 < SEQ, or WL1 = SEQ and WL2 =< ACK."""
    peer = established(bench, isn=isn, mss=MSS, window=2000)
    peer.write(20_000)
    peer.take()
    peer.send("A", seq=101, ack=2001, window=1000)  # ahead of a gap
    peer.take()
    peer.send("A", seq=1, ack=2001, window=9000)  # older by sequence number
    assert peer.connection.info().send_window == 1000
    peer.take()
    peer.send("A", seq=101, ack=1001, window=9000)  # older by acknowledgment
    assert peer.connection.info().send_window == 1000
    peer.send("A", seq=101, ack=2001, window=4000)  # the same: an update
    assert peer.connection.info().send_window == 4000


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-wnd", "9293-3.10.7.3-syn-vars")
def test_wl1_and_wl2_are_set_by_the_syn_ack(isn: int) -> None:
    """A first window update right after an active open counts (it was lost where WL1 and WL2 stayed unset)."""
    bench = Bench()
    peer = established(bench, isn=isn, active=True, mss=MSS, window=1000)
    peer.send("A", window=5000)
    peer.write(20_000)
    assert sum(lengths(peer)) == 5000


@pytest.mark.req("9293-MUST-34", "9293-SHLD-15", "9293-MUST-35", "7323-ws-14")
@pytest.mark.parametrize("window", [1500, 1, 0])
def test_a_window_that_shrinks(bench: Bench, isn: int, window: int) -> None:
    """The usable window is negative: nothing new, and no harm done."""
    peer = established(bench, isn=isn, mss=MSS, window=5000)
    peer.write(20_000)
    assert lengths(peer) == [MSS] * 5
    peer.send("A", ack=1001, window=window)
    peer.expect_nothing(for_=150 * MILLISECOND)
    peer.send("A", ack=5001, window=window)
    bench.elapse(100 * SECOND)
    assert all(each.end <= 5001 + max(window, 1) for each in peer.take())
    peer.send("A", ack=peer.seen, window=5000)
    assert sum(lengths(peer)) >= MSS and peer.state == "ESTABLISHED"


@pytest.mark.req("9293-SHLD-16", "9293-MAY-7")
def test_after_a_shrink_what_is_in_the_window_is_sent_again(bench: Bench) -> None:
    peer = established(bench, mss=MSS, window=5000)
    peer.write(20_000)
    peer.take()
    peer.send("A", ack=1001, window=2000)
    again = peer.expect("A", seq=1001, within=10 * SECOND)
    assert again.end <= 3001


@pytest.mark.req("9293-SHLD-17", "9293-MUST-37")
def test_no_timeout_because_of_what_lies_beyond_a_shrunk_edge(bench: Bench) -> None:
    peer = established(bench, mss=MSS, window=5000)
    peer.write(20_000)
    peer.take()
    peer.send("A", ack=1001, window=0)
    for _ in range(60):
        bench.elapse(30 * SECOND)
        if peer.take():
            peer.send("A", ack=1001, window=0)
    assert bench.now > 1700 * SECOND and peer.state == "ESTABLISHED"


# Nagle


@pytest.mark.req("9293-SHLD-7", "9293-3.8.6.2.1-rules", "9293-MUST-60")
def test_nagle_one_small_segment_at_a_time(bench: Bench) -> None:
    peer = established(bench, mss=MSS)
    for _ in range(10):
        peer.write(10)
    peer.expect("A", seq=1, data=10)
    peer.expect_nothing(for_=150 * MILLISECOND)
    peer.send("A")
    peer.expect("A", seq=11, data=90)


@pytest.mark.req("9293-SHLD-7", "9293-SHLD-28", "9293-3.8.6.2.1-rules")
def test_nagle_lets_full_segments_pass(bench: Bench) -> None:
    peer = established(bench, mss=MSS)
    peer.write(10)
    peer.expect("A", data=10)
    peer.write(2500)
    assert lengths(peer) == [MSS, MSS]
    peer.send("A")
    assert lengths(peer) == [500]


@pytest.mark.req("9293-MUST-17")
def test_nagle_off() -> None:
    bench = Bench(TcpConfig(nagle=False))
    peer = established(bench, mss=MSS)
    for _ in range(3):
        peer.write(10)
        peer.expect("A", data=10)


@pytest.mark.req("9293-MUST-17")
def test_nagle_off_for_one_connection(bench: Bench) -> None:
    listener = bench.listen(config=TcpConfig(nagle=False))
    other = bench.listen(81)
    quick = Peer(bench, port=1001).handshake(listener)
    slow = Peer(bench, port=1002, local_port=81).handshake(other)
    for peer in (quick, slow):
        peer.write(10)
        peer.write(10)
    assert (lengths(quick), lengths(slow)) == ([10, 10], [10])


@pytest.mark.req("9293-SHLD-27")
def test_small_writes_that_nagle_held_leave_together(bench: Bench) -> None:
    peer = established(bench, mss=MSS)
    for _ in range(8):
        peer.write(300)
    sent = peer.take()
    assert len(sent[0].data) == 300
    peer.send("A", ack=sent[-1].end)
    rest = [*sent[1:], *peer.take()]
    assert [len(each.data) for each in rest] == [MSS, MSS, 100]


@pytest.mark.req("9293-3.10.4-CLOSE-ESTAB")
def test_nagle_does_not_hold_what_the_fin_goes_with(bench: Bench) -> None:
    """Nothing more can be written, so nothing is gained by waiting; whether or not, the order is kept."""
    peer = established(bench, mss=MSS)
    peer.write(10)
    peer.write(10)
    peer.shutdown()
    sent = peer.take()
    peer.send("A")
    sent += peer.take()
    assert b"".join(each.data for each in sent) != b"" and "F" in sent[-1].flags
    assert sent[-1].end == 22


# Silly windows, the sender's side


@pytest.mark.req("9293-MUST-38", "9293-3.8.6.2.1-rules")
def test_a_sliver_of_window_is_not_used_at_once(bench: Bench) -> None:
    peer = established(bench, mss=MSS, window=4000)
    peer.write(20_000)
    assert lengths(peer) == [MSS] * 4
    for opened in (10, 100, 300):
        peer.send("A", ack=4001, window=opened)
        peer.expect_nothing(for_=50 * MILLISECOND)
    peer.send("A", ack=4001, window=MSS)
    assert lengths(peer) == [MSS]


@pytest.mark.req("9293-MUST-38", "9293-3.8.6.2.1-rules")
def test_half_of_the_largest_window_is_worth_a_segment(bench: Bench) -> None:
    """For peers whose whole window is below a segment (3.8.6.2.1 item 3, Fs = 1/2)."""
    peer = established(bench, mss=MSS, window=600)
    peer.write(20_000)
    sent = lengths(peer)
    assert sent == [600]
    peer.send("A", window=299)
    peer.expect_nothing(for_=50 * MILLISECOND)
    peer.send("A", window=300)
    assert lengths(peer) == [300]


@pytest.mark.req("9293-3.8.6.2.1-rules", "9293-MUST-60")
def test_the_override_timeout_ends_the_wait_for_a_larger_window(bench: Bench) -> None:
    """With nothing in flight and a window that stays small, the sender must not wait for ever."""
    peer = established(bench, mss=MSS, window=4000)
    peer.write(20_000)
    peer.take()
    peer.send("A", ack=4001, window=100)
    sent = peer.expect("A", seq=4001, within=OVERRIDE)
    assert 1 <= len(sent.data) <= 100


@pytest.mark.req("9293-3.8.6.2.1-rules")
def test_all_that_there_is_goes_at_once_when_it_fits(bench: Bench) -> None:
    peer = established(bench, mss=MSS, window=4000)
    peer.write(4000)
    peer.take()
    peer.send("A", window=50)
    peer.write(40)
    peer.expect("A", data=40)


# PSH, and what goes into a segment


@pytest.mark.req("9293-MUST-61", "9293-SHLD-28")
def test_the_last_segment_of_a_write_has_psh(bench: Bench) -> None:
    peer = established(bench, mss=MSS)
    peer.write(5000)
    assert [(len(each.data), "P" in each.flags) for each in peer.take()] == [(MSS, False)] * 4 + [(MSS, True)]


@pytest.mark.req("9293-3.8-ackalways", "9293-3.10.2-SEND-ESTAB")
def test_every_segment_carries_the_current_acknowledgment(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn, mss=MSS)
    peer.send("PA", data=77)
    peer.write(3000)
    assert [(each.flags.replace("P", ""), each.ack) for each in peer.take()] == [("A", 78)] * 3
    again = peer.expect("A", seq=1, within=10 * SECOND)
    assert again.ack == 78


@pytest.mark.req("7323-ws-15", "9293-MAY-7")
def test_the_second_retransmission_stays_inside_the_shrunk_window(bench: Bench) -> None:
    """RFC 7323 2.4: the first retransmission may exceed the window, every further one must not."""
    peer = established(bench, mss=MSS, window=5000)
    peer.write(5000)
    peer.take()
    peer.strict = False
    peer.send("A", ack=1, window=500)
    bench.elapse(30 * SECOND)
    again = peer.take()
    assert len(again) > 2 and all(each.end <= 501 for each in again[1:])


@pytest.mark.req("5961-9", "5961-6", "9293-3.10.7.4-ack-5961")
def test_max_snd_wnd_is_the_largest_window_ever_offered(bench: Bench) -> None:
    """Scaled, and still the largest after the window has shrunk (RFC 5961 5.2)."""
    peer = established(bench, wscale=4, window=4000)  # 64,000 octets after the handshake
    peer.send("A", window=10)
    peer.send("A", seq=1, ack=1 - 64_000, data=10)
    bench.elapse(SECOND // 2)
    assert peer.take()[-1].ack == 11
    peer.send("A", seq=11, ack=1 - 65_536, data=10)
    peer.expect("A", ack=11)
    assert peer.connection.readable == 10
