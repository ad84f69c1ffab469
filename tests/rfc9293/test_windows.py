"""Windows: silly windows, Nagle, closed windows and their probes, delayed acknowledgments (RFC 9293 section 3.8.6)."""

from itertools import pairwise

import pytest

from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire.tcp import ACK, FIN, PSH, SYN
from stack.wire.tcp_options import TcpOptions

OUR_ISS = -20 & MASK
PEER_ISS = -30 & MASK
MILLISECOND = 10**6


def sizes(sent):
    return [len(seg.payload) for seg in sent if seg.payload]


# What the sender may send


@pytest.mark.req("9293-MUST-1", "5681-1")
def test_the_window_field_is_unsigned(bench):
    bench = bench(State.ESTABLISHED, initial_window_segments=100)
    bench.peer(ACK, window=65535)
    bench.connection.sender.congestion.cwnd = 1 << 20
    sent = bench.write(bytes(100_000))
    assert sum(sizes(sent)) in range(65_000, 65_536)


@pytest.mark.req("9293-REC-1")
def test_windows_of_a_gigabyte_are_kept(bench):
    options = TcpOptions(mss=1000, window_scale=14)
    bench = bench(State.ESTABLISHED, window_scaling=True, options=options)
    bench.peer(ACK, window=65535)
    assert bench.connection.info().send_window == 65535 << 14


@pytest.mark.req("9293-SHLD-7", "9293-MUST-38")
def test_nagle_holds_a_short_segment_while_something_is_in_flight(bench):
    bench = bench(State.ESTABLISHED)
    assert sizes(bench.write(b"first")) == [5]
    assert sizes(bench.write(b"second")) == []
    assert sizes(bench.write(b"third")) == []
    assert [bytes(seg.payload) for seg in bench.peer(ACK)] == [b"secondthird"]


@pytest.mark.req("9293-MUST-17")
def test_nagle_can_be_switched_off(bench):
    bench = bench(State.ESTABLISHED, nagle=False)
    assert sizes(bench.write(b"first")) == [5]
    assert sizes(bench.write(b"second")) == [6]


@pytest.mark.req("9293-MUST-38", "9293-3.8.6.2.1-rules")
def test_a_sliver_of_window_is_not_used(bench):
    bench = bench(State.ESTABLISHED)
    bench.window = 1500
    bench.peer(ACK)
    assert sizes(bench.write(bytes(5000))) == [1000]
    bench.peer(ACK, window=300, ack=0)
    assert bench.take() == []
    assert sizes(bench.peer(ACK, window=1000)) == [1000]


@pytest.mark.req("9293-3.8.6.2.1-rules")
def test_half_of_the_largest_window_is_worth_a_segment(bench):
    bench = bench(State.SYN_RECEIVED, options=TcpOptions(mss=1000))
    bench.window = 600
    bench.connection.sender.max_wnd = 0
    bench.peer(ACK)
    assert sizes(bench.write(bytes(5000))) == [600]
    assert sizes(bench.peer(ACK, window=299)) == []
    assert sizes(bench.peer(ACK, window=300)) == [300]


@pytest.mark.req("9293-MUST-34", "9293-SHLD-15", "9293-SHLD-17")
def test_a_window_that_shrinks_below_what_is_in_flight(bench, second):
    bench = bench(State.ESTABLISHED, initial_window_segments=100)
    assert sum(sizes(bench.write(bytes(4000)))) == 4000
    assert sizes(bench.peer(ACK, ack=-3000, window=1000)) == []
    assert sizes(bench.write(bytes(4000))) == []
    later = bench.advance(30 * second)
    assert all((seg.seq - OUR_ISS - 1) & MASK < 4000 for _, seg in later)
    assert bench.connection.state is State.ESTABLISHED
    bench.peer(ACK, window=65535)
    assert sum(sizes(bench.take())) + bench.connection.info().unsent <= 4000


@pytest.mark.req("9293-MUST-5", "7323-ws-4")
def test_a_window_scale_option_after_the_handshake_is_ignored(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(ACK, window=1000, options=TcpOptions(window_scale=7))
    assert bench.connection.info().send_window == 1000


# MSS


@pytest.mark.req("9293-MUST-15")
def test_without_an_mss_option_536_is_assumed(bench):
    bench = bench(State.ESTABLISHED, options=TcpOptions())
    assert sizes(bench.write(bytes(1072))) == [536, 536]


@pytest.mark.req("9293-MUST-16", "9293-3.7.1-optsize", "2525-2.18", "6691-1")
def test_options_take_room_from_the_text(bench):
    options = TcpOptions(mss=1000, ts_val=1, ts_ecr=0)
    bench = bench(State.SYN_RECEIVED, timestamps=True, options=options)
    stamped = TcpOptions(ts_val=2, ts_ecr=0)
    bench.peer(ACK, options=stamped)
    assert sizes(bench.write(bytes(2000)))[0] == 988


@pytest.mark.req("9293-MUST-16")
def test_the_path_mtu_bounds_segments(bench):
    bench = bench(State.ESTABLISHED, options=TcpOptions(mss=4000))
    assert sizes(bench.write(bytes(1460))) == [1460]
    bench.peer(ACK)
    bench.wire.path_mtu = 1000
    assert sizes(bench.write(bytes(1920))) == [960, 960]


@pytest.mark.req("9293-MUST-67", "9293-SHLD-5", "9293-MAY-3", "1191-9")
@pytest.mark.parametrize("mtu", [576, 1500, 9000])
def test_the_mss_option_says_what_the_interface_takes(bench, mtu):
    bench = bench(State.LISTEN)
    bench.wire.link_mtu = bench.wire.path_mtu = mtu
    [reply] = bench.peer(SYN)
    assert reply.options.mss == mtu - 40


@pytest.mark.req("9293-MUST-65")
def test_mss_is_sent_in_syns_only(bench):
    bench = bench(State.ESTABLISHED)
    sent = bench.write(b"x") + bench.peer(FIN | ACK) + bench.shutdown()
    assert len(sent) == 3 and all(seg.options.mss is None for seg in sent)


# The closed window


def closed(bench, **config):
    """Text is waiting, the peer's window is closed, and nothing is in flight."""
    bench = bench(State.ESTABLISHED, **config)
    bench.window = 0
    bench.peer(ACK)
    assert bench.write(bytes(3000)) == []
    return bench


@pytest.mark.req("9293-MUST-36", "9293-SHLD-29", "9293-SHLD-30", "9293-MUST-35")
def test_a_closed_window_is_probed_ever_more_rarely(bench, second):
    bench = closed(bench)
    rto = bench.connection.info().rto
    probes = bench.advance(200 * second)
    assert {len(seg.payload) for _, seg in probes} == {1}
    assert {seg.seq for _, seg in probes} == {(OUR_ISS + 1) & MASK}
    times = [at for at, _ in probes]
    assert times[0] == rto
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[:5] == [2 * rto, 4 * rto, 8 * rto, 16 * rto, 32 * rto] and max(gaps) == 60 * second
    assert bench.counters["TcpExtTCPWinProbe"] == len(probes)


@pytest.mark.req("9293-MUST-37", "9293-3.8.6.1-zwack")
def test_a_connection_lives_while_its_probes_are_acknowledged(bench, second):
    bench = closed(bench, user_timeout=100 * second)
    for _ in range(100):
        bench.advance(60 * second)
        bench.peer(ACK, ack=-((bench.una - bench.connection.sender.una) & MASK))
    assert bench.connection.state is State.ESTABLISHED


def test_a_connection_ends_when_its_probes_are_not_acknowledged(bench, second):
    bench = closed(bench, user_timeout=100 * second)
    bench.advance(200 * second)
    assert bench.connection.state is State.CLOSED
    assert isinstance(bench.connection.error, TimeoutError)


@pytest.mark.req("2525-2.12", "9293-MUST-36")
def test_a_window_that_closes_on_text_in_flight_is_probed_too(bench, second):
    bench = bench(State.ESTABLISHED)
    bench.write(bytes(3000))
    bench.window = 0
    bench.peer(ACK)
    bench.write(bytes(3000))
    assert sizes(bench.take()) == []
    assert len(bench.advance(20 * second)) >= 3


def test_a_window_that_opens_is_used_at_once(bench, second):
    bench = closed(bench)
    bench.advance(2 * second)
    bench.window = 65535
    sent = bench.peer(ACK, ack=-1)
    assert sum(sizes(sent)) == 3000 or sum(sizes(sent)) + sum(sizes(bench.peer(ACK))) >= 2999
    assert sent[0].seq == (OUR_ISS + 1) & MASK


# What the receiver offers


@pytest.mark.req("9293-MUST-39", "9293-3.8.6.2.2-rule")
def test_the_window_does_not_open_by_slivers(bench):
    bench = bench(State.ESTABLISHED, receive_buffer=10_000)
    for _ in range(10):
        bench.peer(ACK, bytes(1000))
    bench.take()
    assert bench.connection.receiver.window == 0
    bench.read(100)
    assert bench.take() == []
    [reply] = bench.peer(ACK, b"", at=-1)
    assert reply.window == 0
    bench.read(2000)
    [update] = bench.take()
    assert update.window == 2100


@pytest.mark.req("9293-SHLD-14", "9293-3.10.7.4-text-edge", "7323-ws-9")
@pytest.mark.parametrize("size", [1, 7, 130, 999])
def test_the_right_edge_never_retreats(bench, size, second):
    options = TcpOptions(mss=1000, window_scale=3)
    bench = bench(State.ESTABLISHED, receive_buffer=400_000, window_scaling=True, options=options)
    shift = bench.connection.receiver.shift
    assert shift > 0
    edge = 0
    for turn in range(300):
        sent = bench.peer(ACK, bytes(size))
        if turn % 3 == 0:
            bench.read(size)
        sent += bench.take() + [seg for _, seg in bench.advance(second // 20)]
        for seg in sent:
            offered = (seg.ack + (seg.window << shift) - PEER_ISS) & MASK
            assert offered >= edge
            edge = offered


@pytest.mark.req("9293-MUST-40", "9293-SHLD-18", "5681-25")
def test_an_acknowledgment_is_delayed_but_not_for_half_a_second(bench, second):
    bench = bench(State.ESTABLISHED)
    assert bench.peer(ACK, b"x") == []
    [(after, reply)] = bench.advance(second)
    assert 0 < after < second // 2
    assert reply.flags == ACK and reply.ack == bench.nxt
    assert bench.counters["TcpExtDelayedACKs"] == 1


@pytest.mark.req("9293-SHLD-19", "5681-26", "2525-2.13", "2923-2")
def test_every_second_full_segment_is_acknowledged(bench):
    bench = bench(State.ESTABLISHED)
    replies = [len(bench.peer(ACK, bytes(536))) for _ in range(10)]
    assert replies == [0, 1] * 5


def test_a_merged_run_counts_as_its_segments(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(ACK, bytes(536))
    [reply] = bench.peer(ACK, bytes(4 * 536), segments=4)
    assert reply.ack == bench.nxt
    assert bench.connection.receiver.segment_size == 536


@pytest.mark.req("7323-ws-1", "7323-ws-3")
def test_scaling_needs_both_sides(bench):
    bench = bench(State.ESTABLISHED, window_scaling=True, receive_buffer=1 << 20, options=TcpOptions(mss=1000))
    info = bench.connection.info()
    assert (info.receive_window_shift, info.send_window_shift) == (0, 0)
    assert info.receive_window <= 65535


@pytest.mark.req("7323-ws-2")
def test_scaling_is_offered(bench):
    bench = bench(window_scaling=True, receive_buffer=1 << 20)
    bench.tcp.connect(bench.source_for(0) + 1, 1234, bench.now, local_port=80)
    [syn] = bench.take()
    assert syn.options.window_scale == 4 and syn.window == 65535


@pytest.mark.req("9293-MUST-61")
def test_the_last_segment_is_pushed(bench):
    bench = bench(State.ESTABLISHED)
    sent = bench.write(bytes(2000))
    assert [bool(seg.flags & PSH) for seg in sent] == [False, True]


# Window scaling


def scaled(bench, theirs, state=State.ESTABLISHED, **config):
    options = TcpOptions(mss=1000, window_scale=theirs)
    return bench(state, window_scaling=True, options=options, **config)


@pytest.mark.req("7323-ws-5")
def test_the_window_of_our_syn_ack_is_not_scaled(bench):
    bench = bench(window_scaling=True, receive_buffer=30_000)
    bench.listen()
    [reply] = bench.peer(SYN, options=TcpOptions(mss=1000, window_scale=7))
    assert reply.window == 30_000


@pytest.mark.req("7323-ws-8")
@pytest.mark.parametrize("shift", [0, 7, 14])
def test_the_peers_window_is_scaled_by_its_shift(bench, shift):
    bench = scaled(bench, shift)
    bench.peer(ACK, window=100)
    assert bench.connection.info().send_window == 100 << shift


@pytest.mark.req("7323-ws-6", "7323-ws-9")
def test_our_window_is_scaled_by_ours(bench, second):
    bench = scaled(bench, 7, State.LISTEN, receive_buffer=1 << 20, initial_receive_buffer=1 << 20)
    [reply] = bench.peer(SYN, options=TcpOptions(mss=1000, window_scale=7))
    bench.peer(ACK)
    shift = reply.options.window_scale
    assert shift == 4
    bench.peer(ACK, bytes(1000))
    [ack] = bench.peer(ACK, bytes(1000))
    assert (1 << 20) - 2000 <= ack.window << shift <= 1 << 20


@pytest.mark.req("7323-ws-7")
def test_without_the_peers_consent_no_window_is_scaled(bench):
    bench = bench(State.ESTABLISHED, window_scaling=True, receive_buffer=1 << 20, options=TcpOptions(mss=1000))
    bench.peer(ACK, bytes(1000))
    [ack] = bench.peer(ACK, bytes(1000), window=100)
    assert ack.window == 65535 and bench.connection.info().send_window == 100


@pytest.mark.req("7323-ws-11")
def test_our_shift_is_at_most_14(bench):
    bench = bench(window_scaling=True, receive_buffer=1 << 32)
    bench.listen()
    [reply] = bench.peer(SYN, options=TcpOptions(mss=1000, window_scale=7))
    assert reply.options.window_scale == 14


@pytest.mark.req("7323-ws-14")
def test_a_first_transmission_stays_within_the_latest_window(bench):
    bench = scaled(bench, 2)
    bench.peer(ACK, window=2000)
    bench.write(bytes(3000))
    bench.peer(ACK, window=250)
    assert sizes(bench.write(bytes(9000))) == [1000]


@pytest.mark.req("7323-ws-12", "7323-ws-13")
def test_every_octet_that_was_offered_is_taken(bench, second):
    bench = scaled(bench, 2, receive_buffer=200_000)
    shift = bench.connection.receiver.shift
    bench.peer(ACK, bytes(1000))
    [ack] = bench.peer(ACK, bytes(1000))
    edge = (ack.ack + (ack.window << shift)) & MASK
    for _ in range(20):
        bench.peer(ACK, bytes(7))
        bench.advance(second)
    left = (edge - bench.nxt) & MASK
    for _ in range(left // 1000):
        bench.peer(ACK, bytes(1000))
    bench.peer(ACK, bytes(left % 1000))
    assert bench.connection.readable == (edge - PEER_ISS - 1) & MASK
    assert bench.counters["TcpRcvBeyondWindowOctets"] == 0
