"""The window that is offered, silly windows on the receiver's side, and delayed ACKs (RFC 9293 3.8.6)."""

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from tests.tcp.harness import Bench, Peer, established, reach, stream

MSS = 1460
BUFFER = 8 * MSS


def flood(peer: Peer, length: int, at: int = 0, size: int = MSS) -> None:
    """Send the octets of the stream from `at`, as a peer that does not mind the window."""
    peer.strict = False
    for start in range(at, at + length, size):
        peer.send("A", seq=1 + start, data=min(size, at + length - start))


@pytest.mark.req("9293-SHLD-14")
@pytest.mark.parametrize("syn_backlog", [10, 0], ids=["remembered", "cookie"])
@pytest.mark.parametrize("scale", [None, 7])
def test_what_a_syn_ack_offers_is_taken(isn: int, syn_backlog: int, scale: int | None) -> None:
    """The buffer is small at first, and grows: what the answer to a SYN says must not count on that."""
    bench = Bench(TcpConfig(initial_receive_buffer=20_000, syn_backlog=syn_backlog))
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.syn(wscale=scale, ts=True)
    offered = peer.expect("SA").window
    peer.host_shift = 0 if scale is None else bench.tcp.receive_buffer.bit_length() - 16
    peer.send("A")
    peer.connection = bench.host.accept(listener)
    flood(peer, offered, size=1000)
    bench.elapse(SECOND)
    assert peer.take()[-1].ack == 1 + offered
    assert peer.read() == stream(0, offered)


@pytest.mark.req("9293-SHLD-14", "9293-MAY-8", "9293-3.8.6.1-zwack", "9293-3.10.7.4-text-edge")
def test_the_window_closes_as_the_buffer_fills(isn: int) -> None:
    bench = Bench(TcpConfig(receive_buffer=BUFFER))
    peer = established(bench, isn=isn)
    peer.strict = False
    for index in range(8):
        peer.send("A", data=MSS)
        bench.elapse(50 * MILLISECOND)
        last = peer.take()[-1]
        assert (last.ack, last.window) == (1 + MSS * (index + 1), BUFFER - MSS * (index + 1))
    peer.send("A", data=1)
    peer.expect("A", ack=1 + BUFFER, window=0)
    bench.elapse(3600 * SECOND)
    peer.send("A", seq=1 + BUFFER, data=1)
    peer.expect("A", ack=1 + BUFFER, window=0)
    assert peer.read() == stream(0, BUFFER)


@pytest.mark.req("9293-3.10.3-RECEIVE-ack", "9293-MUST-39", "9293-3.8.6.2.2-rule")
def test_reading_opens_the_window_in_steps_of_a_segment_or_half_the_buffer() -> None:
    bench = Bench(TcpConfig(receive_buffer=BUFFER))
    peer = established(bench)
    flood(peer, BUFFER)
    bench.elapse(SECOND)
    assert peer.take()[-1].window == 0
    windows = []
    for _ in range(BUFFER):
        assert len(peer.read(1)) == 1
        windows += [each.window for each in peer.take()]
    steps = [later - earlier for earlier, later in zip([0, *windows], windows, strict=False)]
    assert windows and all(step >= min(MSS, BUFFER // 2) for step in steps)
    assert peer.connection.readable == 0 and windows[0] <= 2 * MSS


@pytest.mark.req("9293-MUST-39", "9293-3.8.6.2.2-rule")
def test_with_a_small_buffer_half_of_it_counts() -> None:
    bench = Bench(TcpConfig(receive_buffer=2000))
    peer = established(bench)
    flood(peer, 2000, size=500)
    bench.elapse(SECOND)
    peer.take()
    read = 0
    while not peer.queue and read < 2000:
        read += len(peer.read(100))
    assert read == 1000
    assert peer.take()[-1].window == 1000


@pytest.mark.req("9293-MUST-39")
def test_an_acknowledgment_does_not_offer_a_sliver_either() -> None:
    """A probe's answer, too, holds the right edge until the gain is worth it."""
    bench = Bench(TcpConfig(receive_buffer=BUFFER))
    peer = established(bench)
    flood(peer, BUFFER)
    bench.elapse(SECOND)
    peer.take()
    assert len(peer.read(100)) == 100
    peer.send("A", seq=BUFFER, data=1)
    peer.expect("A", ack=1 + BUFFER, window=0)


@pytest.mark.req("9293-SHLD-14", "7323-ws-12", "7323-ws-13", "9293-3.10.7.4-text-edge")
def test_the_right_edge_never_retreats_by_rounding(isn: int) -> None:
    """With a shift, a window that is not a multiple of 2**shift must not take back what was offered."""
    bench = Bench(TcpConfig(receive_buffer=1 << 22))
    peer = established(bench, isn=isn, wscale=2, window=65535)
    assert peer.host_shift >= 5
    edge = 0
    for size in (1, 3, 7, 13, 1001, 1, 1, 1460, 1459, 5):
        peer.send("A", data=size)
        bench.elapse(SECOND // 2)
        last = peer.take()[-1]
        right = last.ack + (last.window << peer.host_shift)
        assert right >= edge  # the harness checks the same of every segment
        edge = right


@pytest.mark.req("7323-ws-12", "7323-ws-13")
def test_what_is_in_a_window_ever_offered_is_taken() -> None:
    bench = Bench(TcpConfig(receive_buffer=1 << 20))
    peer = established(bench, wscale=0)
    first = peer.connection.info().receive_window
    peer.send("A", data=3)
    bench.elapse(SECOND // 2)
    peer.take()
    peer.send("A", seq=1 + first - 100, data=100)  # the last octets of the first window
    peer.expect("A", ack=4)
    assert bench.host.counters["TcpExtTCPOFOQueue"] == 1


# Delayed ACKs


@pytest.mark.req("9293-SHLD-18", "9293-MUST-40", "5681-25")
def test_one_segment_waits_for_less_than_half_a_second(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    for _ in range(20):
        peer.send("PA", data=100)
        bench.elapse(SECOND)
        peer.take()
    began = bench.now
    peer.send("PA", data=100)
    peer.expect_nothing()
    assert 0 < peer.expect("A", data=0, within=SECOND).at - began < SECOND // 2


@pytest.mark.req("9293-SHLD-19", "5681-26", "2525-2.13")
def test_every_second_full_segment_is_acknowledged_at_once(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    for pair in range(10):
        peer.send("A", data=MSS)
        peer.take() if pair == 0 else None
        peer.strict = False
        peer.send("A", data=MSS)
        assert peer.take()[-1].ack == 1 + 2 * MSS * (pair + 1)


@pytest.mark.req("9293-SHLD-19", "9293-MUST-58", "9293-MUST-59", "2525-2.13")
def test_a_batch_is_acknowledged_with_fewer_segments_yet_every_second(bench: Bench) -> None:
    """RFC 9293 3.10.7.4: process all, then acknowledge; SHLD-19 asks for one ACK per two full segments all the same."""
    peer = established(bench)
    with bench.batch():
        for _ in range(10):
            peer.send("A", data=MSS)
    acks = [each.ack for each in peer.take()]
    assert acks[-1] == 1 + 10 * MSS and 1 <= len(acks) < 10


@pytest.mark.req("9293-MUST-59", "9293-MUST-58")
def test_two_segments_of_one_batch_get_one_ack(bench: Bench) -> None:
    peer = established(bench)
    with bench.batch():
        peer.send("A", data=100)
        peer.send("A", data=100)
    bench.elapse(SECOND // 2)
    assert [each.ack for each in peer.take()] == [201]


@pytest.mark.req("5681-25", "9293-MUST-40")
def test_the_delay_counts_from_the_first_unacknowledged_segment(bench: Bench) -> None:
    peer = established(bench)
    peer.strict = False
    began = bench.now
    while not peer.queue and bench.now - began < 2 * SECOND:
        peer.send("A", data=1)
        bench.elapse(10 * MILLISECOND)
    assert peer.take()[0].at - began < SECOND // 2


@pytest.mark.req("9293-3.10.7.4-text-piggyback")
def test_text_of_ours_takes_the_ack_along(bench: Bench) -> None:
    peer = established(bench)
    peer.send("PA", data=100)
    assert peer.read() == stream(0, 100)
    peer.write(10)
    peer.expect("A", ack=101, data=10)
    peer.send("A")
    peer.expect_nothing(for_=SECOND)


@pytest.mark.req("9293-3.10.7.4-text-FIN-WAIT-1", "9293-3.10.3-RECEIVE-FIN-WAIT-1")
@pytest.mark.parametrize("state", ["FIN_WAIT_1", "FIN_WAIT_2"])
def test_the_window_still_opens_when_we_have_closed_our_side(state: str) -> None:
    bench = Bench(TcpConfig(receive_buffer=BUFFER))
    peer = reach(state, bench)
    peer.seen = 2 if state == "FIN_WAIT_2" else 1
    flood(peer, BUFFER)
    bench.elapse(100 * MILLISECOND)
    assert peer.take()[-1].window == 0
    assert peer.read() == stream(0, BUFFER)
    update = peer.take()[-1]
    assert (update.ack, update.window) == (1 + BUFFER, BUFFER)


@pytest.mark.req("9293-SHLD-31")
def test_holes_are_bounded_and_the_connection_survives() -> None:
    """Every second octet: more holes than anybody wants to remember. Nothing is lost that the peer sends again."""
    bench = Bench(TcpConfig(out_of_order_ranges=16))
    peer = established(bench)
    peer.strict = False
    for at in range(1, 400, 2):
        peer.send("A", seq=1 + at, data=1)
    peer.take()
    for at in range(0, 400, 50):
        peer.send("A", seq=1 + at, data=50)
    bench.elapse(SECOND)
    assert peer.take()[-1].ack == 401
    assert peer.read() == stream(0, 400)
