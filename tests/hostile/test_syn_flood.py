"""SYN floods: the SYN queue, SYN cookies, and who gets through all the same (RFC 4987)."""

import random
import tracemalloc
from functools import partial

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.events import WRITABLE
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.states import State
from stack.virtual.link import LinkProfile
from stack.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, Segment
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions
from tests.hostile.scene import MALLORY, MASK, PORT, SERVER, Scene, segment_frame

ALL_OPTIONS = TcpOptions(mss=1460, window_scale=7, sack_permitted=True, ts_val=1000, ts_ecr=0)
LIFETIME = 128 * SECOND  # of a cookie, at most


def syn(port: int = 1024, seq: int = 7, options: TcpOptions = ALL_OPTIONS, flags: int = SYN) -> Segment:
    return Segment(port, PORT, seq, 0, flags, 65535, b"", options)


def spoofed_syns(count: int, seed: int = 4987) -> list[bytes]:
    """SYNs from anywhere, as from nobody."""
    dice = random.Random(seed)
    frames = []
    for _ in range(count):
        source = dice.randrange(0x0B00_0000, 0x7E00_0000)
        frames.append(segment_frame(syn(dice.randrange(1024, 65536), dice.getrandbits(32)), source))
    return frames


def in_flood(**tcp) -> Scene:
    """A server whose SYN queue is full."""
    scene = Scene(tcp=TcpConfig(**{"syn_backlog": 4, **tcp}))
    scene.listener = scene.server.listen(PORT, scene.now)
    scene.attack(spoofed_syns(scene.server.config.tcp.syn_backlog))
    return scene


def cookie_for(scene: Scene, **syn_fields) -> Segment:
    [answer] = scene.ask(syn(**syn_fields))
    assert answer.flags & (SYN | ACK | RST) == SYN | ACK
    assert scene.server.counters["TcpExtSyncookiesSent"]
    return answer


def ack_of(answer: Segment, seq: int = 8, data: bytes = b"", **fields) -> Segment:
    """The peer's answer to a SYN-ACK; with time stamps where that has them."""
    options = NO_OPTIONS
    if answer.options.ts_val is not None:
        options = TcpOptions(ts_val=1001, ts_ecr=answer.options.ts_val)
    values = {"ack": (answer.seq + 1) & MASK, "flags": ACK, "options": options, **fields}
    return Segment(
        values.get("port", answer.dst_port), PORT, seq, values["ack"], values["flags"], 500, data, values["options"]
    )


class Downloads:
    """The server's application: whoever connects gets `data`."""

    def __init__(self, scene: Scene, data: bytes) -> None:
        self.host, self.data = scene.server, data
        self.listener = self.host.listen(PORT, scene.now)
        self.listener.handler = self.on_listener

    def on_listener(self, kinds: int, now: int) -> None:
        while (connection := self.host.accept(self.listener)) is not None:
            connection.application = memoryview(self.data)
            connection.handler = partial(self.on_connection, connection)
            connection.handler(WRITABLE, now)

    def on_connection(self, connection: Connection, kinds: int, now: int) -> None:
        while connection.application and (taken := self.host.write(connection, connection.application, now)):
            connection.application = connection.application[taken:]
        if not connection.application:
            self.host.close(connection, now)


class Download:
    """The client's."""

    def __init__(self, scene: Scene) -> None:
        self.host = scene.client
        self.data = bytearray()
        self.connection = self.host.connect(SERVER, PORT, scene.now)
        self.connection.handler = self.on_connection
        scene.network.settle()

    def on_connection(self, kinds: int, now: int) -> None:
        while self.connection.readable:
            self.data += self.host.read(self.connection, 1 << 16, now)


@pytest.mark.req("4987-1", "4987-3")
def test_downloads_go_on_through_a_flood_of_100_000_syns() -> None:
    """One that was open before the flood, and one that is opened in the midst of it."""
    scene = Scene(LinkProfile(delay=5 * MILLISECOND, rate=20_000_000))
    data = random.Random(1).randbytes(4 << 20)
    Downloads(scene, data)
    before = Download(scene)
    scene.run(100 * MILLISECOND)
    assert 0 < len(before.data) < len(data)
    frames = spoofed_syns(10_000)
    for tenth in range(10):
        scene.attack(frames)
        if tenth == 2:
            during = Download(scene)
        scene.run(50 * MILLISECOND)
        assert len(list(scene.server.half_open())) <= 1024
        assert len(list(scene.server.connections())) <= 2
    scene.run(10 * SECOND)
    assert before.data == data and during.data == data
    assert scene.server.counters["TcpExtSyncookiesSent"] > 80_000
    assert scene.server.counters["TcpExtSyncookiesRecv"] == 1
    info = during.connection.info()
    assert info.timestamps and info.sack and info.send_window_shift and info.receive_window_shift
    scene.run(100 * SECOND)
    assert not list(scene.server.half_open())


@pytest.mark.req("4987-1")
def test_a_flood_does_not_grow_memory() -> None:
    scene = in_flood(syn_backlog=64)
    first, then = spoofed_syns(1000, seed=1), spoofed_syns(5000, seed=2)
    scene.attack(first)
    tracemalloc.start()
    try:
        scene.attack(first)
        before = tracemalloc.get_traced_memory()[0]
        scene.attack(then)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000  # 20 octets for a SYN


@pytest.mark.req("4987-2")
def test_a_half_open_connection_is_small() -> None:
    scene = Scene(tcp=TcpConfig(syn_backlog=2000))
    scene.listener = scene.server.listen(PORT, scene.now)
    first, then = spoofed_syns(300, seed=1), spoofed_syns(1500, seed=2)
    scene.attack(first)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        scene.attack(then)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(list(scene.server.half_open())) == 1800 and not list(scene.server.connections())
    assert grown / 1500 < 1200  # octets; a connection has several thousand


@pytest.mark.req("4987-5")
def test_a_flood_is_forgotten() -> None:
    scene = in_flood(syn_backlog=50)
    answers = scene.after(62 * SECOND)
    assert len(answers) == 50 * 5 and len(list(scene.server.half_open())) == 50
    scene.after(2 * SECOND)
    assert not list(scene.server.half_open()) and not list(scene.server.connections())
    assert scene.server.deadline() is None or scene.server.deadline() > scene.now + 3600 * SECOND  # no timer is left
    assert scene.server.counters["TcpAttemptFails"] == 50


# Cookies


@pytest.mark.req("4987-3", "4987-4")
def test_a_cookie_brings_the_options_back_in_the_time_stamp() -> None:
    scene = in_flood()
    answer = cookie_for(scene, flags=SYN | ECE | CWR)
    assert answer.flags & ECE and answer.options.sack_permitted and answer.options.window_scale is not None
    assert answer.options.ts_ecr == ALL_OPTIONS.ts_val and answer.ack == 8
    assert not list(scene.server.connections())
    scene.ask(ack_of(answer))
    connection = scene.server.accept(scene.listener)
    info = connection.info()
    assert info.state is State.ESTABLISHED and info.timestamps and info.sack and info.ecn
    assert info.send_window_shift == 7 and info.send_window == 500 << 7
    assert info.receive_window_shift == answer.options.window_scale
    assert info.mss == 1460 - 12 and info.srtt is None
    assert scene.server.counters["TcpExtSyncookiesRecv"] == 1
    assert scene.server.counters["TcpPassiveOpens"] == 4 + 1


@pytest.mark.req("4987-4")
@pytest.mark.parametrize("shift", [None, 0, 7, 14])
@pytest.mark.parametrize("sack", [True, False])
@pytest.mark.parametrize("ecn", [True, False])
def test_only_the_options_that_were_offered_come_back(shift: int | None, sack: bool, ecn: bool) -> None:
    scene = in_flood()
    options = TcpOptions(mss=1460, window_scale=shift, sack_permitted=sack, ts_val=1)
    answer = cookie_for(scene, options=options, flags=SYN | (ECE | CWR if ecn else 0))
    scene.ask(ack_of(answer))
    info = scene.server.accept(scene.listener).info()
    assert (info.sack, info.ecn) == (sack, ecn) == (answer.options.sack_permitted, bool(answer.flags & ECE))
    assert info.send_window == 500 << (shift or 0)
    assert (answer.options.window_scale is None) == (shift is None)


@pytest.mark.req("4987-4")
def test_without_time_stamps_a_cookie_carries_the_mss_only() -> None:
    scene = in_flood()
    offered = TcpOptions(mss=1400, window_scale=7, sack_permitted=True)
    answer = cookie_for(scene, options=offered, flags=SYN | ECE | CWR)
    assert answer.options == TcpOptions(mss=1460) and not answer.flags & ECE
    scene.ask(ack_of(answer))
    info = scene.server.accept(scene.listener).info()
    assert not (info.timestamps or info.sack or info.ecn) and info.send_window == 500 and info.mss == 1400


@pytest.mark.req("4987-3")
@pytest.mark.parametrize(
    ("offered", "taken"), [(1460, 1460), (1459, 1440), (9000, 8960), (65535, 8960), (536, 536), (535, 48), (1, 48)]
)
def test_the_mss_is_rounded_down(offered: int, taken: int) -> None:
    """But never below what we send at least, whatever a peer says."""
    scene = in_flood()
    scene.ask(ack_of(cookie_for(scene, options=TcpOptions(mss=offered))))
    connection = scene.server.accept(scene.listener)
    assert connection.peer_mss == taken and connection.info().mss == min(taken, 1460)


def test_without_an_mss_option_a_cookie_stands_for_536() -> None:
    scene = in_flood()
    scene.ask(ack_of(cookie_for(scene, options=NO_OPTIONS)))
    assert scene.server.accept(scene.listener).info().mss == 536


def test_the_time_stamp_of_a_cookie_is_not_ahead_of_the_clock() -> None:
    """RFC 7323 5.2: what follows must not look older to the peer."""
    for moment in range(70):
        scene = in_flood()
        scene.network.now += moment * MILLISECOND
        answer = cookie_for(scene)
        scene.ask(ack_of(answer))
        connection = scene.server.accept(scene.listener)
        [text] = scene.written(connection, b"at once")
        assert 0 <= (text.options.ts_val - answer.options.ts_val) & MASK < 64


@pytest.mark.req("4987-3")
def test_text_may_bring_the_cookie_when_the_ack_is_lost() -> None:
    scene = in_flood()
    answer = cookie_for(scene)
    scene.ask(ack_of(answer, data=b"GET /", flags=ACK | PSH))
    assert scene.server.read(scene.server.accept(scene.listener), 100, scene.now) == b"GET /"


@pytest.mark.req("4987-3")
@pytest.mark.parametrize("bit", range(32))
def test_a_forged_ack_is_refused(bit: int) -> None:
    """Whichever bit is wrong, of the cookie or of what it is bound to."""
    scene = in_flood()
    answer = cookie_for(scene)
    forged = [
        (ack_of(answer, ack=(answer.seq + 1 ^ 1 << bit) & MASK), MALLORY),
        (ack_of(answer, seq=8 ^ 1 << bit), MALLORY),
        (ack_of(answer, port=answer.dst_port ^ 1 << bit % 16), MALLORY),
        (ack_of(answer), MALLORY ^ 1 << bit % 24),
    ]
    for segment, source in forged:
        [reset] = scene.ask(segment, source)
        assert reset.flags & RST and reset.seq == segment.ack
    assert not list(scene.server.connections())
    assert scene.server.counters["TcpExtSyncookiesFailed"] == 4 and not scene.server.counters["TcpNoConnection"]
    assert scene.ask(ack_of(answer)) == [] and len(list(scene.server.connections())) == 1


@pytest.mark.req("4987-3")
@pytest.mark.parametrize(
    ("age", "good"),
    [(0, True), (63 * SECOND, True), (LIFETIME, False), (LIFETIME + SECOND, False), (520 * SECOND, False)],
)
def test_a_cookie_does_not_live_for_ever(age: int, good: bool) -> None:
    scene = in_flood()
    answer = cookie_for(scene)
    scene.after(age)
    scene.attack(spoofed_syns(5, seed=7))  # the flood goes on
    [*reset] = scene.ask(ack_of(answer))
    assert bool(list(scene.server.connections())) == good == (not reset)


@pytest.mark.req("4987-3")
def test_cookies_are_believed_only_while_there_are_any_out() -> None:
    """Who has got one in a flood cannot use it in the peace before, or long after."""
    scene = in_flood()
    answer = cookie_for(scene)
    peace = Scene()
    peace.server.listen(PORT, peace.now)
    [reset] = peace.ask(ack_of(answer))
    assert reset.flags & RST and peace.server.counters["TcpNoConnection"] == 1
    assert not peace.server.counters["TcpExtSyncookiesFailed"]
    scene.after(LIFETIME + 1)
    [reset] = scene.ask(ack_of(answer))
    assert reset.flags & RST and scene.server.counters["TcpNoConnection"] == 1


def test_a_reset_or_a_syn_that_bears_a_cookie_is_none() -> None:
    scene = in_flood()
    answer = cookie_for(scene)
    assert scene.ask(ack_of(answer, flags=RST | ACK)) == []
    [reset] = scene.ask(ack_of(answer, flags=SYN | ACK))
    assert reset.flags & RST
    assert not list(scene.server.connections())


def test_a_listener_without_a_flood_sends_no_cookies() -> None:
    scene = Scene(tcp=TcpConfig(syn_backlog=100))
    scene.server.listen(PORT, scene.now)
    scene.attack(spoofed_syns(100))
    assert scene.server.counters["TcpExtSyncookiesSent"] == 0
    scene.attack(spoofed_syns(1, seed=3))
    assert scene.server.counters["TcpExtSyncookiesSent"] == 1


def test_who_sends_more_than_a_syn_counts_against_the_same_bound() -> None:
    """SYNs followed by an ACK of nothing: each costs a whole connection, and there are no more of these either."""
    scene = Scene(tcp=TcpConfig(syn_backlog=10))
    scene.server.listen(PORT, scene.now)
    for port in range(2000, 2050):
        scene.ask(syn(port))
        scene.ask(Segment(port, PORT, 8, 12345, ACK, 500))
    assert len(list(scene.server.connections())) == 10
    assert scene.server.counters["TcpExtSyncookiesSent"] == 40
    scene.after(64 * SECOND)
    assert not list(scene.server.connections())


def test_the_same_syn_again_is_answered_with_the_same_number() -> None:
    scene = Scene(tcp=TcpConfig(syn_backlog=10))
    scene.server.listen(PORT, scene.now)
    answers = [scene.ask(syn()) for _ in range(5)]
    assert len({answer.seq for [answer] in answers}) == 1
    assert len(list(scene.server.half_open())) == 1 and not list(scene.server.connections())
    assert scene.server.counters["TcpPassiveOpens"] == 1 and scene.server.counters["TcpRetransSegs"] == 4


# The accept queue


def test_a_full_accept_queue_lets_nobody_finish_and_nobody_fail() -> None:
    """Linux: the ACK that completes a handshake is dropped; the repeated SYN-ACK brings it again."""
    scene = Scene()
    listener = scene.server.listen(PORT, scene.now, backlog=1)
    answers = [scene.ask(syn(port))[0] for port in (3001, 3002)]
    assert scene.ask(ack_of(answers[0])) == []
    assert scene.ask(ack_of(answers[1])) == []  # no reset
    assert scene.server.counters["TcpExtListenOverflows"] == 1 and listener.acceptable == 1
    assert scene.ask(syn(3003)) == [] and scene.server.counters["TcpExtListenOverflows"] == 2
    assert scene.server.accept(listener).key.remote_port == 3001
    again = [answer for answer in scene.after(SECOND) if answer.flags & SYN]
    assert [each.dst_port for each in again] == [3002] and again[0].seq == answers[1].seq
    scene.ask(ack_of(again[0]))
    assert scene.server.accept(listener).key.remote_port == 3002


def test_text_that_comes_while_the_accept_queue_is_full_is_sent_again_not_lost() -> None:
    scene = Scene()
    listener = scene.server.listen(PORT, scene.now, backlog=1)
    answers = [scene.ask(syn(port))[0] for port in (3001, 3002)]
    scene.ask(ack_of(answers[0]))
    text = ack_of(answers[1], data=b"patience", flags=ACK | PSH)
    assert scene.ask(text) == []
    scene.server.accept(listener)
    scene.ask(text)
    assert scene.server.read(scene.server.accept(listener), 100, scene.now) == b"patience"


def test_a_cookie_that_comes_back_to_a_full_accept_queue_is_kept_by_the_peer() -> None:
    scene = in_flood()
    scene.listener.backlog = 1
    first, second = (cookie_for(scene, port=port) for port in (3001, 3002))
    scene.ask(ack_of(first))
    assert scene.ask(ack_of(second)) == [] and scene.server.counters["TcpExtListenOverflows"] == 1
    scene.server.accept(scene.listener)
    scene.ask(ack_of(second))
    assert scene.server.accept(scene.listener).key.remote_port == 3002


def test_peers_that_nobody_accepts_are_bounded() -> None:
    """1,000 of them, who do all that a real one would: an application that has stopped costs so much and no more."""
    scene = Scene()
    scene.server.listen(PORT, scene.now, backlog=20)
    for port in range(2000, 3000):
        for answer in scene.ask(syn(port)):
            scene.ask(ack_of(answer))
    assert len(list(scene.server.connections())) == 20 and not list(scene.server.half_open())
    assert scene.server.counters["TcpExtListenOverflows"] == 980


def test_closing_a_listener_leaves_nothing_of_a_flood() -> None:
    scene = in_flood(syn_backlog=50)
    answer = cookie_for(scene)
    scene.server.close_listener(scene.listener, scene.now)
    assert not list(scene.server.half_open())
    [reset] = scene.ask(ack_of(answer))
    assert reset.flags & RST and not reset.flags & FIN
    assert scene.after(100 * SECOND) == []
