"""Explicit congestion notification: RFC 3168 5 and 6.1, RFC 8311 3, and what is off unless asked for."""

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.wire import icmp, udp
from stack.wire.ipv4 import PROTOCOL_UDP
from tests.conformance.flight import MSS, RTT, Flight, numbers
from tests.conformance.lab import PEER, US, Lab
from tests.tcp.harness import Bench, Peer

NOT_ECT, ECT_1, ECT_0, CE = range(4)


def codepoint(sent):
    return sent.header.tos & 3


@pytest.fixture
def ecn():
    """A connection with ECN, opened by the host; nothing was sent yet."""
    return Flight(ecn="request", answer="SAE")


def passive(syn="SEC", **config):
    """A connection that the peer has opened, and how the host answered its SYN."""
    bench = Bench(TcpConfig(congestion="newreno", nagle=False, **config))
    listener = bench.listen()
    peer = Peer(bench)
    peer.strict = False
    peer.syn(syn, mss=MSS)
    answer = peer.expect()
    peer.send("A")
    peer.connection = bench.host.accept(listener)
    return bench, peer, answer


# Agreeing on it


@pytest.mark.req("3168-5", "3168-8", "9293-SHLD-8")
def test_the_syn_that_asks_has_both_flags_and_is_not_ect():
    bench = Bench(TcpConfig(ecn="request"))
    peer = bench.connect()
    syn = peer.expect("SEC")
    assert codepoint(syn) == NOT_ECT
    bench.elapse(1100 * MILLISECOND)
    again = peer.take()
    assert again and all(codepoint(each) == NOT_ECT for each in again)


@pytest.mark.req("3168-5", "3168-6", "3168-8")
@pytest.mark.parametrize(("syn", "expected"), [("SEC", "SAE"), ("S", "SA"), ("SE", "SA"), ("SC", "SA")])
def test_the_answer_has_ece_only_if_the_syn_had_both(syn, expected):
    _, peer, answer = passive(syn)
    assert (answer.flags, codepoint(answer)) == (expected, NOT_ECT)
    peer.write(3 * MSS)
    assert {codepoint(each) for each in peer.take() if each.data} == {ECT_0 if expected == "SAE" else NOT_ECT}


@pytest.mark.req("3168-6", "3168-7")
def test_who_does_not_want_it_says_so():
    _, peer, answer = passive("SEC", ecn="off")
    assert answer.flags == "SA"
    peer.write(3 * MSS)
    assert {codepoint(each) for each in peer.take()} == {NOT_ECT}


@pytest.mark.req("3168-7", "3168-9")
@pytest.mark.parametrize(("answer", "uses"), [("SA", False), ("SAE", True), ("SAC", False), ("SAEC", False)])
def test_only_ece_alone_in_the_answer_agrees(answer, uses):
    flight = Flight(ecn="request", answer=answer)
    flight.peer.write(3 * MSS)
    sent = flight.taken()
    assert {codepoint(each) for each in sent} == {ECT_0 if uses else NOT_ECT}
    before = flight.info.cwnd
    flight.wait(RTT)
    flight.peer.send("AE", ack=1 + MSS)
    assert (flight.info.cwnd < before) == uses


@pytest.mark.req("3168-10")
def test_a_syn_that_brings_no_answer_is_followed_by_plain_ones():
    bench = Bench(TcpConfig(ecn="request"))
    peer = bench.connect()
    peer.expect("SEC")
    bench.elapse(20 * SECOND)
    assert peer.take()[-1].flags == "S"


@pytest.mark.req("3168-7")
def test_after_a_plain_syn_no_data_is_ect():
    """A host that has sent a non-ECN-setup SYN must not set ECT, even if the answer to the first comes late."""
    bench = Bench(TcpConfig(ecn="request", congestion="newreno"))
    peer = bench.connect()
    peer.strict = False
    bench.elapse(20 * SECOND)
    assert peer.take()[-1].flags == "S"
    peer.syn("SAE", mss=MSS)
    peer.take()
    peer.write(3 * MSS)
    assert {codepoint(each) for each in peer.take()} == {NOT_ECT}


# The sender


@pytest.mark.req("3168-1", "8311-1")
def test_new_text_is_ect_0(ecn):
    ecn.peer.write(10 * MSS)
    sent = ecn.taken()
    assert len(sent) == 10 and {codepoint(each) for each in sent} == {ECT_0}


@pytest.mark.req("3168-2", "3168-11", "3168-12", "3168-14")
def test_an_echo_halves_cwnd_once_a_window_and_cwr_says_so(ecn):
    ecn.write(40)
    ecn.wait(RTT)
    before = ecn.info.cwnd
    ecn.peer.send("AE", ack=1 + MSS)
    assert (ecn.info.cwnd, ecn.info.ssthresh) == (before // 2, before // 2)
    sent = ecn.taken()
    for number in range(2, 10):
        ecn.peer.send("AE", ack=1 + MSS * number)
        sent += ecn.taken()
    assert ecn.info.cwnd == before // 2 == ecn.info.ssthresh
    assert ["C" in each.flags for each in sent] == [True] + [False] * (len(sent) - 1)
    assert ecn.info.lost == 0 and ecn.bench.host.counters["TcpRetransSegs"] == 0


@pytest.mark.req("3168-2", "3168-11")
def test_an_echo_in_the_next_window_halves_again(ecn):
    ecn.write(60)
    ecn.wait(RTT)
    ecn.peer.send("AE", ack=1 + MSS)
    ecn.taken()
    ecn.wait(RTT)
    ecn.ack(10)
    ecn.wait(RTT)
    before = ecn.info.cwnd
    ecn.peer.send("AE", ack=1 + 12 * MSS)
    assert ecn.info.cwnd <= before // 2 + MSS


@pytest.mark.req("3168-14", "3168-11")
def test_echoes_do_not_open_the_window(ecn):
    ecn.write(60)
    ecn.wait(RTT)
    sizes = []
    for number in range(1, 10):
        ecn.peer.send("AE", ack=1 + MSS * number)
        ecn.taken()
        sizes.append(ecn.info.cwnd)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.req("3168-11", "3168-2")
def test_a_loss_and_an_echo_in_one_window_are_one_reduction(ecn):
    ecn.write(40)
    ecn.wait(RTT)
    ecn.ack(0, (1, 4))
    ssthresh = ecn.info.ssthresh
    ecn.peer.send("AE", ack=1, sack=[(1 + MSS, 1 + 5 * MSS)])
    assert ecn.info.ssthresh == ssthresh


@pytest.mark.req("3168-15", "9438-10", "9438-11")
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
def test_echoes_at_a_window_of_one_segment_slow_it_down_to_one_in_a_timeout(congestion):
    """RFC 3168 6.1.2: then a new packet goes "only when the retransmit timer expires"."""
    flight = Flight(ecn="request", answer="SAE", congestion=congestion)
    sent = flight.write(100)
    una, cwnds, gaps = 0, [], []
    for _ in range(12):
        flight.wait(RTT)
        una += len(sent)
        flight.peer.send("AE", ack=1 + una * MSS)
        cwnds.append(flight.info.cwnd)
        began, timeout = flight.now, flight.info.rto
        sent = flight.sent()
        while not sent:
            flight.bench.run_until(flight.bench.host.deadline())
            sent = flight.sent()
        gaps.append((flight.now - began) / timeout)
    assert cwnds[-6:] == [MSS] * 6 and cwnds == sorted(cwnds, reverse=True)
    assert gaps[0] == 0 and gaps[-5:] == [1] * 5
    assert flight.bench.host.counters["TcpExtTCPTimeouts"] == 0
    flight.wait(RTT)
    una += len(sent)
    assert flight.ack(una)  # and without an echo it goes on at once


@pytest.mark.req("3168-11")
@pytest.mark.parametrize(("flags", "undone"), [("A", 1), ("AE", 0)])
def test_a_reduction_is_not_taken_back_by_an_acknowledgment_with_an_echo(flags, undone):
    """RFC 4015 3.4: nothing was lost, but there is congestion all the same."""
    flight = Flight(ecn="request", answer="SAE", timestamps=True)
    first = flight.warm_up(8)
    flight.write(6)
    flight.wait(RTT)
    with flight.bench.batch():
        for last in range(first + 2, first + 6):
            flight.ack(first, (first + 1, last))
        flight.peer.send(flags, ack=1 + MSS * (first + 6))
    assert (flight.info.reductions, flight.info.undone) == (1, undone)


@pytest.mark.req("3168-12", "3168-13", "3168-18", "3168-22")
def test_what_goes_again_is_neither_ect_nor_cwr_and_the_first_new_text_has_cwr(ecn):
    ecn.write(40)
    ecn.wait(RTT)
    ecn.peer.send("A", ack=1, sack=[(1 + MSS, 1 + 4 * MSS)])
    again = [each for each in ecn.taken() if numbers([each]) == [0]]
    assert [(codepoint(each), "C" in each.flags) for each in again] == [(NOT_ECT, False)]
    fresh = []
    for last in range(5, 11):
        ecn.peer.send("A", ack=1, sack=[(1 + MSS, 1 + last * MSS)])
        fresh += ecn.taken()
    assert fresh and fresh[0].seq > 10 * MSS
    assert ["C" in each.flags for each in fresh] == [True] + [False] * (len(fresh) - 1)
    assert {codepoint(each) for each in fresh} == {ECT_0}


@pytest.mark.req("3168-12", "3168-18")
def test_after_a_timeout_the_first_new_text_has_cwr(ecn):
    ecn.peer.write(4 * MSS)
    ecn.taken()
    ecn.bench.elapse(5 * SECOND)
    again = ecn.taken()
    assert again and all((codepoint(each), "C" in each.flags) == (NOT_ECT, False) for each in again)
    ecn.peer.send("A", ack=1 + 4 * MSS)
    ecn.peer.write(2 * MSS)
    fresh = ecn.taken()
    assert "C" in fresh[0].flags and not any("C" in each.flags for each in fresh[1:])


@pytest.mark.req("3168-20", "3168-17")
def test_window_probes_and_acknowledgments_are_not_ect(ecn):
    ecn.peer.window = 0
    ecn.peer.send("PA", data=100, window=0)
    ecn.peer.write(2 * MSS)
    ecn.bench.elapse(30 * SECOND)
    sent = ecn.peer.take()
    probes = [each for each in sent if each.data]
    acks = [each for each in sent if not each.data]
    assert probes and acks
    assert {codepoint(each) for each in sent} == {NOT_ECT} and not any("C" in each.flags for each in sent)


@pytest.mark.req("3168-17")
def test_fin_and_reset_are_not_ect(ecn):
    ecn.peer.shutdown()
    ecn.peer.send("A")
    ecn.peer.abort()
    assert {codepoint(each) for each in ecn.peer.take()} == {NOT_ECT}


# The receiver


@pytest.mark.req("3168-16")
def test_a_mark_is_echoed_until_cwr_comes():
    _, peer, _ = passive()
    peer.send("PA", data=100, tos=ECT_0)
    peer.bench.elapse(SECOND)
    assert not any("E" in each.flags for each in peer.take())
    peer.send("PA", data=100, tos=CE)
    for _ in range(5):
        peer.send("PA", data=100, tos=ECT_0)
        peer.bench.elapse(SECOND)
    echoed = peer.take()
    assert len(echoed) >= 5 and all("E" in each.flags for each in echoed)
    peer.send("PAC", data=100, tos=ECT_0)
    peer.bench.elapse(SECOND)
    peer.send("PA", data=100, tos=ECT_0)
    peer.bench.elapse(SECOND)
    assert not any("E" in each.flags for each in peer.take())


@pytest.mark.req("3168-16")
def test_a_mark_that_comes_with_cwr_is_echoed_anew():
    _, peer, _ = passive()
    peer.send("PA", data=100, tos=CE)
    peer.send("PAC", data=100, tos=CE)
    peer.bench.elapse(SECOND)
    assert "E" in peer.take()[-1].flags


@pytest.mark.req("3168-16")
def test_a_delayed_acknowledgment_echoes_if_any_segment_was_marked():
    _, peer, _ = passive()
    for tos in (ECT_0, CE):
        peer.send("A", data=50, tos=tos)
    peer.bench.elapse(SECOND)
    assert "E" in peer.take()[-1].flags


@pytest.mark.req("3168-16", "3168-7")
def test_without_an_agreement_a_mark_means_nothing():
    _, peer, _ = passive("S")
    for _ in range(3):
        peer.send("PA", data=100, tos=CE)
    peer.bench.elapse(SECOND)
    assert not any("E" in each.flags for each in peer.take())


@pytest.mark.req("3168-19")
@pytest.mark.parametrize("seq", [-5000, 1, 1 << 20])
def test_a_mark_on_text_outside_of_the_window_is_ignored(seq):
    _, peer, _ = passive()
    peer.send("PA", data=b"x" * 100)
    peer.bench.elapse(SECOND)
    peer.take()
    peer.send("PA", seq=seq, data=b"x" * 100, tos=CE)
    peer.send("PA", data=b"x" * 100, tos=ECT_0)
    peer.bench.elapse(SECOND)
    assert not any("E" in each.flags for each in peer.take())


@pytest.mark.req("3168-17")
def test_a_mark_on_a_bare_acknowledgment_is_ignored():
    _, peer, _ = passive()
    peer.write(MSS)
    peer.take()
    peer.send("A", tos=CE)
    peer.send("PA", data=100)
    peer.bench.elapse(SECOND)
    assert not any("E" in each.flags for each in peer.take())


# Fragments


QUERY = udp.build(udp.UdpHeader(4000, 5000), bytes(range(48)), PEER, US)


@pytest.mark.req("3168-3", "3168-4")
@pytest.mark.parametrize(
    ("marks", "whole"),
    [
        ((ECT_0, CE, ECT_0), CE),
        ((CE, ECT_0, ECT_0), CE),
        ((ECT_0, ECT_0, CE), CE),
        ((CE, CE, CE), CE),
        ((ECT_1, CE, ECT_1), CE),
        ((ECT_0, ECT_0, ECT_0), ECT_0),
        ((NOT_ECT, NOT_ECT, NOT_ECT), NOT_ECT),
        ((NOT_ECT, CE, NOT_ECT), None),
        ((CE, NOT_ECT, CE), None),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_mark_on_any_fragment_is_one_on_the_datagram(marks, whole, order):
    lab = Lab()
    socket = lab.host.bind_udp(5000, lab.now)
    pieces = [(at, QUERY[at : at + 24], at + 24 < len(QUERY)) for at in range(0, len(QUERY), 24)]
    for index in order:
        at, text, more = pieces[index]
        lab.datagram(text, PROTOCOL_UDP, fragment_offset=at, more_fragments=more, tos=0x28 | marks[index])
    got = lab.host.receive_datagram(socket)
    assert (got and got.tos) == (None if whole is None else 0x28 | whole)
    assert lab.counters["IpReasmFails"] == (whole is None)


# Experiments are off


@pytest.mark.req("5562-1", "8311-1")
def test_nothing_but_text_is_ever_ect_and_never_ect_1():
    _, peer, answer = passive()
    peer.write(3 * MSS)
    peer.send("PA", data=500)
    rest = [answer, *peer.take()]
    assert {codepoint(each) for each in rest if not each.data} <= {NOT_ECT}
    assert ECT_1 not in {codepoint(each) for each in rest}


@pytest.mark.req("3168-8")
def test_errors_and_echoes_are_not_ect():
    lab = Lab()
    [reply] = lab.echo()
    assert reply.header.tos & 3 == NOT_ECT
    [error] = lab.udp(9)
    assert error.icmp.type == icmp.DESTINATION_UNREACHABLE and error.header.tos == 0
