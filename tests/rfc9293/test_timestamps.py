"""The time stamps option and PAWS: RFC 7323 sections 3 to 5."""

import pytest

from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire.tcp import ACK, FIN, RST, SYN
from stack.wire.tcp_options import TcpOptions

OUR_ISS = -20 & MASK
PEER_ISS = -30 & MASK
MILLISECOND = 10**6
SECOND = 10**9
DAY = 24 * 3600 * SECOND


def stamp(value, echo=0):
    return TcpOptions(ts_val=value & MASK, ts_ecr=echo)


def stamped(bench, state=State.ESTABLISHED, start=1000, **config):
    """A connection with time stamps; the peer's clock begins at `start`."""
    bench = bench(timestamps=True, **config)
    listener = bench.listen()
    [bench.syn_ack] = bench.peer(SYN, options=TcpOptions(mss=1000, ts_val=start & MASK, ts_ecr=0))
    if state is State.ESTABLISHED:
        bench.peer(ACK, options=stamp(start))
        bench.connection = listener.accept()
    return bench


@pytest.mark.req("7323-ts-1")
def test_a_syn_echoes_nothing(bench):
    bench = bench(timestamps=True)
    bench.tcp.connect(bench.source_for(0) + 1, 1234, bench.now, local_port=80)
    [syn] = bench.take()
    assert syn.options.ts_val is not None and syn.options.ts_ecr == 0


@pytest.mark.req("7323-ts-2")
def test_a_syn_ack_echoes_the_syn(bench):
    bench = stamped(bench, State.LISTEN, start=4711)
    assert bench.syn_ack.options.ts_val is not None and bench.syn_ack.options.ts_ecr == 4711


@pytest.mark.req("7323-ts-4")
def test_a_syn_ack_has_time_stamps_only_if_the_syn_had(bench):
    bench = bench(timestamps=True)
    bench.listen()
    [reply] = bench.peer(SYN, options=TcpOptions(mss=1000))
    assert reply.options.ts_val is None


@pytest.mark.req("7323-ts-3")
def test_the_echo_of_a_syn_is_ignored(bench):
    bench = bench(timestamps=True)
    bench.listen()
    [reply] = bench.peer(SYN, options=TcpOptions(mss=1000, ts_val=5, ts_ecr=123456))
    assert reply.flags == SYN | ACK
    bench.peer(ACK, at=-1, options=TcpOptions(ts_val=5, ts_ecr=123456))
    [connection] = bench.tcp.connections()
    assert connection.info().srtt is None


@pytest.mark.req("7323-ts-5")
def test_every_segment_of_the_connection_has_time_stamps(bench):
    bench = stamped(bench)
    sent = bench.write(bytes(2500)) + bench.peer(ACK, b"x", options=stamp(1001))
    sent += bench.peer(ACK, b"y", at=5, options=stamp(1001))
    sent += bench.shutdown() + [seg for _, seg in bench.advance(5 * SECOND)]
    assert len(sent) > 5 and all(seg.options.ts_val is not None for seg in sent)


@pytest.mark.req("7323-paws-3")
def test_a_reset_of_ours_has_time_stamps(bench):
    [reset] = stamped(bench).abort()
    assert reset.flags & RST and reset.options.ts_val is not None


@pytest.mark.req("7323-ts-6", "7323-ts-7")
def test_segments_without_time_stamps_are_dropped_in_silence(bench):
    bench = stamped(bench)
    for _ in range(20):
        assert bench.peer(ACK, b"no stamp") == []
        bench.nxt = (PEER_ISS + 1) & MASK
    assert bench.read() == b"" and bench.connection.state is State.ESTABLISHED
    assert bench.counters["TcpExtPAWSEstab"] == 20


@pytest.mark.req("7323-ts-8")
def test_time_stamps_that_were_not_agreed_on_are_ignored(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(ACK, b"one", options=stamp(1000))
    bench.peer(ACK, b"two", options=stamp(-1000))
    assert bench.read() == b"onetwo"


@pytest.mark.req("7323-rttm-1", "7323-clk-1", "7323-clk-2")
def test_the_clock_ticks_once_a_millisecond(bench):
    bench = stamped(bench, nagle=False)
    [first] = bench.write(b"x")
    bench.advance(100 * MILLISECOND)
    [second] = bench.write(b"y")
    assert (second.options.ts_val - first.options.ts_val) & MASK == 100


@pytest.mark.req("7323-clk-3")
def test_each_connection_has_an_offset_of_its_own(bench):
    values = set()
    bench = bench(timestamps=True)
    for port in range(1000, 1020):
        bench.tcp.connect(bench.source_for(0) + 1, port, bench.now, local_port=80)
        values.add(bench.take()[0].options.ts_val)
    assert len(values) == 20


# Which one is echoed


@pytest.mark.req("7323-echo-1", "7323-echo-4")
def test_a_delayed_acknowledgment_echoes_the_first_segment(bench):
    bench = stamped(bench)
    bench.peer(ACK, bytes(1000), options=stamp(2000))
    [reply] = bench.peer(ACK, bytes(1000), options=stamp(2005))
    assert reply.ack == bench.nxt and reply.options.ts_ecr == 2000


@pytest.mark.req("7323-echo-2", "7323-paws-7")
def test_an_acknowledgment_ahead_of_a_gap_echoes_the_last_in_order(bench):
    bench = stamped(bench)
    bench.peer(ACK, bytes(1000), options=stamp(2000))
    bench.advance(SECOND)
    [reply] = bench.peer(ACK, bytes(1000), at=1000, options=stamp(3000))
    assert reply.options.ts_ecr == 2000


@pytest.mark.req("7323-echo-3", "7323-paws-8")
def test_an_acknowledgment_of_a_filled_gap_echoes_what_filled_it(bench):
    bench = stamped(bench)
    bench.peer(ACK, bytes(1000), at=1000, options=stamp(2000))
    [reply] = bench.peer(ACK, bytes(1000), options=stamp(2010))
    assert reply.ack == (PEER_ISS + 1 + 2000) & MASK and reply.options.ts_ecr == 2010
    assert len(bench.read()) == 2000


# PAWS


@pytest.mark.req("7323-paws-5", "7323-paws-6", "7323-paws-1")
@pytest.mark.parametrize("start", [1000, 5, 1 << 31, MASK])
def test_an_old_duplicate_is_acknowledged_and_dropped(bench, start):
    bench = stamped(bench, start=start)
    bench.peer(ACK, b"new", options=stamp(start + 10))
    bench.advance(SECOND)
    rcv_nxt = bench.nxt
    [reply] = bench.peer(ACK, b"old", options=stamp(start + 9))
    assert (reply.flags, reply.ack) == (ACK, rcv_nxt)
    assert reply.options.ts_ecr == (start + 10) & MASK
    assert bench.read() == b"new" and bench.counters["TcpExtPAWSEstab"] == 1


@pytest.mark.req("7323-paws-1", "7323-paws-6")
def test_an_equal_time_stamp_is_good(bench):
    bench = stamped(bench)
    bench.peer(ACK, b"one", options=stamp(2000))
    bench.peer(ACK, b"two", options=stamp(2000))
    assert bench.read() == b"onetwo"


@pytest.mark.req("7323-paws-4")
def test_a_reset_is_not_checked(bench):
    bench = stamped(bench)
    bench.peer(ACK, b"x", options=stamp(2000))
    bench.peer(RST, options=stamp(1))
    assert bench.connection.state is State.CLOSED


@pytest.mark.req("7323-paws-9")
def test_after_24_days_of_silence_an_old_time_stamp_says_nothing(bench):
    bench = stamped(bench)
    bench.peer(ACK, b"x", options=stamp(2000))
    bench.advance(23 * DAY)
    bench.peer(ACK, b"y", options=stamp(2000 - 5))
    assert bench.counters["TcpExtPAWSEstab"] == 1
    bench.nxt = (bench.nxt - 1) & MASK
    bench.advance(2 * DAY)
    bench.peer(ACK, b"y", options=stamp(2000 - 5))
    assert bench.read() == b"xy"


# Measurement


@pytest.mark.req("7323-rttm-2")
def test_a_duplicate_acknowledgment_is_not_measured(bench):
    bench = stamped(bench)
    [seg] = bench.write(b"x")
    bench.advance(50 * MILLISECOND)
    bench.peer(ACK, options=stamp(2000, seg.options.ts_val))
    before = bench.connection.info().srtt
    bench.advance(150 * MILLISECOND)
    bench.peer(ACK, options=stamp(2001, seg.options.ts_val))
    assert bench.connection.info().srtt == before


@pytest.mark.req("6298-7")
def test_a_retransmission_is_measured_by_its_time_stamp(bench):
    bench = stamped(bench)
    bench.write(b"x")
    bench.advance(100 * MILLISECOND)
    bench.peer(ACK, options=stamp(1500, 0))
    rto = bench.connection.info().rto
    bench.write(b"y")
    [(_, again)] = bench.advance(rto)
    assert bench.connection.info().rto == 2 * rto
    bench.advance(30 * MILLISECOND)
    bench.peer(ACK, options=stamp(2000, again.options.ts_val))
    assert bench.connection.info().rto < 2 * rto


# TIME-WAIT (RFC 6191)


def in_time_wait(bench):
    bench = stamped(bench)
    bench.shutdown()
    bench.peer(ACK, options=stamp(2000))
    bench.peer(FIN | ACK, options=stamp(2000))
    assert bench.connection.state is State.TIME_WAIT
    return bench


@pytest.mark.req("6191-1", "9293-SHLD-4")
def test_a_syn_with_a_newer_time_stamp_replaces_a_time_wait(bench):
    bench = in_time_wait(bench)
    [reply] = bench.peer(SYN, at=-100_000, options=TcpOptions(mss=1000, ts_val=2001, ts_ecr=0))
    assert reply.flags == SYN | ACK


@pytest.mark.req("6191-2")
def test_a_syn_with_an_equal_time_stamp_needs_a_larger_sequence_number(bench):
    bench = in_time_wait(bench)
    [reply] = bench.peer(SYN, at=1000, options=TcpOptions(mss=1000, ts_val=2000, ts_ecr=0))
    assert reply.flags == SYN | ACK


@pytest.mark.req("6191-3")
def test_a_syn_without_time_stamps_needs_a_larger_sequence_number(bench):
    bench = in_time_wait(bench)
    [reply] = bench.peer(SYN, at=1000, options=TcpOptions(mss=1000))
    assert reply.flags == SYN | ACK


@pytest.mark.req("6191-4")
def test_an_old_syn_leaves_a_time_wait_alone(bench):
    bench = in_time_wait(bench)
    sent = bench.peer(SYN, at=-1000, options=TcpOptions(mss=1000, ts_val=1999, ts_ecr=0))
    assert not any(seg.flags & SYN for seg in sent)
    assert bench.connection.state is State.TIME_WAIT


@pytest.mark.req("6191-5")
def test_a_time_wait_without_time_stamps(bench):
    bench = bench(State.TIME_WAIT, timestamps=True)
    [reply] = bench.peer(SYN, at=1000, options=TcpOptions(mss=1000, ts_val=1, ts_ecr=0))
    assert reply.flags == SYN | ACK
