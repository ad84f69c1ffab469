"""close(linger=...): SO_LINGER (RFC 9293 3.9.1.4 leaves open how long CLOSE may take)."""

import errno

import pytest

from stack.clock import SECOND
from stack.config import TcpConfig
from stack.events import CLOSED
from tests.tcp.harness import Bench, Peer, reach


class Lingering:
    """A connection whose application has closed it; `told` is what it has heard since, and when."""

    def __init__(self, state: str = "ESTABLISHED", linger: int | None = 10 * SECOND, text: int = 100) -> None:
        self.bench = Bench(TcpConfig(pacing=False))
        self.peer: Peer = reach(state, self.bench)
        self.peer.strict = False
        if text:
            self.peer.write(text)
        self.bench.host.take_events()
        self.told: list[tuple[int, int]] = []
        self.peer.connection.handler = lambda kinds, now: self.told.append((kinds, now))
        self.bench.host.close(self.peer.connection, self.bench.now, linger)
        self.bench.collect()
        self.dispatch()

    def dispatch(self) -> list[int]:
        self.bench.host.dispatch(self.bench.now)
        return [kinds for kinds, _ in self.told]


def test_zero_resets_and_forgets_what_was_not_sent() -> None:
    closed = Lingering(linger=0)
    sent = closed.peer.take()
    assert sent[-1].flags == "RA" and closed.peer.state == "CLOSED"
    assert closed.dispatch() == []


@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT"])
def test_the_end_is_told_when_everything_is_acknowledged(state: str) -> None:
    closed = Lingering(state)
    closed.peer.take()
    closed.bench.elapse(5 * SECOND)
    assert closed.dispatch() == []
    closed.peer.send("A", ack=101)  # not the FIN
    assert closed.dispatch() == []
    closed.peer.send("A", ack=102)
    assert closed.dispatch() == [CLOSED] and closed.peer.connection.error is None
    closed.bench.elapse(500 * SECOND)
    assert closed.dispatch() == [CLOSED] and closed.peer.state == "CLOSED"


def test_a_fin_that_comes_with_the_last_acknowledgment() -> None:
    closed = Lingering()
    closed.peer.send("FA", ack=102)
    assert closed.peer.state == "TIME_WAIT" and closed.dispatch() == [CLOSED]


@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT"])
def test_when_the_time_is_over_it_is_reset(state: str) -> None:
    closed = Lingering(state)
    closed.bench.elapse(9 * SECOND)
    closed.peer.send("A", ack=50)  # progress does not prolong it
    closed.bench.elapse(1 * SECOND)
    assert closed.dispatch() == [CLOSED] and closed.peer.state == "CLOSED"
    assert closed.peer.error is not None and closed.peer.error.errno == errno.ECONNABORTED
    assert (closed.peer.take()[-1].flags == "RA") == (state == "ESTABLISHED")


def test_a_reset_of_the_peers_is_told() -> None:
    closed = Lingering()
    closed.peer.send("RA")
    assert closed.dispatch() == [CLOSED]


def test_without_it_nobody_is_told_and_it_takes_as_long_as_it_takes() -> None:
    closed = Lingering(linger=None)
    closed.bench.elapse(50 * SECOND)
    assert closed.peer.exists
    closed.peer.send("A", ack=102)
    assert closed.dispatch() == []


def test_what_the_peer_had_sent_in_vain_resets_at_once() -> None:
    bench = Bench(TcpConfig(pacing=False))
    peer = reach("ESTABLISHED", bench)
    peer.strict = False
    peer.send("PA", data=5)
    bench.host.close(peer.connection, bench.now, linger=10 * SECOND)
    bench.collect()
    assert peer.take()[-1].flags == "RA" and peer.state == "CLOSED"


def test_nothing_to_wait_for() -> None:
    closed = Lingering("FIN_WAIT_2", text=0)
    assert closed.dispatch() == [] and closed.peer.state == "FIN_WAIT_2"
