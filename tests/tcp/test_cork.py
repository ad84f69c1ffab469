"""Corking: less than a segment waits, as with Linux's TCP_CORK, for 200 ms at most."""

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from tests.tcp.harness import Bench, Peer, established

MSS = 1460


def cork(peer: Peer, on: bool = True) -> None:
    peer.bench.host.cork(peer.connection, on, peer.bench.now)
    peer.bench.collect()


@pytest.fixture(params=[True, False], ids=["Nagle", "no delay"])
def peer(request: pytest.FixtureRequest) -> Peer:
    peer = established(Bench(TcpConfig(nagle=request.param, pacing=False)))
    peer.strict = False
    cork(peer)
    return peer


def test_text_waits_until_the_cork_is_out(peer: Peer) -> None:
    peer.write(100)
    peer.expect_nothing(for_=150 * MILLISECOND)
    peer.write(100)
    peer.expect_nothing(for_=40 * MILLISECOND)
    cork(peer, False)
    assert peer.expect("PA", data=200).seq == 1
    peer.write(10)  # in flight are 200: Nagle's rule holds again
    assert len(peer.take()) == peer.connection.nodelay


def test_for_two_hundred_milliseconds_at_most(peer: Peer) -> None:
    began = peer.bench.now
    for round_ in range(3):
        peer.write(100)
        sent = peer.expect("PA", data=100, within=SECOND)
        assert sent.at - began == 200 * MILLISECOND, round_
        peer.send("A")
        began = peer.bench.now  # the cork is still in


def test_whole_segments_go(peer: Peer) -> None:
    peer.write(MSS - 1)
    peer.expect_nothing()
    peer.write(MSS + 1)
    assert [len(each.data) for each in peer.take()] == [MSS, MSS]
    peer.write(MSS + 1)
    assert [len(each.data) for each in peer.take()] == [MSS]
    peer.send("A")
    peer.expect_nothing(for_=190 * MILLISECOND)
    assert peer.expect("PA", data=1, within=20 * MILLISECOND)


def test_what_is_in_flight_being_acknowledged_changes_nothing(peer: Peer) -> None:
    peer.write(MSS + 100)
    peer.expect("A", data=MSS)
    peer.send("A")
    peer.expect_nothing(for_=190 * MILLISECOND)


def test_an_acknowledgment_does_not_wait(peer: Peer) -> None:
    peer.write(10)
    peer.send("PA", data=10)
    assert peer.expect("A", ack=11, data=0, within=100 * MILLISECOND)


def test_a_fin_takes_what_waits_along(peer: Peer) -> None:
    peer.write(100)
    peer.expect_nothing()
    peer.shutdown()
    peer.expect("FPA", data=100)


def test_a_closed_window_is_probed_once_the_cork_is_out(peer: Peer) -> None:
    peer.send("A", window=0)
    peer.write(100)
    peer.bench.elapse(150 * MILLISECOND)
    assert peer.take() == []
    cork(peer, False)
    assert peer.expect("PA", data=1, within=2 * SECOND)  # the octet of a probe


def test_a_fin_behind_a_closed_window_has_it_probed(peer: Peer) -> None:
    peer.send("A", window=0)
    peer.write(100)
    began = peer.bench.now
    peer.shutdown()
    probe = peer.expect("PA", data=1, within=2 * SECOND)
    assert probe.at - began == peer.connection.info().rto  # and not 200 ms later, by the cork's timer


def test_without_the_cork_nothing_is_different(peer: Peer) -> None:
    cork(peer, False)
    cork(peer, False)
    peer.write(10)
    peer.expect("PA", data=10)


def test_nothing_is_left_when_the_connection_ends(peer: Peer) -> None:
    peer.write(100)
    peer.abort()
    peer.take()
    peer.expect_nothing(for_=SECOND)
