"""The user's calls in each state: OPEN, SEND, RECEIVE, CLOSE, STATUS (RFC 9293 3.10.1 to 3.10.4, 3.10.6)."""

from contextlib import suppress

import pytest

from stack.clock import SECOND
from stack.config import TcpConfig
from tests.tcp.harness import FIN_SENT, SYNCHRONIZED, Bench, Peer, established, reach, stream

ALL = ("SYN_SENT", "SYN_RECEIVED", *SYNCHRONIZED)
SHORT = {"ESTABLISHED": "ESTAB", "SYN_RECEIVED": "SYN-RCVD"}


def rows(prefix: str, states: tuple[str, ...]) -> list[object]:
    names = [(each, SHORT.get(each, each.replace("_", "-"))) for each in states]
    return [pytest.param(state, marks=pytest.mark.req(prefix + name)) for state, name in names]


# OPEN


@pytest.mark.parametrize("state", rows("9293-3.10.1-OPEN-", ALL))
def test_open_fails_when_the_connection_exists(bench: Bench, state: str) -> None:
    peer = reach(state, bench, active=True)
    with pytest.raises(OSError):
        bench.connect(peer.port, local_port=peer.local_port)
    bench.peers = [peer]
    bench.collect()
    peer.expect_nothing()
    assert peer.state == state
    assert [each.state.name for each in bench.host.connections()] == [state]


# SEND


@pytest.mark.req("9293-3.10.2-SEND-CLOSED")
def test_send_on_a_closed_connection(bench: Bench) -> None:
    peer = established(bench)
    peer.abort()
    peer.take()
    with pytest.raises(OSError):
        peer.write(1)
    peer.expect_nothing()


@pytest.mark.req("9293-3.10.2-SEND-SYN-SENT")
@pytest.mark.parametrize("length", [1, 2920])
def test_send_in_syn_sent_waits_for_established(bench: Bench, isn: int, length: int) -> None:
    peer = reach("SYN_SENT", bench, isn=isn)
    assert peer.write(length) == length
    peer.expect_nothing(for_=SECOND // 2)
    peer.syn("SA")
    sent = peer.take()
    assert all(each.ack == 1 and "S" not in each.flags for each in sent)
    assert b"".join(each.data for each in sent) == stream(0, length)


@pytest.mark.req("9293-3.10.2-SEND-SYN-RCVD")
def test_send_in_syn_received_waits_for_established(bench: Bench, isn: int) -> None:
    peer = reach("SYN_RECEIVED", bench, isn=isn, active=True)
    assert peer.write(100) == 100
    peer.expect_nothing(for_=SECOND // 2)
    peer.send("A", ack=1)
    peer.expect("A", seq=1, ack=1, data=100)


@pytest.mark.parametrize("state", rows("9293-3.10.2-SEND-", ("ESTABLISHED", "CLOSE_WAIT")))
def test_send_carries_the_acknowledgment(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.write(2920)
    sent = peer.take()
    assert b"".join(each.data for each in sent) == stream(0, 2920)
    assert {each.ack for each in sent} == {2 if state == "CLOSE_WAIT" else 1}


@pytest.mark.parametrize("state", rows("9293-3.10.2-SEND-", tuple(sorted(FIN_SENT))))
def test_send_after_close_is_refused(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    with pytest.raises(OSError):
        peer.write(10)
    peer.expect_nothing()
    assert peer.state == state


@pytest.mark.req("9293-3.10.2-SEND-ESTAB")
def test_a_full_send_buffer_takes_what_fits() -> None:
    bench = Bench(TcpConfig(send_buffer=10_000))
    peer = established(bench)
    assert peer.connection.writable == 10_000
    assert peer.write(25_000) == 10_000
    assert peer.write(1) == 0 == peer.connection.writable
    peer.strict = False
    peer.send("A")
    assert peer.connection.writable == 10_000 - peer.connection.info().unacknowledged - peer.connection.info().unsent


# RECEIVE


@pytest.mark.req("9293-3.10.3-RECEIVE-CLOSED")
def test_receive_on_a_closed_connection(bench: Bench) -> None:
    peer = established(bench)
    peer.send("R")
    with pytest.raises(ConnectionResetError):
        peer.read()


@pytest.mark.parametrize("state", rows("9293-3.10.3-RECEIVE-", ("SYN_SENT", "SYN_RECEIVED")))
def test_receive_before_established_waits(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn, active=True)
    assert peer.read() == b"" and not peer.connection.at_end_of_stream
    if state == "SYN_SENT":
        peer.syn("SA")
        peer.take()
    peer.send("PA", ack=1, data=10)
    assert peer.read() == stream(0, 10)


@pytest.mark.parametrize("state", rows("9293-3.10.3-RECEIVE-", ("ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2")))
def test_receive_gives_octets_in_order_exactly_once(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    peer.strict = False
    assert peer.read() == b""
    peer.send("PA", seq=11, ack=1, data=10)
    assert peer.read() == b""
    peer.send("PA", seq=1, ack=1, data=10)
    assert (peer.read(7), peer.read(1), peer.read()) == (stream(0, 7), stream(7, 1), stream(8, 12))
    peer.send("PA", seq=1, ack=1, data=20)
    assert peer.read() == b"" and not peer.connection.at_end_of_stream


@pytest.mark.parametrize("state", rows("9293-3.10.3-RECEIVE-", ("CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT")))
def test_receive_gives_the_rest_and_then_the_end(bench: Bench, isn: int, state: str) -> None:
    peer = established(bench, isn=isn)
    peer.strict = False
    if state in ("CLOSING", "TIME_WAIT"):
        peer.shutdown()
    peer.take()
    peer.send("FA", ack=2 if state == "TIME_WAIT" else 1, data=30)
    if state == "LAST_ACK":
        peer.shutdown()
    assert peer.state == state
    assert not peer.connection.at_end_of_stream
    assert peer.read(20) == stream(0, 20) and not peer.connection.at_end_of_stream
    assert peer.read() == stream(20, 10) and peer.connection.at_end_of_stream
    assert peer.read() == b""


# CLOSE


@pytest.mark.req("9293-3.10.4-CLOSE-CLOSED")
def test_close_twice(bench: Bench) -> None:
    peer = reach("LAST_ACK", bench)
    peer.send("A")
    assert peer.state == "CLOSED"
    for call in (peer.close, peer.shutdown, peer.abort):
        with suppress(OSError):  # "connection does not exist", or nothing: no segment in either case
            call()
    peer.expect_nothing(for_=10 * SECOND)


@pytest.mark.req("9293-3.10.4-CLOSE-SYN-SENT")
def test_close_in_syn_sent(bench: Bench) -> None:
    peer = reach("SYN_SENT", bench)
    peer.close()
    peer.expect_nothing(for_=10 * SECOND)
    assert peer.state == "CLOSED" and not peer.exists()
    peer.syn("SA", ack=1)
    peer.expect("R", seq=1)


@pytest.mark.req("9293-3.10.4-CLOSE-SYN-RCVD")
@pytest.mark.parametrize("length", [0, 100])
@pytest.mark.parametrize("call", ["close", "shutdown"])
def test_close_in_syn_received(bench: Bench, isn: int, length: int, call: str) -> None:
    """Without text the FIN may go at once; with text it waits for ESTABLISHED. Either way the peer gets both."""
    peer = reach("SYN_RECEIVED", bench, isn=isn, active=True)
    if length:
        peer.write(length)
    getattr(peer, call)()
    sent = peer.take()
    peer.strict = False
    peer.send("A", ack=1)
    sent += peer.take()
    assert b"".join(each.data for each in sent) == stream(0, length)
    assert "F" in sent[-1].flags and sent[-1].end == 2 + length
    assert peer.state == "FIN_WAIT_1"


@pytest.mark.parametrize(
    "state", rows("9293-3.10.4-CLOSE-", ("FIN_WAIT_1", "FIN_WAIT_2", "CLOSING", "LAST_ACK", "TIME_WAIT"))
)
@pytest.mark.parametrize("call", ["close", "shutdown"])
def test_a_second_close_changes_nothing(bench: Bench, isn: int, state: str, call: str) -> None:
    peer = reach(state, bench, isn=isn)
    with suppress(OSError):  # "connection closing"
        getattr(peer, call)()
    peer.expect_nothing()
    assert peer.state == state
    bench.elapse(3 * SECOND)
    assert {each.end for each in peer.take()} <= {2}


@pytest.mark.req("9293-3.10.4-CLOSE-CLOSE-WAIT")
def test_close_in_close_wait_queues_the_fin_behind_text(bench: Bench, isn: int) -> None:
    peer = reach("CLOSE_WAIT", bench, isn=isn)
    peer.write(3000)
    peer.close()
    sent = peer.take()
    assert b"".join(each.data for each in sent) == stream(0, 3000)
    assert ["F" in each.flags for each in sent] == [False] * (len(sent) - 1) + [True]
    assert peer.state == "LAST_ACK"


@pytest.mark.req("9293-3.10.4-CLOSE-SYN-SENT")
@pytest.mark.parametrize("length", [0, 50])
def test_half_close_in_syn_sent(bench: Bench, length: int) -> None:
    """shutdown() gives up nothing: what was written and the FIN follow the handshake, or there is no connection."""
    peer = reach("SYN_SENT", bench)
    if length:
        peer.write(length)
    try:
        peer.shutdown()
    except OSError:
        assert peer.state == "SYN_SENT"
        return
    if peer.state == "CLOSED":
        return
    peer.syn("SA")
    sent = peer.take()
    assert b"".join(each.data for each in sent) == stream(0, length) and "F" in sent[-1].flags


# STATUS


@pytest.mark.parametrize("state", rows("9293-3.10.6-STATUS-", ALL))
def test_status(bench: Bench, state: str) -> None:
    peer = reach(state, bench, active=True)
    info = peer.connection.info()
    assert info.state.name == state
    assert (info.key.remote_addr, info.key.remote_port, info.key.local_port) == (peer.address, peer.port, 50000)
    assert info.unread == 0 and info.receive_window > 0


@pytest.mark.req("9293-3.10.6-STATUS-ESTAB")
def test_status_counts_what_waits(bench: Bench) -> None:
    peer: Peer = established(bench, mss=1000, window=2000)
    peer.write(5000)
    peer.take()
    peer.send("PA", ack=1, data=70, window=2000)
    info = peer.connection.info()
    assert (info.unacknowledged, info.unsent, info.unread, info.mss) == (2000, 3000, 70, 1000)
    assert info.send_window == 2000 and info.congestion == "newreno" and not info.timestamps


@pytest.mark.req("9293-3.10.6-STATUS-CLOSED")
def test_status_of_what_is_over(bench: Bench) -> None:
    peer = established(bench)
    peer.abort()
    assert peer.connection.state.name == "CLOSED" and peer.connection not in bench.host.connections()


@pytest.mark.req("9293-3.10.1-OPEN-CLOSED-active")
def test_an_error_is_told_once_by_an_exception_and_kept(bench: Bench) -> None:
    peer = bench.connect(81)
    peer.expect("S")
    peer.send("RA", seq=0, ack=1)
    with pytest.raises(ConnectionRefusedError):
        peer.read()
    with pytest.raises(ConnectionRefusedError):
        peer.write(1)
    assert isinstance(peer.error, ConnectionRefusedError)
