"""What the user calls: RFC 9293 sections 3.9.1 and 3.10.1 to 3.10.6, state by state."""

import pytest

from stack.addresses import ipv4
from stack.events import CLOSED, WRITABLE
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire.tcp import ACK, FIN, PSH, RST, SYN
from stack.wire.tcp_options import TcpOptions

OUR_ISS = -20 & MASK

SHORT = {State.SYN_RECEIVED: "SYN-RCVD", State.ESTABLISHED: "ESTAB"}
OPEN = [state for state in State if state not in (State.CLOSED, State.LISTEN)]


def states(clause, among):
    """A parameter for each state, with the requirement that speaks of just that state."""
    return [
        pytest.param(s, marks=pytest.mark.req(f"9293-{clause}-{SHORT.get(s, s.name.replace('_', '-'))}"), id=s.name)
        for s in among
    ]


# OPEN


@pytest.mark.req("9293-3.10.1-OPEN-CLOSED-active", "9293-3.10.6-STATUS-SYN-SENT", "9293-MUST-44", "9293-MUST-14")
def test_an_active_open_sends_a_syn(bench):
    bench = bench()
    connection = bench.tcp.connect(ipv4("192.0.2.2"), 40000, bench.now, local_port=80)
    [syn] = bench.take()
    assert (syn.flags, syn.seq, syn.ack, syn.payload) == (SYN, OUR_ISS, 0, b"")
    assert syn.options.mss == 1460
    assert connection.info().state is State.SYN_SENT
    assert connection.key.local_addr == bench.source_for(0)
    sender = connection.sender
    assert (sender.una, sender.nxt) == (OUR_ISS, (OUR_ISS + 1) & MASK)


@pytest.mark.req("9293-3.10.1-OPEN-CLOSED-passive")
def test_a_passive_open_listens(bench):
    bench = bench()
    bench.listen()
    assert [seg.flags for seg in bench.peer(SYN)] == [SYN | ACK]


@pytest.mark.req("9293-3.10.1-OPEN-CLOSED-noremote", "9293-MUST-46")
@pytest.mark.parametrize("remote", ["0.0.0.0", "224.0.0.1", "192.0.2.255"])
def test_an_active_open_needs_one_host(bench, remote):
    bench = bench()
    with pytest.raises(OSError):
        bench.tcp.connect(ipv4(remote), 80, bench.now)
    assert list(bench.tcp.connections()) == [] and bench.take() == []


@pytest.mark.req("9293-MUST-43", "9293-MUST-45")
def test_the_local_address_may_be_chosen_and_stays(bench):
    bench = bench()
    connection = bench.tcp.connect(ipv4("192.0.2.2"), 40000, bench.now, local=ipv4("192.0.2.7"))
    assert connection.key.local_addr == ipv4("192.0.2.7")


@pytest.mark.parametrize("state", states("3.10.1-OPEN", OPEN))
def test_a_second_open_of_one_connection_fails(bench, state):
    bench = bench(state)
    with pytest.raises(OSError, match="connection already exists"):
        bench.connect()
    assert bench.connection.state is state


# SEND


@pytest.mark.req("9293-3.10.2-SEND-CLOSED")
def test_send_on_a_closed_connection_fails(bench):
    bench = bench(State.LAST_ACK)
    bench.peer(ACK)
    with pytest.raises(OSError, match="the connection is closed"):
        bench.write(b"data")


@pytest.mark.parametrize("state", states("3.10.2-SEND", [State.SYN_SENT, State.SYN_RECEIVED]))
def test_send_before_the_connection_is_established_is_queued(bench, state):
    bench = bench(state, active=True)
    assert bench.write(b"early") == []
    sent = bench.peer(SYN | ACK if state is State.SYN_SENT else ACK)
    assert [seg.payload for seg in sent if seg.payload] == [b"early"]


@pytest.mark.req("9293-MUST-61", "9293-MUST-60", "9293-SHLD-28", "9293-SHLD-27")
@pytest.mark.parametrize("state", states("3.10.2-SEND", [State.ESTABLISHED, State.CLOSE_WAIT]))
def test_send_makes_segments(bench, state):
    bench = bench(state, options=TcpOptions(mss=1000))
    sent = bench.write(bytes(2500))
    sent += bench.peer(ACK)
    assert [len(seg.payload) for seg in sent] == [1000, 1000, 500]
    assert [seg.flags for seg in sent] == [ACK, ACK, ACK | PSH]
    assert all(seg.ack == bench.nxt for seg in sent)
    assert sent[0].seq == (OUR_ISS + 1) & MASK


@pytest.mark.parametrize(
    "state",
    states("3.10.2-SEND", [State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT]),
)
def test_send_after_close_is_refused(bench, state):
    bench = bench(state)
    with pytest.raises(BrokenPipeError):
        bench.write(b"data")
    assert bench.take() == []


def test_send_takes_what_there_is_room_for_and_says_when_there_is_more(bench):
    bench = bench(State.ESTABLISHED, send_buffer=4000, options=TcpOptions(mss=1000))
    assert bench.connection.write(bytes(5000), bench.now) == 4000
    assert bench.connection.writable == 0
    assert bench.connection.write(b"more", bench.now) == 0
    bench.take()
    bench.peer(ACK, ack=-2000)
    assert bench.happened() & WRITABLE
    assert bench.connection.writable >= 2000


# RECEIVE


@pytest.mark.parametrize("state", states("3.10.3-RECEIVE", [State.SYN_SENT, State.SYN_RECEIVED]))
def test_receive_before_the_connection_is_established_waits(bench, state):
    bench = bench(state, active=True)
    assert bench.read() == b"" and not bench.connection.at_end_of_stream


@pytest.mark.req("9293-3.6-nosendafterclose", "9293-3.10.3-RECEIVE-ack", "9293-MAY-1")
@pytest.mark.parametrize("state", states("3.10.3-RECEIVE", [State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2]))
def test_receive_gives_octets_in_order(bench, state, second):
    bench = bench(state)
    sent = bench.peer(ACK, b"two ", at=4, ack=-1 if state is State.FIN_WAIT_1 else 0)
    sent = bench.peer(ACK, b"one ", ack=-1 if state is State.FIN_WAIT_1 else 0)
    assert sent[-1].ack == (bench.nxt + 4) & MASK
    assert bench.read(3) == b"one" and bench.read() == b" two " and bench.read() == b""


@pytest.mark.req("9293-3.10.3-RECEIVE-CLOSE-WAIT")
def test_receive_in_close_wait_gives_the_rest_and_then_the_end(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(FIN | ACK, b"rest")
    assert bench.connection.state is State.CLOSE_WAIT
    assert not bench.connection.at_end_of_stream
    assert bench.read() == b"rest"
    assert bench.connection.at_end_of_stream and bench.read() == b""


@pytest.mark.parametrize("state", states("3.10.3-RECEIVE", [State.CLOSING, State.LAST_ACK, State.TIME_WAIT]))
def test_receive_after_everything_gives_the_end(bench, state):
    bench = bench(state)
    assert bench.read() == b"" and bench.connection.at_end_of_stream


# CLOSE


@pytest.mark.req("9293-3.10.4-CLOSE-LISTEN")
def test_close_of_a_listener(bench):
    bench = bench()
    listener = bench.listen()
    listener.close(bench.now)
    [reset] = bench.peer(SYN)
    assert reset.flags == RST | ACK


@pytest.mark.req("9293-3.10.4-CLOSE-SYN-SENT")
def test_close_in_syn_sent(bench):
    bench = bench(State.SYN_SENT)
    assert bench.close() == []
    assert bench.connection.state is State.CLOSED and not bench.alive
    assert bench.advance(10**12) == []


@pytest.mark.req("9293-3.10.4-CLOSE-SYN-RCVD")
def test_close_in_syn_received_waits_for_queued_text(bench):
    bench = bench(State.SYN_RECEIVED, active=True)
    bench.write(b"text")
    bench.shutdown()
    assert bench.connection.state is State.SYN_RECEIVED
    [seg] = bench.peer(ACK)
    assert (seg.payload, seg.flags & FIN) == (b"text", FIN)
    assert bench.connection.state is State.FIN_WAIT_1


@pytest.mark.req("9293-3.10.4-CLOSE-ESTAB", "9293-3.4-seglen")
def test_close_queues_a_fin_behind_the_text(bench):
    bench = bench(State.ESTABLISHED, options=TcpOptions(mss=1000))
    bench.connection.write(bytes(1500), bench.now)
    sent = bench.shutdown()
    assert [(len(seg.payload), seg.flags & FIN) for seg in sent] == [(1000, 0), (500, FIN)]
    assert bench.connection.state is State.FIN_WAIT_1
    assert bench.una == (OUR_ISS + 1 + 1500 + 1) & MASK


@pytest.mark.req("9293-3.10.4-CLOSE-CLOSE-WAIT")
def test_close_in_close_wait(bench):
    bench = bench(State.CLOSE_WAIT)
    bench.connection.write(b"bye", bench.now)
    [seg] = bench.shutdown()
    assert (seg.payload, seg.flags & FIN) == (b"bye", FIN)
    assert bench.connection.state is State.LAST_ACK


@pytest.mark.parametrize(
    "state",
    states("3.10.4-CLOSE", [State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT]),
)
def test_a_second_close_sends_nothing(bench, state):
    bench = bench(state)
    end = bench.una
    assert bench.shutdown() == bench.close() == []
    assert bench.connection.state is state and bench.connection.sender.max == end


@pytest.mark.req("9293-3.6-fin-rexmt")
def test_a_fin_is_sent_again_until_it_is_acknowledged(bench, second):
    bench = bench(State.FIN_WAIT_1)
    again = bench.advance(4 * second)
    assert len(again) >= 2
    assert all(seg.flags & FIN and (seg.seq + 1) & MASK == bench.una for _, seg in again)
    bench.peer(ACK)
    assert bench.advance(30 * second) == []


@pytest.mark.req("9293-SHLD-3", "2525-2.17")
def test_close_with_unread_text_resets(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(ACK, b"never read")
    [reset] = bench.close()
    assert reset.flags == RST | ACK and reset.seq == bench.una
    assert not bench.alive


@pytest.mark.req("2525-2.16", "9293-SHLD-3")
def test_text_after_close_resets(bench):
    bench = bench(State.ESTABLISHED)
    assert bench.close()[0].flags & FIN
    bench.peer(ACK)
    [reset] = bench.peer(ACK, b"for nobody")
    assert reset.flags & RST and not bench.alive
    assert bench.counters["TcpExtTCPAbortOnData"] == 1


def test_fin_wait_2_of_a_closed_connection_ends(bench, second):
    bench = bench(State.ESTABLISHED, fin_wait_2_timeout=60 * second)
    bench.close()
    bench.peer(ACK)
    assert bench.connection.state is State.FIN_WAIT_2
    bench.advance(59 * second)
    assert bench.alive
    bench.advance(2 * second)
    assert not bench.alive


# ABORT


@pytest.mark.req("9293-3.10.5-ABORT-LISTEN")
def test_abort_of_a_listener_sends_nothing(bench):
    bench = bench()
    bench.listen().close(bench.now)
    assert bench.take() == []


@pytest.mark.parametrize("state", states("3.10.5-ABORT", [State.SYN_SENT]))
def test_abort_before_the_peer_knows_of_us_sends_nothing(bench, state):
    bench = bench(state)
    assert bench.abort() == []
    assert not bench.alive and isinstance(bench.connection.error, ConnectionAbortedError)


@pytest.mark.parametrize(
    "state",
    states(
        "3.10.5-ABORT",
        [State.SYN_RECEIVED, State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT],
    ),
)
def test_abort_resets(bench, state):
    bench = bench(state, active=True)
    if state in (State.ESTABLISHED, State.CLOSE_WAIT):
        bench.write(b"in flight")
    [reset] = bench.abort()
    assert reset.flags & RST and (reset.seq, reset.payload) == (bench.una, b"")
    assert not bench.alive and bench.happened() & CLOSED
    with pytest.raises(ConnectionAbortedError):
        bench.read()
    assert bench.advance(10**12) == []


@pytest.mark.parametrize("state", states("3.10.5-ABORT", [State.CLOSING, State.LAST_ACK, State.TIME_WAIT]))
def test_abort_of_what_both_sides_have_closed_is_silent(bench, state):
    bench = bench(state)
    assert bench.abort() == []
    assert not bench.alive


# STATUS


@pytest.mark.parametrize("state", states("3.10.6-STATUS", OPEN))
def test_status(bench, state):
    bench = bench(state)
    info = bench.connection.info()
    assert info.state is state and info.key == bench.connection.key
