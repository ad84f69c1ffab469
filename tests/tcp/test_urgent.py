"""Urgent data (RFC 9293 3.8.5, RFC 6093): delivered in line, and announced in both directions."""

import pytest

from stack.clock import SECOND
from stack.config import TcpConfig
from stack.events import READABLE, URGENT
from tests.tcp.harness import FIN_RECEIVED, Bench, Peer, established, reach, snd_nxt, stream


@pytest.mark.req("9293-MUST-31")
@pytest.mark.parametrize("urgent", [0, 1, 5, 10, 11, 65535])
def test_urgent_octets_stay_in_line(bench: Bench, isn: int, urgent: int) -> None:
    """Wherever the pointer points (RFC 6093 section 5), none of the ten octets goes missing."""
    peer = established(bench, isn=isn)
    peer.send("PAU", data=10, urgent=urgent)
    peer.expect("A", ack=11, within=SECOND // 2)
    peer.send("PA", data=10)
    assert peer.read() == stream(0, 20)


@pytest.mark.req("9293-MUST-31")
def test_urgent_data_longer_than_a_window() -> None:
    bench = Bench(TcpConfig(receive_buffer=4096))
    peer = established(bench)
    peer.strict = False
    got = b""
    for at in range(0, 20_000, 1000):
        peer.send("AU", seq=1 + at, data=1000, urgent=20_000 - at)
        got += peer.read()
    assert got == stream(0, 20_000)


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(each, marks=pytest.mark.req("9293-3.10.7.4-urg-" + each.replace("_", "-")))
        for each in sorted(FIN_RECEIVED)
    ],
)
def test_urgent_is_ignored_after_the_peers_fin(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    bench.host.take_events()
    peer.send("AU", seq=2, ack=snd_nxt(state) if state == "TIME_WAIT" else 1, urgent=5)
    assert peer.state == state and bench.host.take_events() == []
    assert peer.connection.readable == 0


@pytest.mark.req("9293-MUST-66")
def test_urgent_at_a_closed_window_is_no_harm() -> None:
    bench = Bench(TcpConfig(receive_buffer=2048))
    peer = established(bench)
    peer.strict = False
    peer.send("A", data=1024)
    peer.send("A", data=1024)
    peer.take()
    peer.send("AU", data=b"", urgent=1)
    assert peer.state == "ESTABLISHED" and peer.read() == stream(0, 2048)


# What arrives


def events(peer: Peer) -> int:
    kinds = 0
    for _, each in peer.bench.host.take_events():
        kinds |= each
    return kinds


@pytest.mark.req("9293-MUST-30", "9293-MUST-32", "9293-MUST-33")
@pytest.mark.parametrize(
    "state",
    [
        pytest.param(each, marks=pytest.mark.req("9293-3.10.7.4-urg-" + name))
        for each, name in {"ESTABLISHED": "ESTAB", "FIN_WAIT_1": "FIN-WAIT-1", "FIN_WAIT_2": "FIN-WAIT-2"}.items()
    ],
)
def test_the_user_is_told_when_the_pointer_appears_and_when_it_advances(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.strict = False
    ack = 1 if state == "FIN_WAIT_1" else snd_nxt(state)
    events(peer)
    connection = peer.connection
    assert connection.urgent_left == 0
    peer.send("AU", data=10, urgent=15, ack=ack)  # five of them are still to come
    assert events(peer) == URGENT | READABLE and connection.urgent_left == 15
    peer.send("AU", data=5, urgent=5, ack=ack)  # the same end: nothing new
    assert events(peer) == READABLE and connection.urgent_left == 15
    peer.send("AU", seq=1, data=10, urgent=10, ack=ack)  # an old one, once more
    assert events(peer) == 0 and connection.urgent_left == 15
    peer.send("AU", data=5, urgent=4, ack=ack)
    assert events(peer) == URGENT | READABLE and connection.urgent_left == 19
    assert peer.read() == stream(0, 20) and connection.urgent_left == 0
    peer.send("AU", seq=11, data=10, urgent=9, ack=ack)  # has been read
    assert events(peer) == 0 and connection.urgent_left == 0
    peer.send("AU", data=1, urgent=1, ack=ack)
    assert events(peer) == URGENT | READABLE and connection.urgent_left == 1


@pytest.mark.req("9293-MUST-33")
def test_how_much_is_urgent_falls_as_it_is_read(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.strict = False
    peer.send("FAU", data=10, urgent=7)
    for left in (7, 4, 1, 0, 0):
        assert peer.connection.urgent_left == left
        bench.host.read(peer.connection, 3, bench.now)


@pytest.mark.req("9293-MUST-32", "9293-MUST-66")
def test_at_a_closed_window_the_user_is_told() -> None:
    bench = Bench(TcpConfig(receive_buffer=2048))
    peer = established(bench)
    peer.strict = False
    peer.send("A", data=1024)
    peer.send("A", data=1024)
    events(peer)
    peer.send("AU", urgent=100)
    assert events(peer) == URGENT and peer.connection.urgent_left == 2148


@pytest.mark.req("9293-MUST-32")
def test_what_was_urgent_before_the_connection_was_accepted(bench: Bench) -> None:
    listener = bench.listen()
    peer = Peer(bench)
    peer.strict = False
    peer.syn()
    peer.send("A")
    peer.send("AU", data=3, urgent=2)
    bench.host.take_events()
    peer.connection = bench.host.accept(listener)
    assert events(peer) == URGENT | READABLE and peer.connection.urgent_left == 2


# What is sent


def write_urgently(peer: Peer, data: bytes) -> int:
    taken: int = peer.bench.host.write(peer.connection, data, peer.bench.now, urgent=True)
    peer.bench.collect()
    return taken


@pytest.mark.req("9293-MUST-30", "9293-MUST-62")
@pytest.mark.parametrize(
    "state",
    [
        pytest.param("ESTABLISHED", marks=pytest.mark.req("9293-3.10.2-SEND-ESTAB-urg")),
        pytest.param("CLOSE_WAIT", marks=pytest.mark.req("9293-3.10.2-SEND-CLOSE-WAIT-urg")),
    ],
)
def test_the_pointer_names_the_octet_after_the_urgent_ones(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.strict = False
    peer.write(b"abc")
    peer.expect("PA", seq=1)
    peer.send("A")
    write_urgently(peer, b"hurry")
    assert peer.expect("PAU", seq=4, data=b"hurry").urgent == 5
    bench.elapse(2 * SECOND)
    again = peer.take()
    assert again and all((each.flags, each.urgent) == ("PAU", 5) for each in again)
    peer.send("A", ack=9)
    peer.write(b"more")
    assert peer.expect("PA", seq=9).urgent == 0


@pytest.mark.req("9293-MUST-62", "9293-MUST-31")
@pytest.mark.parametrize("length", [1, 1460, 1461, 5000, 80_000])
def test_every_segment_that_begins_before_the_end_has_the_pointer(length: int) -> None:
    bench = Bench(TcpConfig(pacing=False))
    peer = established(bench, wscale=7)
    peer.strict = False
    assert write_urgently(peer, bytes(length)) == length
    bench.host.write(peer.connection, bytes(3000), bench.now)
    sent = []
    while sum(len(each.data) for each in sent) < length + 3000:
        bench.elapse(SECOND // 100)
        sent += peer.take()
        peer.send("A")
    end = 1 + length
    for each in sent:
        assert ("U" in each.flags) == (each.urgent > 0) == (each.seq < end)
        if 0 < end - each.seq <= 0xFFFF:
            assert each.seq + each.urgent == end
        assert not each.urgent or each.seq + each.urgent <= end
    assert max(each.urgent for each in sent) == min(length, 0xFFFF)


@pytest.mark.req("9293-MUST-30")
def test_it_is_said_even_where_the_octets_have_to_wait(bench: Bench) -> None:
    peer = established(bench)
    peer.strict = False
    peer.send("A", window=0)
    write_urgently(peer, b"hurry")
    assert peer.expect("AU", seq=1, data=0).urgent == 5
    peer.send("A", window=1000)
    assert peer.expect("PAU", seq=1, data=b"hurry").urgent == 5


def test_only_what_is_taken_is_urgent() -> None:
    bench = Bench(TcpConfig(send_buffer=1000, pacing=False))
    peer = established(bench)
    peer.strict = False
    assert write_urgently(peer, bytes(3000)) == 1000
    assert peer.expect("PAU", data=bytes(1000)).urgent == 1000
    assert write_urgently(peer, bytes(1)) == 0
    peer.expect_nothing()
