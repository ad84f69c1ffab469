"""Peers that want to use up what we have: connections, memory, time (sockstress, SegmentSmack and their like)."""

import pytest

from stack.addresses import ipv4
from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.transport.tcp.memory import RESERVE
from stack.transport.tcp.states import State
from stack.wire.tcp_options import TcpOptions
from tests.hostile.remote import ACK, FIN, PSH, RST, SCALED, SYN, Remote
from tests.hostile.scene import MALLORY, PORT, Scene


def used(scene: Scene) -> int:
    return scene.server.buffered


def held(scene: Scene) -> int:
    """Octets of text in the buffers of all connections, counted one by one."""
    connections = scene.server.connections()
    return sum(len(each.sender.buffer) + len(each.receiver.buffer) for each in connections)


def many(scene: Scene, count: int, **syn) -> list[Remote]:
    listener = scene.server.listen(PORT, scene.now)
    return [Remote(scene, listener, 2000 + n % 5000, source=MALLORY + n // 5000, **syn) for n in range(count)]


# Memory


def test_a_thousand_connections_whose_peers_never_read_hold_what_the_host_allows() -> None:
    """The application would write a megabyte to each."""
    limit = 8 << 20
    scene = Scene(tcp=TcpConfig(memory_limit=limit, send_buffer=1 << 20, initial_send_buffer=1 << 20))
    peers = many(scene, 1000, window=0)
    for peer in peers:
        assert scene.server.write(peer.connection, bytes(1 << 20), scene.now) >= 0
    assert used(scene) == held(scene) <= limit + 1000 * RESERVE
    for peer in peers:
        assert len(peer.connection.sender.buffer) >= RESERVE  # nobody is left without
        scene.server.abort(peer.connection, scene.now)
    assert used(scene) == 0


def test_a_thousand_connections_that_nobody_reads_hold_what_the_host_allows() -> None:
    """Each peer sends all that it was promised; nothing of it is acknowledged that is not kept."""
    limit = 8 << 20
    scene = Scene(tcp=TcpConfig(memory_limit=limit))
    peers = many(scene, 1000)
    for peer in peers:
        scene.attack([peer.frame(ACK | PSH, seq=1 + at, data=bytes(1400)) for at in range(0, 60_000, 1400)])
    assert limit * 9 // 10 < used(scene) == held(scene) <= limit + 1000 * RESERVE
    assert scene.server.counters["TcpRcvQDropOctets"]
    for peer in peers:
        kept = len(peer.connection.receiver.buffer)
        assert kept >= RESERVE
        [answer] = peer.say(ACK | PSH, seq=70_000, data=b"x")
        assert peer.ack_of(answer) == 1 + kept


def test_text_dropped_for_want_of_memory_comes_again() -> None:
    scene = Scene(tcp=TcpConfig(memory_limit=100_000))
    hog, peer = many(scene, 2)
    scene.server.write(hog.connection, bytes(100_000), scene.now)
    text = bytes(range(256)) * 30
    scene.attack([peer.frame(ACK | PSH, seq=1 + at, data=text[at : at + 1000]) for at in range(0, len(text), 1000)])
    kept = scene.server.read(peer.connection, 1 << 20, scene.now)
    assert kept == text[:RESERVE]
    scene.server.abort(hog.connection, scene.now)
    scene.attack([peer.frame(ACK | PSH, seq=1 + at, data=text[at : at + 1000]) for at in range(0, len(text), 1000)])
    assert kept + scene.server.read(peer.connection, 1 << 20, scene.now) == text


def test_no_window_is_opened_further_while_memory_is_tight() -> None:
    scene = Scene(tcp=TcpConfig(memory_limit=400_000, receive_buffer=60_000, initial_send_buffer=1 << 20))
    hog, peer = many(scene, 2)
    scene.attack([peer.frame(ACK | PSH, seq=1 + at, data=bytes(1000)) for at in range(0, 30_000, 1000)])
    [promised] = peer.say(ACK | PSH, seq=1, data=b"x")
    scene.server.write(hog.connection, bytes(300_000), scene.now)  # three quarters of it
    scene.server.read(peer.connection, 20_000, scene.now)
    [now] = peer.say(ACK | PSH, seq=1, data=b"x")
    assert (peer.ack_of(now), now.window) == (peer.ack_of(promised), promised.window)
    scene.server.read(peer.connection, 20_000, scene.now)
    scene.server.abort(hog.connection, scene.now)
    [now] = peer.say(ACK | PSH, seq=1, data=b"x")
    assert now.window > promised.window + 20_000


def test_a_reader_gets_on_though_others_hold_everything() -> None:
    """With one reserve a round trip: a window of that size is offered again and again."""
    scene = Scene(tcp=TcpConfig(memory_limit=100_000))
    hog, peer = many(scene, 2)
    scene.server.write(hog.connection, bytes(100_000), scene.now)
    at, promised = 1, 1 + 65_535
    for _ in range(200):
        for answer in peer.say(ACK | PSH, seq=at, data=bytes(1000)):
            assert answer.window <= 65_535
        at += len(scene.server.read(peer.connection, 1 << 20, scene.now))
    assert at == 200_001 > promised


@pytest.mark.req("2018-12", "2018-14", "2018-15")
def test_what_arrived_out_of_order_goes_first_the_oldest_before_all() -> None:
    scene = Scene(tcp=TcpConfig(memory_limit=1 << 20, initial_send_buffer=1 << 20))
    first, second, third, hog = many(scene, 4, options=SCALED)
    for peer in (first, second, third):
        peer.say(ACK | PSH, seq=1401, data=b"later")
        assert peer.connection.receiver.has_gap
    before = used(scene)
    assert before > 3 * 100_000  # the room for what may come in between is what is counted
    room = (1 << 20) - before
    scene.server.write(hog.connection, bytes(room), scene.now)
    third.say(ACK | PSH, seq=1, data=b"in order")
    assert [each.connection.receiver.has_gap for each in (first, second, third)] == [False, True, True]
    assert scene.server.counters["TcpExtOfoPruned"] == 1 and used(scene) <= 1 << 20
    first.say(ACK | PSH, seq=1, data=bytes(1400))
    assert first.connection.readable == 1400  # the rest has to come again
    first.say(ACK | PSH, seq=1401, data=b"later")
    assert scene.server.read(first.connection, 4000, scene.now) == bytes(1400) + b"later"


def test_gaps_of_a_thousand_connections_are_bounded() -> None:
    """One octet out of order each, for which we keep room for a whole window."""
    limit = 4 << 20
    scene = Scene(tcp=TcpConfig(memory_limit=limit))
    peers = many(scene, 1000)
    for peer in peers:
        peer.say(ACK | PSH, seq=60_000, data=b"x")
    assert limit // 2 < used(scene) <= limit
    assert sum(each.connection.receiver.has_gap for each in peers) < 30
    assert peers[-1].connection.receiver.has_gap
    for peer in peers:
        scene.server.abort(peer.connection, scene.now)
    assert used(scene) == 0


def test_nothing_is_counted_that_is_not_held_any_more() -> None:
    """Through every way in which a connection ends, with text in every place."""
    scene = Scene()
    peers = many(scene, 6)
    for peer in peers:
        scene.server.write(peer.connection, bytes(2920), scene.now)
        peer.say(ACK | PSH, seq=1, data=bytes(100))
        peer.say(ACK | PSH, seq=201, data=bytes(100))
    aborted, closed, reset, read, silent, finished = peers
    scene.server.abort(aborted.connection, scene.now)
    scene.server.close(closed.connection, scene.now)
    reset.say(RST, seq=101)
    assert len(scene.server.read(read.connection, 1 << 20, scene.now)) == 100
    read.say(ACK, seq=101, ack=2921)
    scene.server.close(read.connection, scene.now)
    finished.say(ACK | PSH | FIN, seq=101, ack=2921, data=bytes(200))
    scene.server.shutdown(finished.connection, scene.now)
    finished.say(ACK, seq=302, ack=2922)
    assert finished.connection.state is State.CLOSED and finished.connection.readable == 300
    scene.after(2000 * SECOND)
    assert silent.connection.state is State.CLOSED
    assert used(scene) == held(scene) == 0
    assert len(scene.server.read(finished.connection, 1 << 20, scene.now)) == 300 and used(scene) == 0


# Time


@pytest.mark.req("6429-1")
def test_who_never_opens_its_window_is_let_go_once_nobody_holds_the_connection() -> None:
    """Though it answers every probe (sockstress)."""
    scene = Scene(tcp=TcpConfig(orphan_timeout=100 * SECOND))
    [peer] = many(scene, 1, window=0)
    scene.server.write(peer.connection, bytes(1000), scene.now)
    scene.server.close(peer.connection, scene.now)
    closed_at = scene.now
    while peer.connection.state is not State.CLOSED and scene.now < closed_at + 200 * SECOND:
        for _probe in scene.after(SECOND):
            peer.say(ACK)
    assert 95 * SECOND < scene.now - closed_at < 105 * SECOND and scene.server.counters["TcpOrphansAborted"] == 1


@pytest.mark.req("6429-1")
def test_who_acknowledges_an_octet_a_minute_is_let_go_too() -> None:
    scene = Scene(tcp=TcpConfig(orphan_timeout=100 * SECOND, orphan_lifetime=600 * SECOND))
    [peer] = many(scene, 1, window=1)
    scene.server.write(peer.connection, bytes(1000), scene.now)
    scene.server.close(peer.connection, scene.now)
    minutes = 0
    while peer.connection.state is not State.CLOSED and minutes < 20:
        minutes += 1
        scene.after(60 * SECOND)
        peer.say(ACK, ack=1 + minutes)
    assert minutes == 10 and scene.server.counters["TcpOrphansAborted"] == 1


@pytest.mark.req("6429-1", "9293-MUST-37")
def test_an_application_may_end_what_a_closed_window_keeps_open() -> None:
    scene = Scene()
    [peer] = many(scene, 1, window=0)
    scene.server.write(peer.connection, bytes(1000), scene.now)
    for _ in range(60):
        for _probe in scene.after(60 * SECOND):
            peer.say(ACK)
    assert peer.connection.state is State.ESTABLISHED and scene.server.counters["TcpExtTCPWinProbe"] > 60
    scene.server.abort(peer.connection, scene.now)
    [reset] = scene.after(SECOND)
    assert reset.flags & RST


# Numbers


def test_connections_are_bounded() -> None:
    """In both directions, and what is dropped can come again."""
    scene = Scene(tcp=TcpConfig(connection_limit=10))
    listener = scene.server.listen(PORT, scene.now)
    peers = [Remote(scene, listener, 2000 + n) for n in range(10)]
    with pytest.raises(OSError, match="10 connections already"):
        scene.server.connect(ipv4("198.51.100.1"), 80, scene.now)
    late = peers[0].segment(SYN, seq=0)
    late.src_port = 3000
    [answer] = scene.ask(late)
    completing = peers[0].segment(ACK)
    completing.src_port, completing.ack = 3000, answer.seq + 1
    assert scene.ask(completing) == [] and scene.server.counters["TcpConnectionOverflows"] == 1
    assert len(list(scene.server.connections())) == 10
    scene.server.abort(peers[0].connection, scene.now)
    scene.ask(completing)
    assert scene.server.accept(listener).key.remote_port == 3000


def test_orphans_are_bounded_and_the_oldest_goes_first() -> None:
    scene = Scene(tcp=TcpConfig(orphan_limit=5))
    peers = many(scene, 12, window=0)
    for peer in peers:
        scene.server.write(peer.connection, bytes(100), scene.now)
        scene.server.close(peer.connection, scene.now)
    assert [each.connection.state for each in peers] == [State.CLOSED] * 7 + [State.FIN_WAIT_1] * 5
    assert scene.server.counters["TcpOrphanOverflows"] == 7


def test_a_connection_that_ends_in_time_is_no_orphan_any_more() -> None:
    scene = Scene(tcp=TcpConfig(orphan_limit=2))
    for peer in many(scene, 10):
        scene.server.close(peer.connection, scene.now)
        peer.say(ACK | FIN, ack=2)
    assert scene.server.counters["TcpOrphanOverflows"] == 0
    assert scene.server.states() == {State.TIME_WAIT: 10}


# Tiny segments


def test_ten_thousand_octets_out_of_order_one_by_one() -> None:
    """Every second one of 20,000 octets (SegmentSmack): holes are bounded, and each answer costs the same."""
    scene = Scene(tcp=TcpConfig(out_of_order_ranges=128))
    [peer] = many(scene, 1)
    scene.attack([peer.frame(ACK | PSH, seq=3 + 2 * n, data=b"x") for n in range(10_000)])
    counters = scene.server.counters
    assert counters["TcpExtTCPOFOQueue"] == 128 and counters["TcpExtTCPOFODrop"] == 9_872
    peer.say(ACK | PSH, seq=1, data=bytes(2))
    peer.say(ACK | PSH, seq=4, data=bytes(1))
    assert peer.connection.readable == 5


def test_text_octet_by_octet_costs_an_octet_each() -> None:
    scene = Scene()
    [peer] = many(scene, 1)
    scene.attack([peer.frame(ACK | PSH, seq=1 + n, data=b"x") for n in range(10_000)])
    assert used(scene) == 10_000
    assert scene.server.read(peer.connection, 1 << 20, scene.now) == b"x" * 10_000


def test_a_silly_mss_does_not_cut_text_to_pieces() -> None:
    """An MSS of 1 would have us send a header for every octet (Linux: tcp_min_snd_mss)."""
    scene = Scene()
    [peer] = many(scene, 1, options=TcpOptions(mss=1))
    sent = scene.written(peer.connection, bytes(480))
    assert [len(each.payload) for each in sent] == [48] * 10


def test_a_window_of_one_octet_does_not_either() -> None:
    """Silly window avoidance: a window of 1 gets nothing at once, and what the persist timer sends then."""
    scene = Scene()
    [peer] = many(scene, 1, window=1)
    assert scene.written(peer.connection, bytes(1000)) == [] or len(peer.connection.sender.buffer) == 1000
    sent = scene.after(100 * MILLISECOND)
    assert sum(len(each.payload) for each in sent) <= 1
