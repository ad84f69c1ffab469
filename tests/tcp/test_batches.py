"""Several segments in one batch of frames, where a fast path may merge them: nothing may come out differently."""

import random

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.wire.tcp_options import TcpOptions
from tests.tcp.harness import Bench, Peer, Sent, established, stream

MSS = 1460


@pytest.mark.req("9293-MUST-59", "9293-3.10.7.4-seq-10")
def test_a_run_of_segments_across_the_wrap(wrapping: tuple[Bench, int]) -> None:
    bench, isn = wrapping
    peer = established(bench, isn=isn)
    with bench.batch():
        for _ in range(20):
            peer.send("A", data=MSS)
    assert peer.take()[-1].ack == 1 + 20 * MSS
    assert peer.read() == stream(0, 20 * MSS)


@pytest.mark.req("9293-3.10.7.4-seq-9", "9293-3.10.7.4-text-edge")
def test_a_run_that_straddles_the_right_edge(isn: int) -> None:
    bench = Bench(TcpConfig(receive_buffer=5000))
    peer = established(bench, isn=isn)
    with bench.batch():
        for _ in range(5):
            peer.send("A", data=MSS)
    bench.elapse(SECOND // 2)
    last = peer.take()[-1]
    assert (last.ack, last.window) == (5001, 0)
    assert peer.read() == stream(0, 5000)


@pytest.mark.req("9293-3.10.7.4-seq-8")
def test_a_run_that_begins_with_old_octets(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.send("A", data=2000)
    peer.take()
    with bench.batch():
        for at in range(0, 5000, 1000):
            peer.send("A", seq=1 + at, data=1000)
    bench.elapse(SECOND // 2)
    assert peer.take()[-1].ack == 5001
    assert peer.read() == stream(0, 5000)


@pytest.mark.req("9293-3.10.7.4-fin-gen")
def test_a_run_that_ends_with_a_fin_and_text_behind_it(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    with bench.batch():
        peer.send("A", data=1000)
        peer.send("FA", data=1000)
        peer.send("A", seq=2002, data=b"behind the end")
    bench.elapse(SECOND // 2)
    assert peer.take()[-1].ack == 2002
    assert peer.read() == stream(0, 2000) and peer.connection.at_end_of_stream


@pytest.mark.req("9293-3.10.7.4-rst-ESTAB")
def test_a_reset_behind_text_in_one_batch(bench: Bench) -> None:
    peer = established(bench)
    with bench.batch():
        peer.send("A", data=1000)
        peer.send("A", data=1000)
        peer.send("R", seq=2001)
    assert peer.state == "CLOSED" and isinstance(peer.error, ConnectionResetError)
    assert all("R" not in each.flags for each in peer.take())


@pytest.mark.req("5681-2", "5681-17")
def test_duplicate_acks_in_one_batch_are_counted_one_by_one(bench: Bench) -> None:
    peer = established(bench, mss=1000)
    peer.write(50_000)
    peer.take()
    with bench.batch():
        for _ in range(3):
            peer.send("A", ack=1)
    assert 1 in [each.seq for each in peer.take()]


@pytest.mark.req("5681-15")
@pytest.mark.parametrize(("sack", "acks"), [(False, 3), (True, 1)])
def test_a_run_ahead_of_a_gap_brings_the_duplicate_acks_that_a_sender_without_sack_counts(
    bench: Bench, sack: bool, acks: int
) -> None:
    peer = established(bench, sack=sack)
    with bench.batch():
        for at in range(1, 4):
            peer.send("A", seq=1 + at * MSS, data=MSS)
    brought = peer.take()
    assert len(brought) >= acks and {each.ack for each in brought} == {1}


@pytest.mark.req("9293-3.10.7.2-syn", "9293-3.10.7.4-ack-SYN-RCVD-ok")
def test_a_whole_handshake_and_a_request_in_two_batches(bench: Bench, isn: int) -> None:
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.syn()
    peer.expect("SA")
    with bench.batch():
        peer.send("A")
        peer.send("PA", data=100)
        peer.send("FA")
    bench.elapse(SECOND // 2)
    assert peer.take()[-1].ack == 102
    peer.connection = bench.host.accept(listener)
    assert peer.state == "CLOSE_WAIT" and peer.read() == stream(0, 100)


@pytest.mark.req("9293-3.10.7.4-ack-SYN-RCVD-ok")
def test_the_handshakes_last_ack_was_lost_and_text_comes(bench: Bench, isn: int) -> None:
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.syn()
    peer.expect("SA")
    peer.send("PA", data=100)
    peer.expect("A", ack=101, within=SECOND // 2)
    peer.connection = bench.host.accept(listener)
    assert peer.state == "ESTABLISHED" and peer.read() == stream(0, 100)


def test_two_flows_interleaved(bench: Bench) -> None:
    listener = bench.listen()
    peers = [Peer(bench, port=1001 + index, isn=-5000 * index - 1).handshake(listener) for index in range(3)]
    with bench.batch():
        for _ in range(6):
            for peer in peers:
                peer.send("A", data=1000)
    for peer in peers:
        assert peer.take()[-1].ack == 6001
        assert peer.read() == stream(0, 6000)


@pytest.mark.req("7323-echo-1", "7323-paws-6")
def test_timestamps_of_a_run(bench: Bench) -> None:
    """The segments have different timestamps, one of them an old one: that one is dropped, wherever it stands."""
    listener = bench.listen()
    peer = Peer(bench)
    peer.ts_val = 1000
    peer.handshake(listener, ts=True)
    peer.send("PA", data=10, options=TcpOptions(ts_val=2000))
    bench.elapse(SECOND // 2)
    peer.take()
    with bench.batch():
        peer.send("A", seq=11, data=1000, options=TcpOptions(ts_val=2001))
        peer.send("A", seq=1011, data=1000, options=TcpOptions(ts_val=1500))
        peer.send("A", seq=2011, data=1000, options=TcpOptions(ts_val=2002))
    assert peer.connection.readable == 1010
    assert peer.take()[-1].ack == 1011


# Much text, both ways, over a path that loses


def exchange(peer: Peer, generator: random.Random, loss: float, length: int) -> None:
    """The peer is a sender (go-back-N) and a receiver that keeps all; time goes on until both streams are through."""
    bench = peer.bench
    peer.strict = False
    got = bytearray()
    written = read = acked = 0
    ahead: dict[int, bytes] = {}
    for _ in range(20_000):
        if written < length:
            written += peer.write(min(length - written, 100_000), at=written)
        if peer.connection.readable:
            piece = peer.read()
            assert piece == stream(read, len(piece))
            read += len(piece)
        fresh = [each for each in peer.take() if generator.random() >= loss]
        acked = max([acked, *[each.ack - 1 for each in fresh]])
        dup_acks = receive(got, ahead, fresh)
        for _ in range(dup_acks):
            if generator.random() >= loss:
                peer.send("A", seq=acked + 1, ack=len(got) + 1)
        for at in range(acked, min(acked + 20 * MSS, length), MSS):
            if generator.random() >= loss:
                peer.send("A", seq=at + 1, ack=len(got) + 1, data=min(MSS, length - at))
        if len(got) == read == acked == length:
            break
        bench.elapse(20 * MILLISECOND)
    assert bytes(got) == stream(0, length)
    assert (read, acked) == (length, length)


def receive(got: bytearray, ahead: dict[int, bytes], fresh: list[Sent]) -> int:
    """Take what arrived into `got`; how many acknowledgments are due."""
    texts = [each for each in fresh if each.data]
    for each in texts:
        assert each.data == stream(each.seq - 1, len(each.data))
        ahead[each.seq - 1] = max(each.data, ahead.get(each.seq - 1, b""), key=len)
        while pieces := [at for at in ahead if at <= len(got)]:
            for at in pieces:
                got += ahead.pop(at)[len(got) - at :]
    return len(texts)


@pytest.mark.req("9293-3.10.7.4-seq-10", "2525-2.4", "9293-SHLD-31", "9293-3.10.7.4-text-edge")
@pytest.mark.parametrize("loss", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("seed", [1, 2])
def test_both_streams_get_through(wrapping: tuple[Bench, int], loss: float, seed: int) -> None:
    bench, isn = wrapping
    peer = established(bench, isn=isn, wscale=7)
    exchange(peer, random.Random(seed), loss, 300_000 if loss else 1_000_000)
