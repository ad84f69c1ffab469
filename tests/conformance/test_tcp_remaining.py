"""Rows of RFC 9293 and its companions that need a test of their own: LISTEN, SYN-SENT, aggregation, persistence."""

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.wire import icmp
from stack.wire import ipv4 as ip
from tests.tcp.harness import LOCAL, PORT, REMOTE, REMOTE_PORT, Bench, Peer, established

MINUTE = 60 * SECOND


@pytest.mark.req("9293-3.10.6-STATUS-LISTEN")
def test_status_of_a_listener():
    bench = Bench()
    listener = bench.listen(PORT, backlog=7)
    assert (listener.port, listener.backlog, listener.acceptable, listener.is_closed) == (PORT, 7, 0, False)
    peer = Peer(bench)
    peer.syn()
    peer.expect("SA")
    assert listener.acceptable == 0  # not before the handshake is complete
    peer.send("A")
    assert listener.acceptable == 1
    assert bench.host.accept(listener) is not None and listener.acceptable == 0
    bench.host.close_listener(listener, bench.now)
    assert listener.is_closed
    other = Peer(bench, port=REMOTE_PORT + 1)
    other.syn()
    other.expect("RA")


@pytest.mark.req("9293-3.10.7.3-ack-partial")
@pytest.mark.parametrize("flags", ["SA", "A"])
@pytest.mark.parametrize(("ack", "acceptable"), [(-1, False), (0, False), (1, True), (2, False), (1 << 31, False)])
def test_in_syn_sent_an_ack_is_acceptable_above_snd_una_and_up_to_snd_nxt(flags, ack, acceptable):
    bench = Bench()
    peer = bench.connect(REMOTE_PORT, local_port=50000)
    peer.expect("S", seq=0)
    if "S" in flags:
        peer.syn("SA", ack=ack)
    else:
        peer.send("A", seq=0, ack=ack)
    if not acceptable:
        reset = peer.expect("R", data=b"")
        assert reset.seq == ack or abs(reset.seq - ack) == 1 << 32
        assert peer.state == "SYN_SENT"
        peer.syn("SA")
    elif flags == "A":
        peer.expect_nothing()  # acceptable, but it does not open the connection
        assert peer.state == "SYN_SENT"
        return
    peer.expect("A", seq=1, ack=1)
    assert peer.state == "ESTABLISHED"


@pytest.mark.req("9293-MAY-16")
def test_what_is_written_in_pieces_is_sent_together():
    bench = Bench()
    peer = established(bench)
    peer.write(1)
    assert len(peer.expect("A").data) == 1
    for _ in range(30):
        peer.write(50)  # Nagle holds them while the first octet is unacknowledged
    sizes = [len(each.data) for each in peer.take()]
    peer.send("A")
    sizes += [len(each.data) for each in peer.take()]
    assert sizes == [1460, 40]


@pytest.mark.req("9293-SHLD-23")
def test_the_ds_field_is_the_same_all_through_a_connection():
    bench = Bench()
    peer = bench.connect()
    sent = [peer.expect("S")]
    peer.syn("SA")
    sent += peer.take()
    peer.write(5000)
    sent += peer.take()
    bench.elapse(3 * SECOND)  # retransmissions
    sent += peer.take()
    peer.send("PA", data=5000)
    bench.elapse(SECOND)
    peer.shutdown()
    sent += peer.take()
    assert {each.header.tos >> 2 for each in sent} == {0} and len(sent) > 5


@pytest.mark.req("6429-1", "9293-MUST-37")
@pytest.mark.parametrize("call", ["abort", "close"])
def test_a_connection_whose_window_stays_shut_lives_while_probes_are_answered_and_ends_when_told_to(call):
    bench = Bench()
    peer = established(bench, window=0)
    peer.write(1000)
    for _ in range(40):
        peer.expect("A", within=3 * MINUTE)
        peer.send("A", ack=1, window=0)
    assert peer.state == "ESTABLISHED" and bench.now > 20 * MINUTE
    getattr(peer, call)()
    if call == "abort":
        peer.expect("RA")
    else:
        for _ in range(40):  # nobody holds it any more: a bounded time is left to the peer
            if peer.state == "CLOSED":
                break
            bench.elapse(10 * SECOND)
            if peer.take() and peer.exists():
                peer.send("A", ack=1, window=0)
    assert not peer.exists()


@pytest.mark.req("5033-1")
@pytest.mark.parametrize("config", [TcpConfig(), None])
def test_the_default_congestion_control_is_one_of_the_ietfs(config):
    bench = Bench(config)
    assert established(bench).connection.info().congestion in ("newreno", "cubic")  # RFC 5681, RFC 9438


@pytest.mark.req("3465-2")
@pytest.mark.parametrize("segments", [1, 2, 5, 10])
def test_an_acknowledgment_of_much_opens_slow_start_by_two_segments_at_the_most(segments):
    bench = Bench(TcpConfig(congestion="newreno"))  # CUBIC comes with HyStart++, whose limit RFC 9406 4.2 sets
    peer = established(bench, mss=1000, window=60_000)
    peer.write(100_000)
    before = peer.connection.info().cwnd
    assert sum(len(each.data) for each in peer.take()) == before == 10_000
    bench.elapse(10 * MILLISECOND)
    peer.send("A", ack=1 + 1000 * segments)
    assert 0 < peer.connection.info().cwnd - before <= min(2, segments) * 1000


@pytest.mark.req("3465-2")
def test_after_a_timeout_slow_start_opens_by_one_segment():
    bench = Bench()
    peer = established(bench, mss=1000, window=60_000)
    peer.write(100_000)
    peer.take()
    peer.strict = False
    bench.elapse(2 * SECOND)
    assert peer.connection.info().cwnd == 1000
    peer.take()
    peer.send("A", ack=3001)  # the retransmission filled a hole
    assert peer.connection.info().cwnd <= 2000


@pytest.mark.req("9293-SHLD-20", "9293-SHLD-25", "9293-MUST-47")
@pytest.mark.parametrize(("kind", "code"), [(3, 0), (3, 1), (3, 5), (11, 0), (12, 0)])
def test_who_does_not_ask_is_not_told_of_soft_errors(kind, code):
    """They are kept for whoever looks: nothing is raised, no event is posted, and reading and writing go on."""
    bench = Bench()
    peer = established(bench)
    peer.write(1000)
    segment = peer.expect()
    bench.host.take_events()
    quote = ip.build(ip.Ipv4Header(LOCAL, REMOTE, ip.PROTOCOL_TCP), segment.raw)[:28]
    bench.inject_ip(icmp.build(icmp.IcmpMessage(kind, code, 0, quote)), ip.PROTOCOL_ICMP)
    assert bench.host.take_events() == []
    assert isinstance(peer.connection.soft_error, OSError) and peer.error is None
    peer.send("PA", data=100)
    assert len(peer.read()) == 100 and peer.write(100) == 100 and peer.state == "ESTABLISHED"


@pytest.mark.parametrize("sack", [False, True])
def test_no_segment_brings_more_than_one_acknowledgment(sack):
    """RFC 5681 4.2, "MUST NOT generate more than one ACK for every incoming segment"."""
    bench = Bench()
    peer = established(bench, sack=sack)
    peer.strict = False
    for seq in (1, 101, 401, 301, 301, 201, 1001, 501, 601, 801, 901, 701, 1101, 1):
        peer.send("A", seq=seq, data=100)
        assert len(peer.take()) <= 1
