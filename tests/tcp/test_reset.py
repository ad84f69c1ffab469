"""Resets: their form, whom they reach, RFC 5961 section 3 to 5, and the ABORT call (RFC 9293 3.5.2, 3.5.3, 3.10.5)."""

from contextlib import suppress

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from tests.tcp.harness import SYNCHRONIZED, Bench, Peer, established, rcv_nxt, reach, snd_nxt, stream

OPEN = ("ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT")
CLOSING = ("CLOSING", "LAST_ACK", "TIME_WAIT")


def rows(prefix: str, states: tuple[str, ...]) -> list[object]:
    short = {"ESTABLISHED": "ESTAB", "SYN_RECEIVED": "SYN-RCVD", "SYN_SENT": "SYN-SENT"}
    return [
        pytest.param(each, marks=pytest.mark.req(prefix + short.get(each, each.replace("_", "-")))) for each in states
    ]


@pytest.mark.req("9293-3.10.7.4-rst-2", "5961-1", "9293-MUST-12", "9293-3.5.3-rst-valid")
@pytest.mark.parametrize("flags", ["R", "RA"])
@pytest.mark.parametrize("state", rows("9293-3.10.7.4-rst-", OPEN))
def test_an_exact_reset_ends_the_connection(bench: Bench, isn: int, state: str, flags: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.send(flags, seq=rcv_nxt(state))
    peer.expect_nothing(for_=200 * SECOND)
    assert peer.state == "CLOSED" and not peer.exists()
    assert isinstance(peer.error, ConnectionError)
    if state != "CLOSE_WAIT":
        with pytest.raises(ConnectionResetError):
            peer.read()
    if state in ("ESTABLISHED", "CLOSE_WAIT"):
        with pytest.raises(OSError):
            peer.write(1)


def test_a_reset_in_close_wait_is_a_broken_pipe(bench: Bench) -> None:
    """3.10.7.4 has one signal for ESTABLISHED to CLOSE-WAIT; who writes into a pipe that has gone expects EPIPE."""
    peer = reach("CLOSE_WAIT", bench)
    peer.send("R", seq=2)
    assert isinstance(peer.error, BrokenPipeError)


@pytest.mark.parametrize("state", rows("9293-3.10.7.4-rst-", ("CLOSING", "LAST_ACK")))
def test_an_exact_reset_in_the_last_states(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.send("R", seq=2)
    peer.expect_nothing(for_=200 * SECOND)
    assert peer.state == "CLOSED" and not peer.exists()


@pytest.mark.req("9293-3.10.7.4-rst-TIME-WAIT", "9293-3.10.7.4-rst-3")
def test_a_reset_in_time_wait_must_be_exact(bench: Bench, isn: int) -> None:
    """RFC 1337's F1 (ignore it) is not chosen; RFC 5961's exactness keeps old duplicates harmless."""
    peer = reach("TIME_WAIT", bench, isn=isn)
    peer.send("R", seq=3)
    peer.expect("A", seq=2, ack=2, data=0)
    assert peer.state == "TIME_WAIT"
    peer.send("R", seq=2)
    peer.expect_nothing()
    assert not peer.exists()


@pytest.mark.req("9293-SHLD-2")
def test_a_reset_with_text(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.send("R", data=b"the reason, in 20 ch")
    peer.expect_nothing()
    assert peer.state == "CLOSED" and isinstance(peer.error, ConnectionResetError)


@pytest.mark.req("9293-SHLD-2", "9293-3.10.7.4-seq-5")
def test_a_reset_with_text_at_a_closed_window(isn: int) -> None:
    """3.10.7.4: at a window of zero "special allowance should be made to accept valid ACKs, URGs, and RSTs"."""
    peer = established(Bench(TcpConfig(receive_buffer=1000)), isn=isn)
    peer.send("A", data=1000)
    peer.bench.elapse(SECOND)
    assert peer.take()[-1].window == 0
    peer.send("R", seq=1001, data=b"the reason")
    peer.expect_nothing()
    assert peer.state == "CLOSED" and isinstance(peer.error, ConnectionResetError)


@pytest.mark.req("9293-3.10.7.4-rst-ESTAB")
@pytest.mark.parametrize("what", ["a FIN", "what a gap has waited for"])
def test_a_connection_that_is_over_acknowledges_nothing(bench: Bench, isn: int, what: str) -> None:
    """What came before the reset, in the same batch, would have brought an acknowledgment at its end."""
    peer = established(bench, isn=isn)
    with bench.batch():
        if what == "a FIN":
            peer.send("FA")
        else:
            peer.send("A", seq=101, data=100)
            peer.send("A", seq=1, data=100)
        peer.send("R", seq=2 if what == "a FIN" else 201)
    bench.elapse(SECOND)
    assert peer.state == "CLOSED" and not bench.strays
    assert [each.ack for each in peer.take()] == [] if what == "a FIN" else [1]


@pytest.mark.req("9293-3.10.7.4-rst-1", "5961-3", "9293-3.10.7.4-seq-7", "9293-3.5.3-rst-valid")
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_reset_outside_of_the_window_is_dropped_in_silence(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    window = peer.connection.info().receive_window
    for offset in (-1, -1000, window, window + 1, 1 << 31):
        peer.send("R", seq=rcv_nxt(state) + offset)
        peer.expect_nothing()
    assert peer.state == state


@pytest.mark.req("9293-3.10.7.4-rst-3", "5961-2")
@pytest.mark.parametrize("offset", [1, 2, 32768, 65534])
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_reset_in_the_window_is_challenged(bench: Bench, isn: int, state: str, offset: int) -> None:
    peer = reach(state, bench, isn=isn)
    offset = min(offset, peer.connection.info().receive_window - 1)
    peer.send("R", seq=rcv_nxt(state) + offset)
    peer.expect("A", seq=snd_nxt(state), ack=rcv_nxt(state), data=0)
    assert peer.state == state
    peer.send("R", seq=rcv_nxt(state))  # what a peer that really has no connection answers the challenge with
    peer.expect_nothing()
    assert not peer.exists()


@pytest.mark.req("9293-3.10.7.4-rst-3", "5961-2")
def test_a_reset_in_the_window_in_syn_received(bench: Bench, isn: int) -> None:
    peer = reach("SYN_RECEIVED", bench, isn=isn)
    peer.send("R", seq=2)
    peer.expect("A", seq=1, ack=1, data=0)
    assert peer.state == "SYN_RECEIVED"


@pytest.mark.req("5961-5")
@pytest.mark.parametrize("flags", ["S", "SA"])
@pytest.mark.parametrize("offset", [-1, 0, 1, 40000, 1 << 31])
@pytest.mark.parametrize("state", rows("9293-3.10.7.4-syn-", SYNCHRONIZED[:-1]))
def test_a_syn_in_a_synchronized_state_is_challenged(
    bench: Bench, isn: int, state: str, offset: int, flags: str
) -> None:
    """Whatever its sequence number, and its text is not taken (RFC 5961 4.2)."""
    peer = reach(state, bench, isn=isn)
    peer.send(flags, seq=rcv_nxt(state) + offset, ack=1, data=b"x" * 10)
    peer.expect("A", seq=snd_nxt(state), ack=rcv_nxt(state), data=0)
    peer.expect_nothing()
    assert peer.state == state and peer.connection.readable == 0


def challenged(peer: Peer, forged: int) -> int:
    """How many of so many forged resets within an instant are answered."""
    peer.strict = False
    for _ in range(forged):
        peer.send("R", seq=100)
    return len(peer.take())


@pytest.mark.req("5961-7", "5961-8")
def test_challenges_are_limited_and_the_limit_is_a_connections_own() -> None:
    """A limit that all connections share tells an off-path attacker which one is being challenged (CVE-2016-5696)."""
    bench = Bench(TcpConfig(challenge_acks_per_second=5))
    listener = bench.listen()
    first = Peer(bench, port=1001).handshake(listener)
    second = Peer(bench, port=1002).handshake(listener)
    assert challenged(first, 1000) == 5
    assert challenged(second, 1000) == 5
    bench.elapse(1100 * MILLISECOND)
    assert challenged(first, 1000) == 5
    assert first.state == second.state == "ESTABLISHED"


# The ABORT call


@pytest.mark.parametrize("state", rows("9293-3.10.5-ABORT-", ("SYN_RECEIVED", *OPEN)))
def test_abort_sends_a_reset(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn, active=True)
    if state in ("ESTABLISHED", "CLOSE_WAIT"):
        peer.write(100)
        peer.expect(data=100)
    nxt = peer.seen
    peer.abort()
    reset = peer.expect(seq=nxt if state != "SYN_RECEIVED" else 1, data=0)
    assert "R" in reset.flags and "F" not in reset.flags and "S" not in reset.flags
    peer.expect_nothing(for_=200 * SECOND)
    assert peer.state == "CLOSED" and not peer.exists()
    with pytest.raises(OSError):
        peer.write(1)


@pytest.mark.req("9293-3.10.5-ABORT-SYN-SENT")
def test_abort_in_syn_sent_sends_nothing(bench: Bench) -> None:
    peer = reach("SYN_SENT", bench)
    peer.abort()
    peer.expect_nothing(for_=200 * SECOND)
    assert peer.state == "CLOSED" and not peer.exists()
    peer.syn("SA", ack=1)
    peer.expect("R", seq=1)


@pytest.mark.parametrize("state", rows("9293-3.10.5-ABORT-", CLOSING))
def test_abort_in_the_last_states_deletes_the_record(bench: Bench, state: str) -> None:
    peer = reach(state, bench)
    peer.abort()
    assert peer.state == "CLOSED" and not peer.exists()
    peer.expect_nothing(for_=200 * SECOND)


@pytest.mark.req("9293-3.10.5-ABORT-CLOSED")
def test_abort_twice_sends_one_reset(bench: Bench) -> None:
    peer = established(bench)
    peer.abort()
    peer.expect()
    with suppress(OSError):  # "connection does not exist", or nothing at all: in no case a segment
        peer.abort()
    peer.expect_nothing(for_=SECOND)


@pytest.mark.req("9293-SHLD-3", "2525-2.17", "9293-MAY-1")
@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT"])
def test_close_with_unread_text_resets(bench: Bench, isn: int, state: str) -> None:
    peer = established(bench, isn=isn)
    peer.send("FA" if state == "CLOSE_WAIT" else "PA", data=50)
    bench.elapse(SECOND // 2)
    peer.take()
    peer.close()
    reset = peer.expect(seq=1)
    assert "R" in reset.flags
    peer.expect_nothing(for_=200 * SECOND)
    assert not peer.exists()


@pytest.mark.req("9293-SHLD-3", "2525-2.16", "9293-MAY-1")
@pytest.mark.parametrize("acknowledged", [False, True])
def test_text_after_close_is_answered_with_a_reset(bench: Bench, isn: int, acknowledged: bool) -> None:
    peer = established(bench, isn=isn)
    peer.close()
    peer.expect("FA", seq=1)
    if acknowledged:
        peer.send("A")
        assert peer.state == "FIN_WAIT_2"
    peer.send("PA", ack=2 if acknowledged else 1, data=50)
    reset = peer.expect()
    assert "R" in reset.flags and reset.seq == 2
    peer.expect_nothing(for_=200 * SECOND)
    assert not peer.exists()


@pytest.mark.req("9293-3.10.7.1-ack", "9293-3.5.2-rst-sync")
def test_after_a_reset_the_connection_is_unknown(bench: Bench) -> None:
    peer = established(bench)
    peer.abort()
    peer.expect()
    peer.send("A", seq=1, ack=1, data=10)
    peer.expect("R", seq=1)


@pytest.mark.req("9293-3.5.2-rst-unclear", "9293-MUST-3")
def test_a_damaged_segment_is_not_answered(bench: Bench) -> None:
    """To no port, to a listener and to a connection: damaged segments say nothing about whose they are."""
    peer = established(bench)
    for port in (peer.port, 555):
        stranger = peer if port == peer.port else Peer(bench, port=port, local_port=9)
        for at in (0, 5, 9, 13, 15, 20):
            stranger.send("A", seq=1, ack=1, data=stream(0, 10), damage=lambda octets, at=at: flip(octets, at))
            stranger.expect_nothing()
    assert bench.strays == [] and peer.connection.readable == 0
    assert bench.host.counters["TcpInCsumErrors"] == 12


def flip(octets: bytes, at: int) -> bytes:
    return octets[:at] + bytes((octets[at] ^ 0x10,)) + octets[at + 1 :]
