"""ICMP errors about TCP segments (RFC 9293 3.9.2.2, RFC 5927), and path MTU discovery (RFC 1191)."""

import errno

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.wire import icmp, tcp
from stack.wire import ipv4 as ip
from stack.wire.tcp import ACK, Segment
from tests.tcp.harness import LOCAL, MASK, REMOTE, SYNCHRONIZED, Bench, Peer, established, reach, snd_nxt

SOFT = [(3, 0), (3, 1), (3, 5), (11, 0), (11, 1), (12, 0)]
HARD = [(3, 2), (3, 3)]


def quote(peer: Peer, seq: int, octets: int = 8, local_port: int | None = None) -> bytes:
    """The beginning of the datagram that the host sent at `seq`, as a router quotes it."""
    port = peer.local_port if local_port is None else local_port
    number = ((peer.iss or 0) + seq) & MASK
    segment = tcp.build(Segment(port or 0, peer.port, number, 0, ACK, 0, b"x" * 20), LOCAL, REMOTE)
    packet = ip.build(ip.Ipv4Header(LOCAL, REMOTE, ip.PROTOCOL_TCP, dont_fragment=True), segment)
    return packet[: ip.HEADER_LENGTH + octets]


def send_error(peer: Peer, kind: int, code: int, seq: int, rest: int = 0, **options: int) -> None:
    message = icmp.IcmpMessage(kind, code, rest, quote(peer, seq, **options))
    peer.bench.inject_ip(icmp.build(message), ip.PROTOCOL_ICMP)


def too_big(peer: Peer, mtu: int, seq: int) -> None:
    send_error(peer, icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, seq, rest=mtu)


@pytest.mark.req("9293-MUST-54", "9293-SHLD-26")
@pytest.mark.parametrize(("kind", "code"), HARD)
def test_a_hard_error_ends_a_connection_attempt(bench: Bench, isn: int, kind: int, code: int) -> None:
    peer = bench.connect(isn=isn)
    peer.expect("S")
    send_error(peer, kind, code, 0)
    assert peer.state == "CLOSED" and isinstance(peer.error, OSError)
    if code == icmp.PORT_UNREACHABLE:
        assert isinstance(peer.error, ConnectionRefusedError)
    peer.expect_nothing(for_=200 * SECOND)


@pytest.mark.req("9293-MUST-56", "1122-3.2.2.1-2")
@pytest.mark.parametrize(("kind", "code"), SOFT)
def test_a_soft_error_does_not_end_a_connection_attempt(bench: Bench, kind: int, code: int) -> None:
    peer = bench.connect()
    peer.expect("S")
    send_error(peer, kind, code, 0)
    assert peer.state == "SYN_SENT"
    peer.expect("S", within=2 * SECOND)
    peer.syn("SA")
    peer.expect("A", seq=1, ack=1)
    assert peer.state == "ESTABLISHED"


@pytest.mark.req("9293-MUST-56", "9293-MUST-47", "9293-SHLD-25")
@pytest.mark.parametrize(("kind", "code"), SOFT)
def test_a_soft_error_is_told_and_text_still_flows(bench: Bench, kind: int, code: int) -> None:
    peer = established(bench)
    peer.write(100)
    peer.expect(data=100)
    send_error(peer, kind, code, 1)
    assert peer.state == "ESTABLISHED" and peer.error is None
    assert isinstance(peer.connection.soft_error, OSError)
    if (kind, code) == (3, 1):
        assert peer.connection.soft_error.errno == errno.EHOSTUNREACH
    peer.expect("A", seq=1, data=100, within=10 * SECOND)
    peer.send("PA", data=10)
    assert len(peer.read()) == 10


@pytest.mark.req("5927-2", "9293-SHLD-26")
@pytest.mark.parametrize(("kind", "code"), HARD)
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_hard_error_in_a_synchronized_state_is_a_soft_one(bench: Bench, state: str, kind: int, code: int) -> None:
    peer = reach(state, bench)
    if state in ("ESTABLISHED", "CLOSE_WAIT"):
        peer.write(100)
        peer.expect(data=100)
    send_error(peer, kind, code, 1)
    assert peer.state == state and peer.error is None


@pytest.mark.req("9293-MUST-54", "5927-1")
@pytest.mark.parametrize("seq", [-1, 1, 1000, 1 << 31])
def test_an_error_about_what_was_not_sent_is_ignored(bench: Bench, seq: int) -> None:
    """The quoted sequence number must be in SND.UNA =< SEG.SEQ < SND.NXT (RFC 5927 4.1)."""
    peer = bench.connect()
    peer.expect("S")
    send_error(peer, 3, 3, seq)
    assert peer.state == "SYN_SENT"


@pytest.mark.req("5927-1", "9293-MUST-54")
@pytest.mark.parametrize("seq", [0, 100, 301, 1 << 30])
def test_a_soft_error_about_what_is_not_in_flight_is_ignored(bench: Bench, seq: int) -> None:
    peer = established(bench)
    peer.write(200)
    peer.take()
    peer.send("A")
    peer.write(100)
    peer.expect("A", seq=201)
    send_error(peer, 3, 1, seq)
    assert peer.connection.soft_error is None


@pytest.mark.req("9293-MUST-54")
def test_an_error_reaches_the_connection_that_it_quotes(bench: Bench) -> None:
    listener = bench.listen()
    first = Peer(bench, port=1001).handshake(listener)
    second = Peer(bench, port=1002).handshake(listener)
    for peer in (first, second):
        peer.write(10)
        peer.take()
    send_error(second, 3, 1, 1)
    assert first.connection.soft_error is None and second.connection.soft_error is not None


@pytest.mark.req("9293-MUST-54")
def test_errors_that_quote_too_little_or_nobody(bench: Bench) -> None:
    peer = bench.connect()
    peer.expect("S")
    send_error(peer, 3, 3, 0, octets=7)
    send_error(peer, 3, 3, 0, local_port=1)
    assert peer.state == "SYN_SENT"


@pytest.mark.req("9293-MUST-55", "5927-4", "6633-3")
def test_source_quench_changes_nothing(bench: Bench) -> None:
    peer = established(bench)
    peer.write(20_000)
    before = peer.connection.info()
    peer.take()
    send_error(peer, icmp.SOURCE_QUENCH, 0, 1)
    after = peer.connection.info()
    assert (after.cwnd, after.ssthresh, after.state) == (before.cwnd, before.ssthresh, before.state)
    assert peer.connection.soft_error is None


# Path MTU discovery


@pytest.mark.req("1191-8", "9293-MUST-16", "9293-3.7.1-optsize")
def test_what_was_too_large_is_sent_again_in_smaller_segments(bench: Bench, isn: int) -> None:
    peer = established(bench, isn=isn)
    peer.write(14_600)
    assert {len(each.data) for each in peer.take()} == {1460}
    before = peer.connection.info()
    too_big(peer, 1000, 1)
    again = peer.take()
    if not again:
        again = [peer.expect("A", within=SECOND)]
    assert again[0].seq == 1 and all(len(each.data) <= 960 for each in again)
    assert bench.host.counters["TcpPmtuReductions"] == 1
    after = peer.connection.info()
    assert after.ssthresh == before.ssthresh and after.cwnd >= before.cwnd // 2  # no congestion was signalled
    assert bench.host.counters["TcpExtTCPTimeouts"] == 0
    peer.send("A", ack=again[-1].end)
    assert all(len(each.data) <= 960 for each in peer.take())


@pytest.mark.req("1191-8")
def test_several_messages_about_one_flight_resend_it_once(bench: Bench) -> None:
    peer = established(bench)
    peer.write(14_600)
    peer.take()
    for index in range(10):
        too_big(peer, 1000, 1 + 1460 * index)
    again = [each.seq for each in peer.take()]
    assert len(again) == len(set(again))


@pytest.mark.req("5927-1", "5927-3")
@pytest.mark.parametrize("seq", [0, -100_000, 1 << 30])
def test_a_forged_message_does_not_shrink_segments(bench: Bench, seq: int) -> None:
    peer = established(bench)
    peer.write(2920)
    peer.take()
    too_big(peer, 600, seq)
    peer.expect_nothing(for_=100 * MILLISECOND)
    peer.send("A")
    peer.write(2920)
    assert {len(each.data) for each in peer.take()} == {1460}


@pytest.mark.req("1191-8")
@pytest.mark.parametrize("mtu", [0, 1, 68, 1500, 9000])
def test_next_hop_mtus_that_say_nothing_good(bench: Bench, mtu: int) -> None:
    """0 comes from routers that do not know RFC 1191 (section 5: take the next plateau); none may stop the flow."""
    peer = established(bench)
    peer.write(14_600)
    peer.take()
    too_big(peer, mtu, 1)
    bench.elapse(SECOND)
    segments = peer.take()
    assert segments and all(len(each.data) >= 500 or each.end == 14_601 for each in segments)
    longest = max(len(each.data) for each in segments)
    assert longest < 1460 if mtu < 1500 else longest == 1460
    assert peer.state == "ESTABLISHED"


@pytest.mark.req("1191-8")
def test_another_connection_to_the_same_host_learns_too(bench: Bench) -> None:
    listener = bench.listen()
    first = Peer(bench, port=1001).handshake(listener)
    first.write(2920)
    first.take()
    too_big(first, 1000, 1)
    first.take()
    second = Peer(bench, port=1002).handshake(listener)
    second.write(5000)
    assert max(len(each.data) for each in second.take()) == 960


@pytest.mark.req("9293-MUST-56")
def test_no_error_in_time_wait_or_for_acknowledged_text_does_harm(bench: Bench) -> None:
    peer = reach("TIME_WAIT", bench)
    too_big(peer, 600, 1)
    assert peer.state == "TIME_WAIT" and snd_nxt("TIME_WAIT") == 2
    peer.expect_nothing(for_=SECOND)
