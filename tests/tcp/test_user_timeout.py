"""The user timeout option (RFC 5482), and what of it is local (RFC 9293 3.9.1.8)."""

import errno
from typing import Any

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.wire.tcp_options import TcpOptions, build, parse
from tests.tcp.harness import Bench, Peer, established

HOUR = 3600 * SECOND


def heeding(**config: Any) -> Bench:
    return Bench(TcpConfig(user_timeout_option=True, pacing=False, **config))


def advise(peer: Peer, seconds: int, **fields: Any) -> None:
    peer.send("A", options=TcpOptions(user_timeout=seconds), **fields)


def gives_up_after(peer: Peer) -> int:
    """Seconds from an unanswered write to the end."""
    began = peer.bench.now
    peer.strict = False
    peer.write(10)
    while peer.connection.state.name == "ESTABLISHED":
        peer.bench.elapse(SECOND)
    assert peer.error is not None and peer.error.errno == errno.ETIMEDOUT
    return (peer.bench.now - began) // SECOND


@pytest.mark.req("5482-7")
@pytest.mark.parametrize(
    ("seconds", "octets"),
    [(1, "1c040001"), (600, "1c040258"), (32767, "1c047fff"), (32820, "1c048223"), (60 * 32767, "1c04ffff")],
)
def test_kind_28_of_four_octets_in_seconds_or_in_minutes(seconds: int, octets: str) -> None:
    assert build(TcpOptions(user_timeout=seconds)) == bytes.fromhex(octets)
    assert parse(bytes.fromhex(octets)) == TcpOptions(user_timeout=seconds)


@pytest.mark.req("5482-7")
@pytest.mark.parametrize("octets", ["1c030101", "1c0600010101", "1c05000101"])
def test_of_another_length_it_is_another_option(octets: str) -> None:
    assert parse(bytes.fromhex(octets).ljust(8, b"\x01")).user_timeout is None


@pytest.mark.parametrize(("timeout", "said"), [(SECOND // 2, 1), (1500 * MILLISECOND, 2), (10 * HOUR, 36000)])
def test_what_is_said_is_rounded_up(timeout: int, said: int) -> None:
    bench = heeding(user_timeout=timeout)
    bench.connect(local_port=50000)
    assert bench.peers[0].expect("S").options.user_timeout == said


@pytest.mark.req("5482-2")
@pytest.mark.parametrize("active", [False, True], ids=["passive", "active"])
def test_it_is_in_the_syn_and_in_the_first_segment_after_it(active: bool) -> None:
    bench = heeding(user_timeout=500 * SECOND)
    if active:
        peer = bench.connect(local_port=50000)
        assert peer.expect("S").options.user_timeout == 500
        peer.syn("SA", mss=1000)
    else:
        listener = bench.listen()
        peer = Peer(bench)
        peer.syn(mss=1000)
        assert peer.expect("SA").options.user_timeout == 500
        peer.send("A")
        peer.connection = bench.host.accept(listener)
        peer.write(2000)
    first = peer.expect()
    assert first.options.user_timeout == 500
    if not active:
        assert len(first.data) == 996  # the option is octets that text does not get (RFC 9293 MUST-16)
    peer.strict = False
    peer.take()
    peer.write(10)
    peer.send("A")
    assert all(each.options.user_timeout is None for each in peer.take())


def test_without_the_configuration_it_is_not_sent() -> None:
    peer = Bench().connect(local_port=50000)
    assert peer.expect("S").options.user_timeout is None
    peer.syn("SA")
    assert peer.expect("A").options.user_timeout is None


@pytest.mark.req("5482-3")
def test_without_the_configuration_it_is_ignored() -> None:
    peer = established(Bench(TcpConfig(user_timeout=120 * SECOND, pacing=False)))
    advise(peer, 600)
    assert 120 <= gives_up_after(peer) <= 121


@pytest.mark.req("5482-5", "5482-4", "5482-6")
@pytest.mark.parametrize(
    ("ours", "theirs", "adopted"),
    [
        (200, 300, 300),  # the longer one
        (300, 200, 300),
        (50, 60, 100),  # at least the lower limit
        (50, 1, 100),
        (200, 60 * 32767, 3600),  # at most the upper
        (200, 0, 200),  # not a timeout: ignored
    ],
)
def test_what_is_adopted(ours: int, theirs: int, adopted: int) -> None:
    peer = established(heeding(user_timeout=ours * SECOND))
    advise(peer, theirs)
    assert adopted <= gives_up_after(peer) <= adopted + 1


@pytest.mark.req("5482-5")
def test_it_is_adopted_from_a_syn_and_may_change_later() -> None:
    bench = heeding(user_timeout=150 * SECOND)
    peer = established(bench, options=TcpOptions(mss=1000, user_timeout=400))
    assert peer.connection.config.user_timeout == 400 * SECOND
    advise(peer, 170)
    assert peer.connection.config.user_timeout == 170 * SECOND
    peer.send("A")  # without the option nothing changes
    assert peer.connection.config.user_timeout == 170 * SECOND


@pytest.mark.req("5482-4")
def test_the_limits_are_configured() -> None:
    peer = established(heeding(user_timeout=10 * SECOND, user_timeout_limits=(20 * SECOND, 30 * SECOND)))
    for theirs, adopted in ((1, 20), (25, 25), (500, 30)):
        advise(peer, theirs)
        assert peer.connection.config.user_timeout == adopted * SECOND


@pytest.mark.req("5482-6")
def test_the_lower_limit_is_not_below_the_retransmission_timeout() -> None:
    limits = (1 * SECOND, 3600 * SECOND)
    peer = established(
        heeding(user_timeout=SECOND, user_timeout_limits=limits, initial_rto=50 * SECOND, minimum_rto=50 * SECOND)
    )
    advise(peer, 2)
    assert 50 * SECOND <= peer.connection.config.user_timeout < 51 * SECOND


@pytest.mark.req("5482-1")
def test_what_the_application_sets_stays_and_the_peer_is_told() -> None:
    bench = heeding()
    peer = established(bench)
    peer.connection.set_user_timeout(130 * SECOND, bench.now)
    bench.collect()
    assert peer.expect("A").options.user_timeout == 130
    advise(peer, 600)
    assert 130 <= gives_up_after(peer) <= 131


@pytest.mark.parametrize("before", [False, True])
def test_it_can_be_shortened_while_text_is_outstanding(before: bool) -> None:
    bench = Bench(TcpConfig(pacing=False))
    peer = established(bench)
    peer.strict = False
    if before:
        peer.connection.set_user_timeout(40 * SECOND, bench.now)
    began = bench.now
    peer.write(10)
    bench.elapse(20 * SECOND)
    peer.connection.set_user_timeout(25 * SECOND, bench.now)
    while peer.connection.state.name == "ESTABLISHED":
        bench.elapse(SECOND // 10)
    assert (bench.now - began) // SECOND == 25


@pytest.mark.req("5482-8")
def test_keep_alives_wait_for_longer_than_an_adopted_timeout() -> None:
    bench = heeding(keep_alive=True, keep_alive_idle=60 * SECOND, user_timeout=100 * SECOND)
    peer = established(bench)
    advise(peer, 1000)
    began = bench.now
    sent = peer.expect("A", seq=0, within=2 * HOUR)
    assert sent.at - began > 1000 * SECOND
