"""Probing a closed window, and keeping a connection alive (RFC 9293 3.8.4, 3.8.6.1)."""

import itertools

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from tests.tcp.harness import Bench, Peer, Sent, established

MSS = 1000
HOUR = 3600 * SECOND


def closed_window(bench: Bench, isn: int = -10001, length: int = 5000) -> Peer:
    """All in flight is acknowledged, the window is closed, and there is more to send."""
    peer = established(bench, isn=isn, mss=MSS, window=2000)
    peer.write(2000 + length)
    assert len(peer.take()) == 2
    bench.elapse(100 * MILLISECOND)
    peer.send("A", window=0)
    peer.window = 0
    peer.strict = False
    return peer


def probe(peer: Peer, within: int = 200 * SECOND, una: int = 2001) -> Sent:
    """A probe is something that has to be acknowledged: a new octet, or an octet or none from below SND.UNA."""
    sent = peer.expect(within=within)
    assert sent.flags.replace("P", "") == "A" and len(sent.data) <= 1
    assert sent.seq == una if sent.data else sent.seq == una - 1
    return sent


@pytest.mark.req("9293-MUST-36", "9293-SHLD-29", "9293-SHLD-30", "9293-MUST-35")
def test_the_first_probe_after_an_rto_then_backing_off(bench: Bench, isn: int) -> None:
    peer = closed_window(bench, isn)
    rto = peer.connection.info().rto
    began = bench.now
    times = [began, *[probe(peer).at for _ in range(12)]]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert rto <= waits[0] <= 2 * rto
    assert all(later == min(2 * earlier, 60 * SECOND) for earlier, later in itertools.pairwise(waits))


@pytest.mark.req("9293-MUST-37", "9293-SHLD-30")
def test_a_connection_lives_while_its_probes_are_answered(bench: Bench) -> None:
    peer = closed_window(bench)
    probes = 0
    while bench.now < 24 * HOUR:
        probe(peer)
        probes += 1
        bench.elapse(100 * MILLISECOND)
        peer.send("A", ack=2001, window=0)
    assert peer.state == "ESTABLISHED" and probes < 24 * 3600 / 50
    peer.send("A", ack=2001, window=2000)
    assert next((each.seq, len(each.data)) for each in peer.take()) == (2001, MSS)


@pytest.mark.req("9293-MUST-20", "9293-MUST-36")
def test_unanswered_probes_end_in_the_user_timeout() -> None:
    bench = Bench(TcpConfig(user_timeout=120 * SECOND))
    peer = closed_window(bench)
    bench.elapse(400 * SECOND)
    assert peer.state == "CLOSED" and isinstance(peer.error, TimeoutError)


@pytest.mark.req("9293-MUST-36")
def test_the_transfer_goes_on_though_the_window_update_was_lost(bench: Bench, isn: int) -> None:
    """The answer to a probe tells of the window, whether or not the peer took the probe's octet."""
    peer = closed_window(bench, isn)
    sent = probe(peer)
    peer.send("A", ack=sent.end if sent.data else 2001, window=5000)
    octets = {at for each in peer.take() for at in range(each.seq, each.end)}
    assert set(range(sent.end if sent.data else 2001, 5001)) <= octets


@pytest.mark.req("9293-MUST-36")
def test_a_probes_octet_that_was_not_taken_comes_again(bench: Bench) -> None:
    peer = closed_window(bench)
    probe(peer)
    probe(peer)
    peer.send("A", ack=2001, window=5000)
    assert peer.take()[0].seq == 2001


@pytest.mark.req("2525-2.12", "9293-MUST-35")
def test_a_window_that_closes_over_what_is_in_flight(bench: Bench) -> None:
    """The timer that retransmits must go on as one that probes (RFC 2525 2.12: deadlock)."""
    peer = established(bench, mss=MSS, window=3000)
    peer.write(8000)
    peer.take()
    peer.send("A", ack=1001, window=0)
    peer.strict = False
    sent = peer.expect("A", within=60 * SECOND)
    assert 1000 <= sent.seq <= 1001
    peer.send("A", ack=1001, window=4000)
    bench.elapse(60 * SECOND)
    octets = {at for each in peer.take() for at in range(each.seq, each.end)}
    assert 1001 in octets


@pytest.mark.req("9293-MUST-36", "9293-3.10.4-CLOSE-ESTAB")
def test_a_fin_waits_for_the_window_and_is_probed_for(bench: Bench) -> None:
    peer = closed_window(bench, length=0)
    peer.shutdown()
    bench.elapse(10 * SECOND)
    sent = peer.take()
    assert sent  # the FIN itself, or a probe
    peer.send("A", ack=2001, window=1000)
    bench.elapse(60 * SECOND)
    assert any("F" in each.flags and each.seq == 2001 for each in [*sent, *peer.take()])


@pytest.mark.req("9293-MUST-36")
def test_text_that_is_written_while_the_window_is_closed_is_probed_for(bench: Bench) -> None:
    peer = closed_window(bench, length=0)
    peer.expect_nothing(for_=100 * SECOND)
    peer.write(10)
    probe(peer)


# Keep-alive

ALIVE = TcpConfig(keep_alive=True)
QUICK = TcpConfig(keep_alive=True, keep_alive_idle=10 * SECOND, keep_alive_interval=5 * SECOND, keep_alive_probes=4)


def keep_alive(peer: Peer, within: int) -> Sent:
    sent = peer.expect("A", within=within)
    assert (sent.seq, sent.data) == (peer.seen - 1, b"")  # SEG.SEQ = SND.NXT - 1, no text (SHLD-12)
    return sent


@pytest.mark.req("9293-MUST-25")
def test_an_idle_connection_says_nothing_by_default(bench: Bench) -> None:
    peer = established(bench)
    peer.expect_nothing(for_=48 * HOUR)
    assert peer.state == "ESTABLISHED"


@pytest.mark.req("9293-MUST-24", "9293-MUST-28", "9293-SHLD-12", "2525-2.11", "9293-MAY-5")
def test_by_default_the_first_probe_comes_after_two_hours(isn: int) -> None:
    bench = Bench()
    listener = bench.listen(config=ALIVE)
    plain = bench.listen(81)
    peer = Peer(bench, isn=isn, port=1001).handshake(listener)
    other = Peer(bench, isn=isn, port=1002, local_port=81).handshake(plain)
    peer.expect_nothing(for_=2 * HOUR - SECOND)
    keep_alive(peer, 2 * SECOND)
    other.expect_nothing(for_=HOUR)


@pytest.mark.req("9293-MUST-27", "9293-SHLD-12")
def test_the_idle_time_is_configurable() -> None:
    bench = Bench(QUICK)
    peer = established(bench)
    began = bench.now
    assert keep_alive(peer, HOUR).at - began == 10 * SECOND


@pytest.mark.req("9293-MUST-29", "2525-2.9")
def test_one_unanswered_probe_is_not_the_end() -> None:
    bench = Bench(QUICK)
    peer = established(bench)
    first = keep_alive(peer, HOUR).at
    second = keep_alive(peer, HOUR)
    assert second.at - first == 5 * SECOND and peer.state == "ESTABLISHED"
    peer.send("A")
    answered = bench.now
    assert keep_alive(peer, HOUR).at - answered == 10 * SECOND


@pytest.mark.req("9293-MUST-29", "2525-2.9")
def test_many_unanswered_probes_are() -> None:
    bench = Bench(QUICK)
    peer = established(bench)
    for _ in range(4):
        keep_alive(peer, HOUR)
    bench.elapse(6 * SECOND)
    assert peer.state == "CLOSED" and isinstance(peer.error, TimeoutError)


@pytest.mark.req("9293-MUST-26")
def test_what_arrives_postpones_the_probe() -> None:
    bench = Bench(QUICK)
    peer = established(bench)
    for _ in range(5):
        peer.expect_nothing(for_=9 * SECOND)
        peer.send("PA", data=10)
        peer.expect("A", within=SECOND // 2)
    began = bench.now
    assert 9 * SECOND <= keep_alive(peer, HOUR).at - began <= 10 * SECOND


@pytest.mark.req("9293-MUST-26")
def test_no_probe_while_text_is_in_flight() -> None:
    bench = Bench(QUICK)
    peer = established(bench)
    peer.write(100)
    bench.elapse(60 * SECOND)
    assert all(each.data for each in peer.take())


@pytest.mark.req("9293-SHLD-12", "9293-3.10.7.4-seq-6")
@pytest.mark.parametrize("length", [0, 1])
def test_a_peers_keep_alive_is_answered(bench: Bench, isn: int, length: int) -> None:
    peer = established(bench, isn=isn)
    peer.send("PA", data=10)
    bench.elapse(SECOND // 2)
    peer.take()
    peer.send("A", seq=10, data=b"?" * length)
    peer.expect("A", seq=1, ack=11, data=0)
