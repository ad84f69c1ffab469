"""Listening: backlog, coexistence with connections, and what closing does to those that wait (RFC 9293 3.9.1.1)."""

import pytest

from stack.addresses import ipv4
from stack.clock import SECOND
from stack.config import TcpConfig
from stack.events import ACCEPTABLE, CLOSED, ESTABLISHED, READABLE
from tests.tcp.harness import LOCAL, Bench, Peer, established


def handshake(bench: Bench, port: int) -> Peer:
    """The peer's half of a handshake, not accepted."""
    peer = Peer(bench, port=port)
    peer.syn()
    peer.expect("SA", seq=0, ack=1)
    peer.send("A")
    return peer


@pytest.mark.req("9293-3.10.1-OPEN-CLOSED-passive", "9293-3.10.7.2-fill")
def test_connections_are_accepted_in_order(bench: Bench) -> None:
    listener = bench.listen()
    for port in (1003, 1001, 1002):
        handshake(bench, port)
    assert (listener, ACCEPTABLE) in bench.host.take_events()
    accepted = [bench.host.accept(listener) for _ in range(4)]
    assert [each and each.key.remote_port for each in accepted] == [1003, 1001, 1002, None]


@pytest.mark.req("9293-MUST-41", "9293-MUST-42")
def test_a_listener_beside_connections_of_its_port(bench: Bench) -> None:
    """RFC 9293 3.9.1.1: a passive OPEN affects no connection record, and LISTEN goes with SYN-SENT and SYN-RECEIVED."""
    first = established(bench)
    active = bench.connect(4242, local_port=80)
    active.expect("S")
    half = Peer(bench, port=1001)
    half.syn()
    half.expect("SA")
    listener = bench.listen(81)
    second = handshake(bench, 1002)
    first.send("PA", data=5)
    first.expect("A", ack=6, within=SECOND // 2)
    active.syn("SA")
    active.expect("A", seq=1, ack=1)
    half.send("A")
    states = sorted(each.state.name for each in bench.host.connections())
    assert states == ["ESTABLISHED"] * 4 and second.exists()
    bench.host.close_listener(listener, bench.now)


@pytest.mark.req("9293-3.10.1-OPEN-CLOSED-denied", "9293-MUST-41")
def test_a_second_listener_on_the_same_socket_is_refused(bench: Bench) -> None:
    listener = bench.listen()
    with pytest.raises(OSError):
        bench.listen()
    Peer(bench).handshake(listener)


@pytest.mark.req("9293-MUST-43")
def test_a_listener_may_have_an_address(bench: Bench) -> None:
    listener = bench.listen(address=LOCAL)
    Peer(bench).handshake(listener)
    with pytest.raises(OSError):
        bench.listen(82, address=ipv4("10.9.0.99"))


def test_the_backlog_is_bounded(bench: Bench) -> None:
    """A SYN beyond it is not answered (Linux): the peer tries again, and later finds room."""
    listener = bench.listen(backlog=4)
    answered = 0
    for port in range(1000, 1100):
        peer = Peer(bench, port=port)
        peer.syn()
        if peer.take():
            answered += 1
            peer.send("A")
    assert answered == 4
    assert bench.host.counters["TcpExtListenOverflows"] == 96
    while bench.host.accept(listener):
        pass
    Peer(bench, port=2000).handshake(listener)


@pytest.mark.req("9293-3.10.4-CLOSE-LISTEN")
def test_after_close_a_syn_is_reset(bench: Bench) -> None:
    listener = bench.listen()
    held = Peer(bench, port=1001).handshake(listener)
    bench.host.close_listener(listener, bench.now)
    bench.collect()
    peer = Peer(bench, port=1002)
    peer.syn()
    peer.expect("RA", seq=0, ack=1)
    held.send("PA", data=5)  # what was accepted lives
    assert len(held.read()) == 5
    bench.listen()


@pytest.mark.req("9293-3.10.5-ABORT-LISTEN", "9293-3.10.4-CLOSE-LISTEN")
def test_closing_a_listener_resets_those_that_wait(bench: Bench) -> None:
    listener = bench.listen()
    waiting = handshake(bench, 1001)
    half = Peer(bench, port=1002)
    half.syn()
    half.expect("SA")
    bench.host.close_listener(listener, bench.now)
    bench.collect()
    assert "R" in waiting.expect(seq=1).flags
    bench.elapse(300 * SECOND)
    assert all("R" in each.flags for each in half.take())
    assert list(bench.host.connections()) == []


def test_a_connection_that_is_reset_before_it_is_accepted(bench: Bench) -> None:
    """Whatever accept() then says, it does not hand out a working connection, and the place is free again."""
    listener = bench.listen(backlog=1)
    peer = handshake(bench, 1001)
    peer.send("R", seq=1)
    connection = bench.host.accept(listener)
    assert connection is None or connection.state.name == "CLOSED"
    Peer(bench, port=1002).handshake(listener)


@pytest.mark.req("9293-3.10.3-RECEIVE-LISTEN")
def test_text_that_arrives_before_accept_is_kept(bench: Bench) -> None:
    listener = bench.listen()
    peer = handshake(bench, 1001)
    peer.send("PA", data=100)
    bench.elapse(SECOND // 2)
    peer.take()
    peer.connection = bench.host.accept(listener)
    assert len(peer.read()) == 100


def test_events_of_a_passive_and_an_active_open(bench: Bench) -> None:
    listener = bench.listen()
    handshake(bench, 1001)
    bench.host.take_events()
    connection = bench.host.accept(listener)
    peer = next(each for each in bench.peers if each.port == 1001)
    peer.connection = connection
    peer.send("PA", data=5)
    assert bench.host.take_events() == [(connection, READABLE)]
    active = bench.connect(81)
    active.expect("S")
    active.syn("SA")
    events = {id(subject): kinds for subject, kinds in bench.host.take_events()}
    assert events[id(active.connection)] & ESTABLISHED
    active.expect("A")
    active.send("R", seq=1)
    events = {id(subject): kinds for subject, kinds in bench.host.take_events()}
    assert events[id(active.connection)] & CLOSED


@pytest.mark.req("9293-MUST-45")
def test_a_connection_has_the_listeners_configuration(bench: Bench) -> None:
    listener = bench.listen(config=TcpConfig(receive_buffer=5000))
    peer = Peer(bench)
    peer.syn()
    assert peer.expect("SA").window == 5000
    assert listener is not None


@pytest.mark.req("9293-MUST-13")
def test_the_number_of_time_waits_is_bounded() -> None:
    bench = Bench(TcpConfig(time_wait_limit=5))
    listener = bench.listen()
    for port in range(1001, 1011):
        peer = Peer(bench, port=port).handshake(listener)
        peer.close()
        peer.expect("FA")
        peer.send("FA")
        peer.expect("A")
    assert [key.remote_port for key in bench.host.resting()] == [1006, 1007, 1008, 1009, 1010]  # the oldest made room
    assert bench.host.counters["TcpExtTCPTimeWaitOverflow"] == 5 and not list(bench.host.connections())


def test_a_port_that_is_reserved_refuses_until_it_is_listened_on(bench: Bench) -> None:
    listener = bench.listen()
    listener.is_reserved = True
    early = Peer(bench, port=1001)
    early.syn()
    early.expect("RA", ack=1)
    with pytest.raises(OSError, match="listened on already"):
        bench.listen()
    listener.is_reserved = False
    handshake(bench, 1002)
