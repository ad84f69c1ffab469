"""SEGMENT ARRIVES: RFC 9293 section 3.10.7, step by step and state by state."""

import pytest

from stack.events import CLOSED, END_OF_STREAM, ESTABLISHED, READABLE
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire.tcp import ACK, FIN, PSH, RST, SYN, URG, Segment
from stack.wire.tcp_options import TcpOptions

OUR_ISS = -20 & MASK
PEER_ISS = -30 & MASK

SYNCHRONIZED = [
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
    State.TIME_WAIT,
]
SHORT = {
    State.SYN_RECEIVED: "SYN-RCVD",
    State.ESTABLISHED: "ESTAB",
    **{state: state.name.replace("_", "-") for state in SYNCHRONIZED[1:]},
}


def states(clause, among):
    """A parameter for each state, with the requirement that speaks of just that state."""
    return [pytest.param(s, marks=pytest.mark.req(f"9293-3.10.7.4-{clause}-{SHORT[s]}"), id=s.name) for s in among]


def flags_of(sent):
    return [seg.flags for seg in sent]


def is_ack(bench, sent, ack=None):
    """Whether `sent` is one empty <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>."""
    return (
        flags_of(sent) == [ACK]
        and sent[0].payload == b""
        and sent[0].seq == bench.una
        and sent[0].ack == (bench.nxt if ack is None else ack)
    )


# 3.10.7.1 CLOSED


@pytest.mark.req("9293-3.10.7.1-noack", "9293-3.10.7.1-data", "9293-3.10.7.4-fin-CLOSED")
@pytest.mark.parametrize(
    ("flags", "payload", "length"), [(SYN, b"", 1), (SYN, b"xyz", 4), (FIN, b"xy", 3), (0, b"", 0)]
)
def test_a_segment_without_ack_for_nobody_is_reset(bench, flags, payload, length):
    bench = bench()
    [reset] = bench.peer(flags, payload)
    assert (reset.flags, reset.seq, reset.ack) == (RST | ACK, 0, (PEER_ISS + length) & MASK)
    assert list(bench.tcp.connections()) == []


@pytest.mark.req("9293-3.10.7.1-ack")
@pytest.mark.parametrize("flags", [ACK, SYN | ACK, FIN | ACK, PSH | ACK])
def test_a_segment_with_ack_for_nobody_is_reset_at_its_ack(bench, flags):
    bench = bench()
    [reset] = bench.peer(flags, b"data", ack=4711)
    assert (reset.flags, reset.seq) == (RST, (OUR_ISS + 4711) & MASK)


@pytest.mark.req("9293-3.10.7.1-rst")
@pytest.mark.parametrize("flags", [RST, RST | ACK])
def test_a_reset_for_nobody_is_not_answered(bench, flags):
    assert bench().peer(flags) == []


# 3.10.7.2 LISTEN


@pytest.mark.req("9293-3.10.7.2-rst")
def test_listen_ignores_a_reset(bench):
    bench = bench(State.LISTEN)
    assert bench.peer(RST) == bench.peer(RST | ACK) == []


@pytest.mark.req("9293-3.10.7.2-ack")
def test_listen_answers_an_ack_with_a_reset(bench):
    bench = bench(State.LISTEN)
    [reset] = bench.peer(SYN | ACK, ack=99)
    assert (reset.flags, reset.seq) == (RST, (OUR_ISS + 99) & MASK)
    assert list(bench.tcp.connections()) == []


@pytest.mark.req("9293-3.10.7.2-other", "9293-3.10.7.4-fin-LISTEN")
@pytest.mark.parametrize("flags", [0, FIN, PSH, URG])
def test_listen_drops_what_is_neither_reset_nor_ack_nor_syn(bench, flags):
    bench = bench(State.LISTEN)
    assert bench.peer(flags, b"x") == []
    assert list(bench.tcp.connections()) == []
    assert bench.counters["TcpNoConnection"] == 1


@pytest.mark.req("9293-3.10.7.2-syn", "9293-3.10.7.2-fill", "9293-3.4-seglen", "9293-3.10.6-STATUS-SYN-RCVD")
def test_listen_answers_a_syn(bench):
    bench = bench(State.LISTEN)
    [reply] = bench.peer(SYN, options=TcpOptions(mss=1200))
    assert reply.flags == SYN | ACK
    assert (reply.seq, reply.ack) == (OUR_ISS, (PEER_ISS + 1) & MASK)
    assert reply.options.mss == 1460
    [key] = bench.tcp.half_open()
    assert key == (key.local_addr, 80, key.remote_addr, 40000)
    bench.peer(ACK, at=-1)
    [connection] = bench.tcp.connections()
    assert connection.info().state is State.SYN_RECEIVED and connection.key == key


@pytest.mark.req("9293-3.10.7.2-syndata", "9293-3.5-synddata")
def test_text_on_a_syn_is_not_acknowledged_so_that_it_comes_again(bench):
    bench = bench()
    listener = bench.listen()
    [reply] = bench.peer(SYN, b"early")
    assert reply.ack == (PEER_ISS + 1) & MASK
    bench.nxt = (PEER_ISS + 1) & MASK
    bench.peer(ACK, b"early")
    bench.connection = listener.accept()
    assert bench.read() == b"early"


@pytest.mark.req("9293-MUST-42", "9293-MUST-41")
def test_a_listener_takes_others_while_one_is_half_open(bench):
    bench = bench(State.SYN_RECEIVED)
    other = Segment(41000, 80, 1, 0, SYN, 1000)
    bench.tcp.receive(bench.connection.key.remote_addr, bench.connection.key.local_addr, other, bench.now)
    assert flags_of(bench.take()) == [SYN | ACK]
    assert bench.connection.state is State.SYN_RECEIVED and len(list(bench.tcp.half_open())) == 1


@pytest.mark.req("9293-MUST-41")
def test_a_listener_is_open_beside_connections_of_its_port(bench):
    bench = bench(State.ESTABLISHED)
    before = bench.connection.info()
    with pytest.raises(OSError, match="80 is being listened on"):
        bench.listen()
    bench.tcp.listen(bench.source_for(0), 81, None, None)
    assert bench.connection.info() == before


# 3.10.7.3 SYN-SENT


@pytest.mark.req("9293-3.10.7.3-ack-bad", "9293-3.5.2-rst-nonsync", "9293-3.4-ackok")
@pytest.mark.parametrize("ack", [-1, 1, 1 << 31, -100])
def test_syn_sent_resets_an_ack_for_something_else(bench, ack):
    bench = bench(State.SYN_SENT)
    [reset] = bench.peer(SYN | ACK, ack=ack)
    assert (reset.flags, reset.seq) == (RST, (OUR_ISS + 1 + ack) & MASK)
    assert bench.connection.state is State.SYN_SENT


@pytest.mark.req("9293-3.10.7.3-ack-bad-rst", "5961-4")
def test_syn_sent_drops_a_reset_with_a_bad_ack(bench):
    bench = bench(State.SYN_SENT)
    assert bench.peer(RST | ACK, ack=1) == []
    assert bench.connection.state is State.SYN_SENT


@pytest.mark.req("9293-3.10.7.3-rst-ack", "9293-3.5.3-rst-valid")
def test_syn_sent_is_refused_by_a_reset_that_acknowledges_the_syn(bench):
    bench = bench(State.SYN_SENT)
    assert bench.peer(RST | ACK) == []
    assert bench.connection.state is State.CLOSED and not bench.alive
    assert isinstance(bench.connection.error, ConnectionRefusedError)
    assert bench.happened() == CLOSED


@pytest.mark.req("9293-3.10.7.3-rst-noack", "5961-4")
def test_syn_sent_drops_a_reset_without_ack(bench):
    bench = bench(State.SYN_SENT)
    assert bench.peer(RST) == []
    assert bench.connection.state is State.SYN_SENT


@pytest.mark.req("9293-3.10.7.3-syn-ack", "9293-3.10.7.3-syn-vars", "9293-3.8-ackalways")
def test_syn_sent_is_established_by_a_syn_ack(bench):
    bench = bench(State.SYN_SENT)
    reply = bench.peer(SYN | ACK, options=TcpOptions(mss=1000))
    assert is_ack(bench, reply) and reply[0].ack == (PEER_ISS + 1) & MASK
    assert bench.connection.state is State.ESTABLISHED
    assert bench.happened() == ESTABLISHED


@pytest.mark.req("9293-3.10.7.3-syn-ack-wnd", "7323-ws-1")
def test_the_window_of_a_syn_ack_is_not_scaled(bench):
    bench = bench(State.SYN_SENT, window_scaling=True)
    bench.peer(SYN | ACK, window=5000, options=TcpOptions(mss=1000, window_scale=7))
    assert bench.connection.info().send_window == 5000
    assert sum(len(seg.payload) for seg in bench.write(bytes(9000))) == 5000


@pytest.mark.req("9293-3.10.7.3-syn-ack-text")
def test_text_and_fin_on_a_syn_ack_are_processed(bench):
    bench = bench(State.SYN_SENT)
    [reply] = bench.peer(SYN | ACK | FIN, b"hello")
    assert reply.ack == (PEER_ISS + 7) & MASK
    assert bench.connection.state is State.CLOSE_WAIT
    assert bench.read() == b"hello" and bench.connection.at_end_of_stream


@pytest.mark.req("9293-3.10.7.3-neither", "9293-3.10.7.4-fin-SYN-SENT")
@pytest.mark.parametrize("flags", [ACK, FIN, FIN | ACK, PSH])
def test_syn_sent_drops_what_is_neither_syn_nor_reset(bench, flags):
    bench = bench(State.SYN_SENT)
    assert bench.peer(flags) == []
    assert bench.connection.state is State.SYN_SENT


@pytest.mark.req("9293-3.10.7.3-syn-cross", "9293-MUST-10")
def test_simultaneous_open(bench):
    bench = bench(State.SYN_SENT)
    [reply] = bench.peer(SYN, options=TcpOptions(mss=1000))
    assert (reply.flags, reply.seq, reply.ack) == (SYN | ACK, OUR_ISS, (PEER_ISS + 1) & MASK)
    assert bench.connection.state is State.SYN_RECEIVED
    bench.peer(ACK)
    assert bench.connection.state is State.ESTABLISHED
    assert bench.happened() == ESTABLISHED
    assert len(bench.write(b"works")) == 1


# 3.10.7.4 first: the sequence number


@pytest.mark.req("9293-3.10.7.4-seq-2", "9293-3.10.7.4-seq-10", "9293-3.10.7.4-seq-6", "9293-3.5.2-rst-sync")
@pytest.mark.parametrize(("at", "acceptable"), [(-1, False), (1, True), (65534, True), (65535, False)])
def test_an_empty_segment_must_begin_in_the_window(bench, at, acceptable):
    bench = bench(State.ESTABLISHED, receive_buffer=65535)
    reply = bench.peer(ACK, at=at)
    assert bench.counters["TcpUnacceptable"] == (not acceptable)
    assert reply == [] if acceptable else is_ack(bench, reply)


@pytest.mark.req("9293-3.10.7.4-seq-4", "9293-3.10.7.4-seq-8")
def test_a_segment_whose_front_is_old_gives_what_is_new(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(ACK, b"abcd")
    bench.peer(ACK, b"cdEF", at=-2)
    assert bench.read() == b"abcdEF"


@pytest.mark.req("9293-3.10.7.4-seq-4", "9293-3.10.7.4-seq-9", "9293-3.10.7.4-text-edge")
def test_a_segment_that_straddles_the_right_edge_is_cut_there(bench):
    bench = bench(State.ESTABLISHED, receive_buffer=3000)
    [reply] = bench.peer(ACK | FIN, bytes(3500))
    assert reply.ack == (PEER_ISS + 1 + 3000) & MASK and reply.window == 0
    assert bench.connection.state is State.ESTABLISHED
    assert bench.counters["TcpRcvBeyondWindowOctets"] == 500
    assert len(bench.read()) == 3000


@pytest.mark.req("9293-3.10.7.4-seq-4")
@pytest.mark.parametrize("at", [-4, 65535, 1 << 31, -(1 << 31)])
def test_text_outside_of_the_window_is_answered_and_dropped(bench, at):
    bench = bench(State.ESTABLISHED, receive_buffer=65535)
    assert is_ack(bench, bench.peer(ACK, b"text", at=at))
    assert bench.read() == b"" and bench.counters["TcpUnacceptable"] == 1


def full(bench):
    """A connection whose receive window is closed."""
    bench = bench(State.ESTABLISHED, receive_buffer=2000)
    bench.peer(ACK, bytes(1000))
    [reply] = bench.peer(ACK, bytes(1000))
    assert reply.window == 0
    return bench


@pytest.mark.req("9293-3.10.7.4-seq-1", "9293-3.8.6.1-zwack", "9293-MAY-8")
def test_at_a_closed_window_an_empty_segment_must_begin_at_rcv_nxt(bench):
    bench = full(bench)
    assert bench.peer(ACK) == []
    assert bench.counters["TcpUnacceptable"] == 0
    [reply] = bench.peer(ACK, at=1)
    assert reply.window == 0 and bench.counters["TcpUnacceptable"] == 1


@pytest.mark.req("9293-3.10.7.4-seq-3", "9293-3.8.6.1-zwack")
def test_at_a_closed_window_text_is_answered_and_dropped(bench):
    bench = full(bench)
    end = bench.nxt
    [reply] = bench.peer(ACK, b"x")
    assert (reply.ack, reply.window) == (end, 0)
    assert len(bench.read()) == 2000 and bench.read() == b""


@pytest.mark.req("9293-3.10.7.4-seq-5", "9293-MUST-66")
def test_at_a_closed_window_acks_and_resets_still_count(bench):
    bench = full(bench)
    bench.write(b"data")
    assert bench.connection.info().unacknowledged == 4
    bench.peer(ACK, b"x")
    assert bench.connection.info().unacknowledged == 0
    bench.nxt = (bench.nxt - 1) & MASK
    bench.peer(RST)
    assert bench.connection.state is State.CLOSED


@pytest.mark.parametrize("state", states("seq", [State.SYN_RECEIVED, *SYNCHRONIZED]))
def test_an_old_duplicate_is_acknowledged_and_dropped(bench, state):
    bench = bench(state)
    rcv_nxt = bench.connection.receiver.nxt
    [reply] = bench.peer(ACK, b"old", at=-3000)
    assert (reply.flags, reply.seq, reply.ack) == (ACK, bench.una, rcv_nxt)
    assert bench.connection.state is state


# second: the RST bit


@pytest.mark.req("9293-3.10.7.4-rst-1", "9293-3.10.7.4-seq-7", "5961-3", "9293-3.5.3-rst-valid")
@pytest.mark.parametrize("state", [State.SYN_RECEIVED, *SYNCHRONIZED])
@pytest.mark.parametrize("at", [-1, 70000, 1 << 31])
def test_a_reset_outside_of_the_window_is_dropped_in_silence(bench, state, at):
    bench = bench(state, receive_buffer=65535)
    assert bench.peer(RST, at=at) == []
    assert bench.connection.state is state


@pytest.mark.req("9293-3.10.7.4-rst-3", "5961-2")
@pytest.mark.parametrize("state", [State.SYN_RECEIVED, State.ESTABLISHED, State.FIN_WAIT_2, State.CLOSE_WAIT])
def test_a_reset_in_the_window_but_not_at_rcv_nxt_is_challenged(bench, state):
    bench = bench(state)
    if bench.connection.receiver.window > 100:
        assert is_ack(bench, bench.peer(RST, at=100))
        assert bench.counters["TcpExtTCPChallengeACK"] == 1
    else:
        assert bench.peer(RST, at=100) == []
    assert bench.connection.state is state


@pytest.mark.req("9293-3.10.7.4-rst-2", "5961-1")
@pytest.mark.parametrize("state", states("rst", SYNCHRONIZED))
def test_a_reset_at_rcv_nxt_ends_the_connection(bench, state):
    bench = bench(state)
    assert bench.peer(RST) == []
    assert bench.connection.state is State.CLOSED and not bench.alive
    assert bench.advance(10**12) == []


@pytest.mark.req("9293-MUST-12")
@pytest.mark.parametrize(
    ("state", "error"),
    [
        (State.ESTABLISHED, ConnectionResetError),
        (State.FIN_WAIT_1, ConnectionResetError),
        (State.FIN_WAIT_2, ConnectionResetError),
        (State.CLOSE_WAIT, BrokenPipeError),
        (State.CLOSING, type(None)),
        (State.LAST_ACK, type(None)),
    ],
)
def test_the_user_learns_of_a_reset(bench, state, error):
    bench = bench(state)
    bench.peer(RST)
    assert type(bench.connection.error) is error
    assert bench.happened() == CLOSED
    if state is State.CLOSE_WAIT:  # the peer's stream has had its end, in order; it is ours that broke
        assert bench.read() == b"" and bench.connection.at_end_of_stream
        with pytest.raises(error):
            bench.write(b"text")
    elif error is not type(None):
        with pytest.raises(error):
            bench.read()


@pytest.mark.req("9293-SHLD-2")
def test_a_reset_may_carry_data(bench):
    bench = bench(State.ESTABLISHED)
    assert bench.peer(RST, b"why") == []
    assert bench.connection.state is State.CLOSED


@pytest.mark.req("9293-3.10.7.4-rst-SYN-RCVD-passive", "9293-MUST-11")
def test_a_reset_in_syn_received_returns_a_passive_open_to_listen(bench):
    bench = bench(State.LISTEN)
    bench.peer(SYN)
    bench.peer(RST)
    assert list(bench.tcp.connections()) == []
    assert bench.events.take() == []
    assert bench.advance(10**11) == []
    bench.nxt = PEER_ISS
    assert flags_of(bench.peer(SYN)) == [SYN | ACK]


@pytest.mark.req("9293-3.10.7.4-rst-SYN-RCVD-active", "9293-MUST-11")
def test_a_reset_in_syn_received_refuses_an_active_open(bench):
    bench = bench(State.SYN_RECEIVED, active=True)
    bench.peer(RST)
    assert bench.connection.state is State.CLOSED
    assert isinstance(bench.connection.error, ConnectionRefusedError)


# fourth: the SYN bit


@pytest.mark.req("9293-3.10.7.4-syn-SYN-RCVD-passive", "9293-3.5.1-duptwo")
def test_another_syn_in_the_window_returns_a_passive_open_to_listen(bench):
    bench = bench(State.LISTEN)
    bench.peer(SYN)
    bench.peer(SYN, at=100)
    assert list(bench.tcp.connections()) == []
    bench.nxt = PEER_ISS
    assert flags_of(bench.peer(SYN)) == [SYN | ACK]


@pytest.mark.req("9293-3.10.7.4-syn-SYN-RCVD-active")
def test_another_syn_in_the_window_is_challenged_after_an_active_open(bench):
    bench = bench(State.SYN_RECEIVED, active=True)
    assert is_ack(bench, bench.peer(SYN, at=100))
    assert bench.connection.state is State.SYN_RECEIVED


@pytest.mark.req("5961-5")
@pytest.mark.parametrize("state", states("syn", SYNCHRONIZED[:-1]))
@pytest.mark.parametrize("at", [0, 100, -100, 1 << 31])
def test_a_syn_is_challenged_wherever_it_lies(bench, state, at):
    bench = bench(state)
    rcv_nxt = bench.connection.receiver.nxt
    [reply] = bench.peer(SYN, at=at)
    assert (reply.flags, reply.seq, reply.ack) == (ACK, bench.una, rcv_nxt)
    assert bench.connection.state is state


@pytest.mark.req("9293-3.10.7.4-syn-TIME-WAIT", "9293-MAY-2")
def test_a_newer_syn_replaces_a_time_wait(bench):
    bench = bench(State.TIME_WAIT)
    bench.nxt = (bench.nxt + 1000) & MASK
    [reply] = bench.peer(SYN)
    assert reply.flags == SYN | ACK and reply.ack == bench.nxt
    assert list(bench.tcp.connections()) == [] and len(list(bench.tcp.half_open())) == 1
    assert bench.counters["TcpExtTWRecycled"] == 1


@pytest.mark.req("9293-3.10.7.4-syn-TIME-WAIT")
def test_an_old_syn_does_not_replace_a_time_wait(bench):
    bench = bench(State.TIME_WAIT)
    [reply] = bench.peer(SYN, at=-1000)
    assert reply.flags == ACK
    assert bench.connection.state is State.TIME_WAIT


# fifth: the ACK field


@pytest.mark.req("9293-3.10.7.4-ack-off")
@pytest.mark.parametrize("state", [State.SYN_RECEIVED, *SYNCHRONIZED])
def test_a_segment_without_ack_is_dropped(bench, state):
    bench = bench(state)
    received = bench.connection.readable
    bench.peer(PSH)
    assert bench.connection.readable == received
    assert bench.connection.state is state and bench.counters["TcpNoAckBit"] == 1


@pytest.mark.req("9293-3.10.7.4-ack-SYN-RCVD-ok")
def test_an_acceptable_ack_establishes(bench):
    bench = bench(State.SYN_RECEIVED)
    bench.peer(ACK, window=777)
    info = bench.connection.info()
    assert info.state is State.ESTABLISHED and info.send_window == 777
    assert (bench.connection.sender.wl1, bench.connection.sender.wl2) == (bench.nxt, bench.una)


@pytest.mark.req("9293-3.10.7.4-ack-SYN-RCVD-bad", "9293-3.5.2-rst-nonsync")
@pytest.mark.parametrize("ack", [-1, 1, 1 << 31])
def test_an_unacceptable_ack_in_syn_received_is_reset(bench, ack):
    bench = bench(State.SYN_RECEIVED)
    [reset] = bench.peer(ACK, ack=ack)
    assert (reset.flags, reset.seq) == (RST, (OUR_ISS + 1 + ack) & MASK)
    assert bench.connection.state is State.SYN_RECEIVED


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-new", "9293-3.4-ackok")
def test_a_new_ack_frees_what_it_acknowledges(bench):
    bench = bench(State.ESTABLISHED, nagle=False)
    bench.write(bytes(900))
    bench.write(bytes(900))
    bench.peer(ACK, ack=-1000)
    assert bench.connection.info().unacknowledged == 1000
    bench.peer(ACK)
    assert bench.connection.info().unacknowledged == 0


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-dup")
def test_an_old_ack_acknowledges_nothing(bench):
    bench = bench(State.ESTABLISHED)
    bench.write(bytes(900))
    bench.peer(ACK, ack=-905)
    assert bench.connection.info().unacknowledged == 900
    bench.peer(ACK, b"its text counts", ack=-905)
    assert bench.read() == b"its text counts"


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-future", "5961-6")
@pytest.mark.parametrize("state", [State.ESTABLISHED, State.FIN_WAIT_2, State.CLOSE_WAIT, State.TIME_WAIT])
def test_an_ack_for_what_was_never_sent_is_answered_and_dropped(bench, state):
    bench = bench(state)
    rcv_nxt = bench.connection.receiver.nxt
    [reply] = bench.peer(ACK, b"evil", ack=1)
    assert (reply.flags, reply.ack) == (ACK, rcv_nxt)
    assert bench.connection.readable == 0 and bench.connection.state is state


@pytest.mark.req("9293-3.10.7.4-ack-5961", "5961-6", "5961-9", "9293-MAY-12")
def test_an_ack_older_than_any_window_is_challenged(bench):
    bench = bench(State.ESTABLISHED, options=TcpOptions(mss=1000))
    bench.window = 100
    bench.peer(ACK)
    assert bench.connection.sender.max_wnd == 65535
    assert is_ack(bench, bench.peer(ACK, b"evil", ack=-65536, at=0), ack=(PEER_ISS + 1) & MASK)
    assert bench.connection.readable == 0
    bench.nxt = (PEER_ISS + 1) & MASK
    bench.peer(ACK, b"good", ack=-65535)
    assert bench.connection.readable == 4


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-wnd", "9293-3.8.6-latestwnd")
def test_the_window_of_an_older_segment_is_not_taken(bench):
    bench = bench(State.ESTABLISHED)
    bench.write(bytes(500))
    bench.peer(ACK, b"sent later", at=8, window=5000)
    assert bench.connection.info().send_window == 5000
    bench.peer(ACK, b"earlier", window=9000)
    assert bench.connection.info().send_window == 5000
    bench.nxt = (bench.nxt + 11) & MASK
    bench.write(bytes(500))
    bench.peer(ACK, ack=-100, window=9000)
    bench.peer(ACK, window=7000)
    bench.peer(ACK, ack=-100, window=0)
    assert bench.connection.info().send_window == 7000


@pytest.mark.req("9293-3.10.7.4-ack-ESTAB-wnd2")
def test_the_window_counts_from_snd_una(bench):
    bench = bench(State.ESTABLISHED, initial_window_segments=100, nagle=False)
    bench.window = 3000
    bench.peer(ACK)
    assert sum(len(seg.payload) for seg in bench.write(bytes(10000))) == 3000
    assert sum(len(seg.payload) for seg in bench.peer(ACK, ack=-2000)) == 1000


@pytest.mark.req("9293-3.10.7.4-ack-FIN-WAIT-1")
def test_the_ack_of_our_fin_leads_to_fin_wait_2(bench):
    bench = bench(State.FIN_WAIT_1)
    bench.peer(ACK, ack=-1)
    assert bench.connection.state is State.FIN_WAIT_1
    bench.peer(ACK)
    assert bench.connection.state is State.FIN_WAIT_2


@pytest.mark.req("9293-3.10.7.4-ack-FIN-WAIT-2")
def test_fin_wait_2_stays_while_the_user_reads(bench):
    bench = bench(State.FIN_WAIT_2)
    bench.peer(ACK)
    bench.advance(10**12)
    assert bench.connection.state is State.FIN_WAIT_2
    bench.peer(ACK, b"more")
    assert bench.read() == b"more"


@pytest.mark.req("9293-3.10.7.4-ack-CLOSE-WAIT")
def test_acks_count_in_close_wait(bench):
    bench = bench(State.CLOSE_WAIT)
    bench.write(b"data")
    bench.peer(ACK)
    assert bench.connection.info().unacknowledged == 0


@pytest.mark.req("9293-3.10.7.4-ack-CLOSING")
def test_the_ack_of_our_fin_leads_from_closing_to_time_wait(bench):
    bench = bench(State.CLOSING)
    bench.peer(ACK, ack=-1)
    assert bench.connection.state is State.CLOSING
    bench.peer(ACK)
    assert bench.connection.state is State.TIME_WAIT


@pytest.mark.req("9293-3.10.7.4-ack-LAST-ACK")
def test_the_ack_of_our_fin_ends_last_ack(bench):
    bench = bench(State.LAST_ACK)
    bench.peer(ACK, ack=-1)
    assert bench.connection.state is State.LAST_ACK
    bench.peer(ACK)
    assert bench.connection.state is State.CLOSED and not bench.alive
    assert bench.happened() & CLOSED and bench.connection.error is None


@pytest.mark.req("9293-3.10.7.4-ack-TIME-WAIT", "9293-3.10.7.4-fin-TIME-WAIT", "9293-MUST-13", "9293-3.10.8-timewait")
def test_a_fin_in_time_wait_is_acknowledged_and_2_msl_start_again(bench, second):
    bench = bench(State.TIME_WAIT, maximum_segment_lifetime=30 * second)
    bench.advance(50 * second)
    reply = bench.peer(FIN | ACK, at=-1)
    assert is_ack(bench, reply)
    bench.advance(59 * second)
    assert bench.alive and bench.connection.state is State.TIME_WAIT
    bench.advance(2 * second)
    assert not bench.alive and bench.connection.state is State.CLOSED


# sixth: the URG bit


@pytest.mark.req("9293-MUST-31")
def test_urgent_text_stays_in_line(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(ACK | URG, b"ordinary and urgent")
    assert bench.read() == b"ordinary and urgent"


@pytest.mark.parametrize("state", states("urg", [State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT]))
def test_urgent_is_ignored_after_the_peers_fin(bench, state):
    bench = bench(state)
    bench.peer(ACK | URG, ack=-1 if state in (State.CLOSING, State.LAST_ACK) else 0)
    assert bench.connection.state is state and bench.connection.readable == 0


# seventh: the text


@pytest.mark.parametrize("state", states("text", [State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2]))
def test_text_is_taken(bench, state, second):
    bench = bench(state, receive_buffer=60_000)
    window = bench.connection.receiver.window
    sent = bench.peer(ACK, bytes(500), ack=-1 if state is State.FIN_WAIT_1 else 0)
    sent += [seg for _, seg in bench.advance(second // 2) if seg.flags == ACK]
    assert is_ack(bench, sent[:1])
    assert sent[0].window == window - 500
    assert bench.happened() == READABLE
    assert bench.read() == bytes(500)


@pytest.mark.parametrize("state", states("text", [State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT]))
def test_text_after_the_peers_fin_is_ignored(bench, state):
    bench = bench(state)
    bench.peer(ACK, b"late", ack=-1 if state in (State.CLOSING, State.LAST_ACK) else 0)
    assert bench.connection.readable == 0 and bench.connection.state is state


@pytest.mark.req("9293-3.10.7.4-text-piggyback", "9293-MUST-58", "9293-MUST-59")
def test_an_answer_carries_the_acknowledgment(bench):
    bench = bench(State.ESTABLISHED)
    seg = bench.peer(ACK, b"request")
    assert seg == []
    [reply] = bench.write(b"response")
    assert (reply.payload, reply.ack) == (b"response", bench.nxt)
    assert bench.advance(10**8) == []


@pytest.mark.req("9293-SHLD-31", "9293-MAY-13", "5681-15", "2525-2.5")
def test_text_ahead_of_a_gap_is_kept_and_acknowledged_at_once(bench):
    bench = bench(State.ESTABLISHED)
    first = bench.nxt
    assert is_ack(bench, bench.peer(ACK, b"second", at=5), ack=first)
    assert bench.read() == b"" and bench.happened() == 0
    reply = bench.peer(ACK, b"first")
    assert flags_of(reply) == [ACK] and reply[0].ack == (first + 11) & MASK
    assert bench.read() == b"firstsecond"


@pytest.mark.req("5681-16")
def test_a_gap_that_is_filled_in_part_is_acknowledged_at_once(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(ACK, bytes(100), at=200)
    bench.peer(ACK, bytes(100), at=500)
    [reply] = bench.peer(ACK, bytes(200))
    assert reply.ack == (PEER_ISS + 1 + 300) & MASK


def test_text_that_does_not_reach_the_gap_leaves_it_a_gap(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(ACK, b"third", at=200)
    bench.peer(ACK, bytes(100))
    assert bench.connection.readable == 100
    bench.peer(ACK, bytes(100))
    assert bench.read() == bytes(200) + b"third"


# eighth: the FIN bit


@pytest.mark.req("9293-3.10.7.4-fin-gen", "9293-3.6-case2", "2525-2.15")
def test_a_fin_ends_the_stream(bench):
    bench = bench(State.ESTABLISHED)
    [reply] = bench.peer(FIN | ACK, b"last")
    assert reply.ack == (PEER_ISS + 1 + 4 + 1) & MASK and not reply.flags & FIN
    assert bench.happened() == READABLE | END_OF_STREAM
    assert not bench.connection.at_end_of_stream
    assert bench.read() == b"last"
    assert bench.connection.at_end_of_stream and bench.read() == b""


@pytest.mark.req("9293-3.10.7.4-fin-gap", "2525-2.5")
def test_a_fin_waits_for_the_gap_before_it(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(FIN | ACK, b"end", at=5)
    assert bench.connection.state is State.ESTABLISHED and bench.happened() == 0
    [reply] = bench.peer(ACK, b"begin")
    assert bench.connection.state is State.CLOSE_WAIT
    assert reply.ack == (PEER_ISS + 1 + 5 + 3 + 1) & MASK
    assert bench.read() == b"beginend"


@pytest.mark.req("9293-3.10.7.4-fin-gap")
def test_an_empty_fin_waits_for_the_gap_before_it(bench):
    bench = bench(State.ESTABLISHED)
    [reply] = bench.peer(FIN | ACK, at=5)
    assert reply.ack == bench.nxt and bench.connection.state is State.ESTABLISHED
    bench.peer(ACK, b"begin")
    assert bench.connection.state is State.CLOSE_WAIT


@pytest.mark.req("9293-3.10.7.4-fin-SYN-RCVD")
def test_a_fin_with_the_ack_of_our_syn(bench):
    bench = bench(State.SYN_RECEIVED)
    bench.peer(FIN | ACK, b"all at once")
    assert bench.connection.state is State.CLOSE_WAIT
    assert bench.read() == b"all at once"


@pytest.mark.req("9293-3.10.7.4-fin-ESTAB")
def test_a_fin_in_established(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(FIN | ACK)
    assert bench.connection.state is State.CLOSE_WAIT


@pytest.mark.req("9293-3.10.7.4-fin-FIN-WAIT-1-acked")
def test_a_fin_that_acknowledges_ours(bench):
    bench = bench(State.FIN_WAIT_1)
    assert is_ack(bench, bench.peer(FIN | ACK))
    assert bench.connection.state is State.TIME_WAIT
    assert bench.connection.retransmit.deadline is None


@pytest.mark.req("9293-3.10.7.4-fin-FIN-WAIT-1-unacked")
def test_a_fin_that_crosses_ours(bench):
    bench = bench(State.FIN_WAIT_1)
    assert is_ack(bench, bench.peer(FIN | ACK, ack=-1))
    assert bench.connection.state is State.CLOSING


@pytest.mark.req("9293-3.10.7.4-fin-FIN-WAIT-2", "9293-MUST-13", "9293-3.10.8-timewait")
def test_a_fin_in_fin_wait_2(bench, second):
    bench = bench(State.FIN_WAIT_2, maximum_segment_lifetime=30 * second)
    assert is_ack(bench, bench.peer(FIN | ACK))
    assert bench.connection.state is State.TIME_WAIT
    bench.advance(59 * second)
    assert bench.alive
    bench.advance(2 * second)
    assert not bench.alive


@pytest.mark.parametrize("state", states("fin", [State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK]))
def test_a_repeated_fin_changes_nothing(bench, state):
    bench = bench(state)
    assert is_ack(bench, bench.peer(FIN | ACK, at=-1, ack=-1 if state is not State.CLOSE_WAIT else 0))
    assert bench.connection.state is state


# figures of section 3.5


@pytest.mark.req("9293-3.5-olddupsyn")
def test_figure_8_an_old_duplicate_syn_is_recovered_by_a_reset(bench):
    bench = bench(State.LISTEN)
    bench.nxt = (PEER_ISS - 5000) & MASK
    bench.peer(SYN)
    bench.peer(RST)  # the peer, in SYN-SENT, did not like our SYN-ACK
    assert list(bench.tcp.connections()) == []
    bench.nxt = PEER_ISS
    bench.una = OUR_ISS
    assert flags_of(bench.peer(SYN)) == [SYN | ACK]
    bench.peer(ACK)
    [connection] = bench.tcp.connections()
    assert connection.state is State.ESTABLISHED


@pytest.mark.req("9293-3.5.1-halfopen", "9293-3.5.2-rst-sync")
def test_figure_10_a_half_open_connection_is_found(bench):
    bench = bench(State.ESTABLISHED)
    [challenge] = bench.peer(SYN, at=-5000)  # the peer has crashed, and opens anew
    assert challenge.flags == ACK
    rcv_nxt = challenge.ack
    bench.nxt = rcv_nxt
    bench.peer(RST)  # which in its SYN-SENT it resets, at our ACK number
    assert bench.connection.state is State.CLOSED
