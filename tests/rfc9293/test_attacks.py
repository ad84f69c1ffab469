"""What an attacker who does not see the traffic may try: RFC 5961, RFC 5927, RFC 6528, RFC 6056, RFC 4987."""

from dataclasses import dataclass
from typing import Any

import pytest

from stack.addresses import ipv4
from stack.clock import MICROSECOND
from stack.transport.flow import FlowKey
from stack.transport.ports import ephemeral_port
from stack.transport.tcp.isn import initial_sequence_number
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State
from stack.wire import icmp
from stack.wire.tcp import ACK, FIN, RST, SYN, Segment
from stack.wire.tcp_options import TcpOptions

OUR_ISS = -20 & MASK
SECOND = 10**9


# Challenge ACKs


@pytest.mark.req("5961-7", "5961-8")
def test_challenges_are_limited_for_each_connection(bench):
    bench = bench(State.ESTABLISHED, challenge_acks_per_second=10)
    assert len([seg for _ in range(50) for seg in bench.peer(SYN, at=100)]) == 10
    assert bench.counters["TcpExtTCPACKSkippedChallenge"] == 40
    bench.advance(SECOND)
    assert len(bench.peer(SYN, at=100)) == 1


@pytest.mark.req("5961-8")
def test_the_limit_of_one_connection_is_not_anothers(bench):
    first = bench(State.ESTABLISHED, challenge_acks_per_second=1)
    for _ in range(5):
        first.peer(SYN, at=100)
    other = first.tcp.connect(ipv4("192.0.2.9"), 4000, first.now)
    first.take()
    assert other.challenges == 0 and first.connection.challenges == 1


def test_two_ends_do_not_answer_each_other_for_ever(bench):
    bench = bench(State.ESTABLISHED, challenge_acks_per_second=5)
    answers = [seg for _ in range(1000) for seg in bench.peer(ACK, at=-1000)]
    assert len(answers) == 5


# ICMP


@dataclass
class Report:
    type: int
    code: int
    next_hop_mtu: int
    src: Any
    dst: Any
    quoted: memoryview
    is_local: bool = False


def report(bench, kind, code, seq=None, mtu=0):
    key = bench.connection.key
    number = bench.connection.sender.una if seq is None else seq
    quoted = key.local_port.to_bytes(2) + key.remote_port.to_bytes(2) + number.to_bytes(4)
    made = Report(kind, code, mtu, key.local_addr, key.remote_addr, memoryview(quoted))
    bench.tcp.on_icmp_error(made, bench.now)
    return bench.take()


@pytest.mark.req("5927-1", "9293-MUST-54")
@pytest.mark.parametrize("seq", [OUR_ISS - 1 & MASK, OUR_ISS + 1 & MASK, OUR_ISS + (1 << 31) & MASK])
def test_an_icmp_error_must_quote_what_is_outstanding(bench, seq):
    bench = bench(State.SYN_SENT)
    report(bench, icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, seq)
    assert bench.connection.state is State.SYN_SENT
    assert bench.counters["IcmpInQuoteUnmatched"] == 1


@pytest.mark.req("9293-MUST-54", "9293-SHLD-26")
@pytest.mark.parametrize("code", [icmp.PORT_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE])
def test_a_hard_error_ends_an_active_open(bench, code):
    bench = bench(State.SYN_SENT)
    report(bench, icmp.DESTINATION_UNREACHABLE, code)
    assert isinstance(bench.connection.error, ConnectionRefusedError) and not bench.alive


@pytest.mark.req("5927-2")
@pytest.mark.parametrize("code", [icmp.PORT_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE])
def test_a_hard_error_does_not_end_an_established_connection(bench, code):
    bench = bench(State.ESTABLISHED)
    bench.write(b"data")
    report(bench, icmp.DESTINATION_UNREACHABLE, code)
    assert bench.connection.state is State.ESTABLISHED and bench.connection.error is None


@pytest.mark.req("9293-MUST-56", "9293-MUST-47", "9293-SHLD-25", "1122-3.2.2.1-2")
@pytest.mark.parametrize("state", [State.SYN_SENT, State.ESTABLISHED])
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (icmp.DESTINATION_UNREACHABLE, icmp.NET_UNREACHABLE),
        (icmp.DESTINATION_UNREACHABLE, icmp.HOST_UNREACHABLE),
        (icmp.DESTINATION_UNREACHABLE, icmp.SOURCE_ROUTE_FAILED),
        (icmp.TIME_EXCEEDED, 0),
    ],
)
def test_a_soft_error_is_remembered_only(bench, state, kind, code):
    bench = bench(state)
    if state is State.ESTABLISHED:
        bench.write(b"data")
    report(bench, kind, code)
    assert bench.connection.state is state
    assert isinstance(bench.connection.soft_error, OSError)


@pytest.mark.req("9293-MUST-55", "6633-3", "5927-4")
def test_a_source_quench_is_discarded(bench):
    bench = bench(State.ESTABLISHED)
    bench.write(bytes(5000))
    before = bench.connection.info()
    assert report(bench, icmp.SOURCE_QUENCH, 0) == []
    assert bench.connection.info() == before


@pytest.mark.req("1191-1", "1191-8", "1191-2", "5681-29")
def test_fragmentation_needed_cuts_what_is_sent_again(bench):
    bench = bench(State.ESTABLISHED, options=TcpOptions(mss=1460))
    bench.write(bytes(2920))
    before = bench.connection.info().cwnd
    again = report(bench, icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, mtu=1000)
    assert max(len(seg.payload) for seg in again) == 960
    assert (again[0].seq - OUR_ISS) & MASK == 1
    assert bench.connection.info().cwnd == before * 960 // 1460  # as many segments
    assert bench.counters["TcpPmtuReductions"] == 1


@pytest.mark.req("1191-4")
def test_fragmentation_needed_never_raises_the_path_mtu(bench):
    bench = bench(State.ESTABLISHED)
    bench.write(bytes(1000))
    assert report(bench, icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, mtu=9000) == []
    assert bench.wire.path_mtu == 1500


# Numbers that must not be guessed


KEY = FlowKey(ipv4("192.0.2.1"), 80, ipv4("192.0.2.2"), 40000)


@pytest.mark.req("9293-MUST-8", "9293-SHLD-1", "6528-1")
def test_the_initial_sequence_number_has_a_clock_of_4_microseconds():
    now = 10**15
    first = initial_sequence_number(b"secret", KEY, now)
    for ticks in (1, 1000, 250_000):
        later = initial_sequence_number(b"secret", KEY, now + ticks * 4 * MICROSECOND)
        assert (later - first) & MASK == ticks


@pytest.mark.req("9293-MUST-9", "6528-2", "9293-SHLD-1")
def test_the_initial_sequence_number_depends_on_secret_and_flow():
    first = initial_sequence_number(b"secret", KEY, 0)
    others = {
        initial_sequence_number(b"another", KEY, 0),
        initial_sequence_number(b"secret", KEY._replace(local_addr=KEY.local_addr + 1), 0),
        initial_sequence_number(b"secret", KEY._replace(local_port=81), 0),
        initial_sequence_number(b"secret", KEY._replace(remote_addr=KEY.remote_addr + 1), 0),
        initial_sequence_number(b"secret", KEY._replace(remote_port=40001), 0),
    }
    assert len(others | {first}) == 6
    assert all(abs(other - first) > 1000 for other in others)


class Dice:
    def __init__(self, *rolls):
        self.rolls = list(rolls)

    def getrandbits(self, k):
        return self.rolls.pop(0) & ((1 << k) - 1)


@pytest.mark.req("6056-3", "6056-4")
def test_an_ephemeral_port_is_drawn_and_free():
    assert ephemeral_port((50000, 50009), Dice(3), lambda port: True) == 50003
    assert ephemeral_port((50000, 50009), Dice(8), lambda port: port < 50002) == 50000
    with pytest.raises(OSError, match="all ephemeral ports"):
        ephemeral_port((50000, 50009), Dice(0), lambda port: False)


@pytest.mark.req("6056-4")
def test_an_ephemeral_port_is_not_one_in_time_wait(bench):
    bench = bench(ephemeral_ports=(80, 81))
    bench.into(State.TIME_WAIT)
    assert bench.tcp.connect(ipv4("192.0.2.2"), 40000, bench.now).key.local_port == 81
    with pytest.raises(OSError, match="all ephemeral ports"):
        bench.tcp.connect(ipv4("192.0.2.2"), 40000, bench.now)


# Floods


@pytest.mark.req("4987-1")
def test_the_backlog_is_bounded(bench):
    bench = bench(syn_backlog=2)
    bench.listen()
    assert len(bench.peer(SYN)) == 1
    for address in (5, 6, 7):
        other = ipv4(f"192.0.2.{address}")
        bench.tcp.receive(other, bench.source_for(0), Segment(9, 80, 1, 0, SYN, 1000), bench.now)
    assert len(list(bench.tcp.half_open())) == 2 and not list(bench.tcp.connections())
    assert bench.counters["TcpExtSyncookiesSent"] == 2


@pytest.mark.req("3360-1", "9293-3.1-rsrvd")
@pytest.mark.parametrize("bits", [0x40, 0x80, 0xC0])
def test_unused_control_bits_are_ignored(bench, bits):
    bench = bench(State.ESTABLISHED)
    assert not any(seg.flags & RST for seg in bench.peer(ACK | bits, b"text"))
    assert bench.read() == b"text"


def test_holes_are_bounded(bench):
    bench = bench(State.ESTABLISHED, out_of_order_ranges=4)
    for hole in range(1, 10):
        bench.peer(ACK, b"x", at=100 * hole)
    assert bench.counters["TcpExtTCPOFOQueue"] == 4 and bench.counters["TcpExtTCPOFODrop"] == 5


def test_what_is_held_already_is_kept(bench):
    bench = bench(State.ESTABLISHED)
    bench.peer(ACK, b"true", at=2)
    bench.peer(ACK, b"FORGED", at=2)
    bench.peer(ACK, b"is")
    assert bench.read().startswith(b"istrue")


def test_a_forged_fin_behind_the_window_does_nothing(bench):
    bench = bench(State.ESTABLISHED, receive_buffer=4000)
    bench.peer(FIN | ACK, at=4000)
    bench.peer(FIN | ACK, at=5000)
    for _ in range(4):
        bench.peer(ACK, bytes(1000))
    assert bench.connection.state is State.ESTABLISHED
