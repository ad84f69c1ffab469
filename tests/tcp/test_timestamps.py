"""Timestamps: negotiation, what is echoed, round-trip times, PAWS (RFC 7323 sections 3 to 5)."""

import itertools

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions
from tests.tcp.harness import Bench, Peer, established, stream

MSS = 1448
BASE = 0xFFFF_FF00  # the peer's clock wraps after 256 ticks
DAY = 24 * 3600 * SECOND


def ts(value: int, echo: int = 0) -> TcpOptions:
    return TcpOptions(ts_val=(BASE + value) & 0xFFFF_FFFF, ts_ecr=echo)


def stamped(bench: Bench, *, isn: int = -10001, active: bool = False) -> Peer:
    """A connection with timestamps; the peer's clock stands at BASE."""
    bench.peers.clear()
    if active:
        peer = bench.connect(40000, isn, local_port=50000)
        peer.expect("S")
        peer.ts_val = BASE
        peer.syn("SA", ts=True)
        peer.expect("A")
    else:
        listener = bench.listen()
        peer = Peer(bench, isn=isn)
        peer.ts_val = BASE
        peer.handshake(listener, ts=True)
    peer.strict = False
    return peer


def echoes(peer: Peer) -> list[int]:
    """What the host echoed, as ticks after BASE."""
    return [(each.options.ts_ecr - BASE) & 0xFFFF_FFFF for each in peer.take()]


@pytest.mark.req("7323-ts-1", "7323-ts-2", "7323-ts-4")
@pytest.mark.parametrize("offered", [False, True])
def test_a_syn_ack_has_timestamps_if_the_syn_had(bench: Bench, offered: bool) -> None:
    bench.listen()
    peer = Peer(bench)
    peer.ts_val = 0x01020304
    peer.syn(ts=offered)
    options = peer.expect("SA").options
    assert (options.ts_val is not None) == offered
    assert options.ts_ecr == (0x01020304 if offered else 0)


@pytest.mark.req("7323-ts-1", "7323-ts-3")
def test_our_syn_echoes_nothing(bench: Bench) -> None:
    options = bench.connect(local_port=5000).expect("S").options
    assert options.ts_val is not None and options.ts_ecr == 0


@pytest.mark.req("7323-ts-3")
def test_an_echo_in_a_segment_without_ack_is_ignored(bench: Bench) -> None:
    bench.listen()
    peer = Peer(bench)
    peer.syn(options=TcpOptions(mss=1460, ts_val=7, ts_ecr=0xDEADBEEF))
    peer.use_ts = True
    peer.ts_val = 7
    assert peer.expect("SA").options.ts_ecr == 7
    peer.send("A")
    connection = next(iter(bench.host.connections()))
    assert (connection.info().srtt or 0) < SECOND


@pytest.mark.req("7323-ts-5")
def test_every_segment_has_timestamps_once_agreed(bench: Bench, isn: int) -> None:
    peer = stamped(bench, isn=isn)
    peer.write(30_000)
    for _ in range(3):
        peer.send("PA", data=100)
    bench.elapse(10 * SECOND)
    peer.send("A", ack=peer.seen)
    peer.shutdown()
    peer.send("A")
    peer.send("FA")
    sent = peer.take()
    assert len(sent) > 20 and all(each.options.ts_val is not None for each in sent)


@pytest.mark.req("7323-ts-8", "7323-ts-1")
def test_timestamps_that_were_not_agreed_are_ignored(bench: Bench) -> None:
    peer = established(bench)
    for value in (100, 50, 1):
        peer.strict = False
        peer.send("PA", data=10, options=TcpOptions(ts_val=value))
    bench.elapse(SECOND)
    assert all(each.options == NO_OPTIONS for each in peer.take())
    assert peer.read() == stream(0, 30)


@pytest.mark.req("7323-ts-6", "7323-ts-7")
def test_segments_without_timestamps_are_dropped_and_never_the_end(bench: Bench, isn: int) -> None:
    peer = stamped(bench, isn=isn)
    for _ in range(100):
        peer.send("PA", seq=1, data=10, options=NO_OPTIONS)
    assert peer.connection.readable == 0 and peer.state == "ESTABLISHED"
    peer.take()
    peer.send("PA", seq=1, data=10)
    assert peer.read() == stream(0, 10)


@pytest.mark.req("7323-ts-6")
def test_a_reset_needs_no_timestamps(bench: Bench) -> None:
    peer = stamped(bench)
    peer.send("R", options=NO_OPTIONS)
    assert peer.state == "CLOSED"


# What is echoed: TS.Recent (RFC 7323 4.3)


@pytest.mark.req("7323-echo-1", "7323-ts-2")
def test_a_delayed_ack_echoes_the_earliest_segment(bench: Bench, isn: int) -> None:
    peer = stamped(bench, isn=isn)
    peer.send("A", data=MSS, options=ts(1))
    peer.take()
    peer.send("A", data=100, options=ts(2))
    peer.send("A", data=100, options=ts(3))
    bench.elapse(SECOND // 2)
    acks = peer.take()
    assert acks[-1].ack == MSS + 201
    assert (acks[-1].options.ts_ecr - BASE) & 0xFFFFFFFF == (1 if len(acks) == 1 else 2)


@pytest.mark.req("7323-echo-2", "7323-echo-3", "7323-paws-7", "7323-echo-4", "7323-paws-8")
def test_the_rules_of_a_hole(bench: Bench, isn: int) -> None:
    """RFC 7323 4.3 (C): A, C, B, E, D, with D and B filling holes."""
    peer = stamped(bench, isn=isn)
    peer.send("PA", seq=1, data=100, options=ts(1))  # A
    bench.elapse(SECOND // 2)
    assert echoes(peer) == [1]
    peer.send("PA", seq=201, data=100, options=ts(3))  # C: a hole before it
    assert echoes(peer) == [1]
    peer.send("PA", seq=101, data=100, options=ts(2))  # B fills it
    assert echoes(peer) == [2]
    peer.send("PA", seq=401, data=100, options=ts(5))  # E
    assert echoes(peer) == [2]
    peer.send("PA", seq=301, data=100, options=ts(4))  # D
    assert echoes(peer) == [4]
    assert peer.read() == stream(0, 500)


@pytest.mark.req("7323-echo-4", "7323-paws-7")
def test_a_segment_beyond_what_was_acknowledged_is_not_recorded(bench: Bench) -> None:
    """SEG.SEQ <= Last.ACK.sent: while an ACK is delayed, a later segment's timestamp is not taken."""
    peer = stamped(bench)
    peer.send("PA", data=10, options=ts(5))
    peer.send("PA", data=10, options=ts(9))
    bench.elapse(SECOND // 2)
    assert echoes(peer)[-1] == 5


@pytest.mark.req("7323-rttm-2", "7323-rttm-1")
def test_a_round_trip_is_measured_only_when_snd_una_advances(bench: Bench) -> None:
    peer = stamped(bench)
    for _ in range(30):
        peer.write(100)
        peer.take()
        echo = peer.ts_seen
        bench.elapse(100 * MILLISECOND)
        peer.send("A", options=ts(0, echo))
    before = peer.connection.info()
    assert before.srtt == pytest.approx(100 * MILLISECOND, abs=3 * MILLISECOND)
    peer.write(10)
    peer.take()
    for _ in range(10):
        bench.elapse(MILLISECOND)
        peer.send("A", ack=peer.seen - 10, options=ts(0, echo))  # duplicates that echo the past
    after = peer.connection.info()
    assert (after.srtt, after.rttvar) == (before.srtt, before.rttvar)


@pytest.mark.req("7323-rttm-3")
def test_many_samples_in_a_round_trip_do_not_wash_out_the_memory(bench: Bench) -> None:
    """RFC 7323 4.2, appendix G: one flight of acknowledgments must not make history of rttvar."""
    peer = stamped(bench)
    for rtt in (100, 150, 100, 150):
        peer.write(100)
        peer.take()
        echo = peer.ts_seen
        bench.elapse(rtt * MILLISECOND)
        peer.send("A", options=ts(0, echo))
    peer.write(14_480)
    flight = peer.take()
    before = peer.connection.info()
    echo = peer.ts_seen
    bench.elapse(200 * MILLISECOND)
    for each in flight:
        peer.send("A", ack=each.end, options=ts(0, echo))
    assert len(flight) == 10
    assert peer.connection.info().rttvar > before.rttvar * 0.55


@pytest.mark.req("6298-7", "7323-rttm-2")
def test_with_timestamps_a_retransmitted_segment_may_be_measured(bench: Bench) -> None:
    """Karn's rule has this exception (RFC 6298 section 3): the echo says which transmission it was."""
    peer = stamped(bench)
    peer.write(100)
    peer.take()
    again = peer.expect("A", seq=1, within=10 * SECOND)
    assert again.options.ts_val is not None
    bench.elapse(50 * MILLISECOND)
    peer.send("A", ack=101, options=ts(0, again.options.ts_val))
    assert (peer.connection.info().srtt or 0) <= 60 * MILLISECOND


# PAWS


@pytest.mark.req("7323-paws-5", "7323-paws-6", "7323-paws-1")
@pytest.mark.parametrize("behind", [1, 1000, (1 << 31) - 1])
def test_an_old_timestamp_is_acknowledged_and_dropped(bench: Bench, isn: int, behind: int) -> None:
    peer = stamped(bench, isn=isn)
    peer.send("PA", data=10, options=ts(300))
    bench.elapse(SECOND // 2)
    assert echoes(peer) == [300]
    peer.send("PA", seq=11, data=10, options=ts(300 - behind))
    ack = peer.expect("A", ack=11, data=0)
    assert (ack.options.ts_ecr - BASE) & 0xFFFFFFFF == 300
    assert peer.connection.readable == 10
    peer.send("PA", seq=11, data=10, options=ts(300))  # the same one is not old
    assert peer.read() == stream(0, 20)


@pytest.mark.req("7323-paws-6", "7323-paws-5")
def test_an_old_timestamp_neither_acknowledges_nor_closes(bench: Bench) -> None:
    peer = stamped(bench)
    peer.write(100)
    peer.send("PA", ack=1, data=10, options=ts(300))
    bench.elapse(100 * MILLISECOND)
    peer.take()
    peer.send("FA", seq=11, ack=101, options=ts(299))
    assert peer.connection.info().unacknowledged == 100 and peer.state == "ESTABLISHED"


@pytest.mark.req("7323-paws-4")
@pytest.mark.parametrize("value", [-1000, 1000])
def test_a_reset_is_not_checked_by_paws_and_not_recorded(bench: Bench, value: int) -> None:
    peer = stamped(bench)
    peer.send("PA", data=10, options=ts(300))
    bench.elapse(SECOND // 2)
    peer.take()
    peer.send("R", seq=12, options=ts(300 + value))  # challenged, not exact
    assert echoes(peer) == [300]
    peer.send("R", seq=11, options=ts(300 - 1000))
    assert peer.state == "CLOSED"


@pytest.mark.req("7323-paws-8", "7323-paws-7")
def test_what_waits_for_a_hole_is_not_tested_again(bench: Bench) -> None:
    peer = stamped(bench)
    peer.send("PA", seq=101, data=100, options=ts(10))
    peer.send("PA", seq=1, data=100, options=ts(20))
    bench.elapse(SECOND // 2)
    assert peer.take()[-1].ack == 201
    assert peer.read() == stream(0, 200)


@pytest.mark.req("7323-paws-9")
@pytest.mark.parametrize(("days", "taken"), [(1, False), (25, True)])
def test_after_24_idle_days_the_recorded_timestamp_is_worth_nothing(bench: Bench, days: int, taken: bool) -> None:
    peer = stamped(bench)
    peer.send("PA", data=10, options=ts(1000))
    bench.elapse(days * DAY)
    peer.take()
    peer.send("PA", seq=11, data=10, options=ts(10))
    assert peer.connection.readable == (20 if taken else 10)


@pytest.mark.req("7323-paws-2")
def test_a_reset_for_a_segment_with_timestamps_echoes(bench: Bench) -> None:
    """RFC 7323 3.2: TSecr from the segment, TSval 0 or the clock's."""
    peer = Peer(bench, local_port=9)
    peer.send("A", seq=1, ack=5, options=TcpOptions(ts_val=1234, ts_ecr=9))
    reset = peer.expect("R", seq=5)
    assert (reset.options.ts_val, reset.options.ts_ecr) == (0, 1234)


@pytest.mark.req("7323-paws-3")
def test_the_reset_of_an_abort_has_timestamps(bench: Bench) -> None:
    peer = stamped(bench)
    peer.abort()
    options = peer.expect().options
    assert options.ts_val is not None and options.ts_ecr == BASE


# The clock


@pytest.mark.req("7323-rttm-1", "7323-clk-2")
def test_the_clock_ticks_in_proportion_to_time(bench: Bench) -> None:
    peer = stamped(bench)
    stamps = []
    for _ in range(10):
        bench.elapse(10 * SECOND)
        peer.send("PA", data=1)
        bench.elapse(SECOND // 2)
        stamps.append(peer.take()[-1].options.ts_val or 0)
    steps = {(later - earlier) & 0xFFFFFFFF for earlier, later in itertools.pairwise(stamps)}
    assert max(steps) - min(steps) <= 1
    assert 10.5 <= max(steps) <= 10_501  # a tick of 1 s to 1 ms


@pytest.mark.req("7323-clk-3", "6191-6")
def test_the_clocks_offset_is_a_flows_own(bench: Bench) -> None:
    """Unrelated between flows; but monotonic for one, so that a TIME-WAIT may be reused (RFC 6191 section 3)."""
    values = []
    for port in range(5000, 5020):
        values.append(bench.connect(81, local_port=port).expect("S").options.ts_val or 0)
        bench.peers[0].send("RA", seq=0, ack=1)
    assert len({value >> 16 for value in values}) > 15
    bench.elapse(10 * SECOND)
    later = bench.connect(81, local_port=5000).expect("S").options.ts_val or 0
    assert 0 < (later - values[0]) & 0xFFFFFFFF <= 10_000


@pytest.mark.req("7323-ts-2")
def test_an_active_open_with_timestamps(bench: Bench) -> None:
    peer = stamped(bench, active=True)
    peer.write(10)
    assert peer.expect("A", data=10).options.ts_ecr == BASE
