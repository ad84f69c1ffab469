"""Opening: RFC 9293 3.5 and its figures, 3.10.7.1 (CLOSED), 3.10.7.2 (LISTEN) and 3.10.7.3 (SYN-SENT)."""

import pytest

from stack.clock import MILLISECOND, SECOND
from tests.tcp.harness import REMOTE_PORT, Bench, Peer, reach, stream

HALF_SECOND = SECOND // 2


@pytest.mark.req("9293-3.10.1-OPEN-CLOSED-passive", "9293-3.10.7.2-syn", "9293-3.4-seglen", "9293-SHLD-5")
@pytest.mark.req("9293-3.10.7.4-ack-SYN-RCVD-ok", "9293-3.10.7.2-fill", "9293-MUST-14")
def test_figure_6_passive_side(wrapping: tuple[Bench, int]) -> None:
    bench, isn = wrapping
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.expect_nothing(for_=SECOND)
    peer.syn()
    answer = peer.expect("SA", seq=0, ack=1, data=0)
    assert answer.options.mss == 1460
    assert peer.state == "SYN_RECEIVED" and bench.host.accept(listener) is None
    peer.send("A")
    peer.expect_nothing()
    peer.connection = bench.host.accept(listener)
    assert peer.state == "ESTABLISHED"
    key = peer.connection.key
    assert (key.remote_addr, key.remote_port, key.local_port) == (peer.address, REMOTE_PORT, 80)


@pytest.mark.req("9293-3.10.1-OPEN-CLOSED-active", "9293-3.10.7.3-syn-vars", "9293-3.10.7.3-syn-ack", "9293-MUST-14")
def test_figure_6_active_side(bench: Bench, isn: int) -> None:
    peer = bench.connect(isn=isn)
    syn = peer.expect("S", seq=0, ack=0, data=0)  # the field is 0 where ACK is off: sent as SEQ=ISS CTL=SYN
    assert syn.options.mss == 1460
    assert peer.state == "SYN_SENT"
    peer.syn("SA")
    peer.expect("A", seq=1, ack=1, data=0)
    assert peer.state == "ESTABLISHED"


@pytest.mark.req("9293-MUST-10", "9293-3.10.7.3-syn-cross", "9293-3.10.7.4-ack-SYN-RCVD-ok")
@pytest.mark.parametrize("last", ["A", "SA"])
def test_figure_7_simultaneous_open(bench: Bench, isn: int, last: str) -> None:
    """The SYN-ACK has the SYN's own sequence number; the peer's SYN-ACK, or an ACK of ours, completes it (3.5)."""
    peer = bench.connect(isn=isn, local_port=50000)
    peer.expect("S", seq=0)
    peer.syn()
    peer.expect("SA", seq=0, ack=1, data=0)
    assert peer.state == "SYN_RECEIVED"
    peer.send(last, seq=0 if last == "SA" else 1, ack=1)
    assert peer.state == "ESTABLISHED"
    peer.take()  # the SYN-ACK's SYN is old: it may be acknowledged once more
    peer.write(10)
    peer.expect("PA", seq=1, ack=1, data=10)
    peer.send("A", seq=1, data=5)
    assert peer.read() == stream(0, 5)


@pytest.mark.req("9293-3.5-olddupsyn", "9293-MUST-11", "9293-3.10.7.4-rst-SYN-RCVD-passive")
def test_figure_8_recovery_from_an_old_duplicate_syn(bench: Bench) -> None:
    listener = bench.listen()
    old = Peer(bench, isn=90)
    old.syn()
    old.expect("SA", seq=0, ack=1)
    old.send("R", seq=1)  # SEQ = SEG.ACK of our SYN-ACK
    old.expect_nothing(for_=5 * SECOND)
    assert not old.exists()
    new = Peer(bench, isn=100)
    new.handshake(listener)


@pytest.mark.req("9293-3.5.1-halfopen", "9293-3.5.2-rst-sync", "9293-3.10.7.4-syn-ESTAB")
def test_figure_9_a_crashed_peer_opens_again(bench: Bench, isn: int) -> None:
    listener = bench.listen()
    peer = Peer(bench, isn=isn).handshake(listener)
    held = peer.connection
    again = Peer(bench, isn=isn + 400_000_000)
    again.iss = peer.iss
    again.syn()
    answer = again.expect("A", data=0)
    assert (answer.seq, (again.isn + answer.ack) & 0xFFFFFFFF) == (1, (peer.isn + 1) & 0xFFFFFFFF)  # SND.NXT, RCV.NXT
    again.send("R", seq=answer.ack)  # SEQ = SEG.ACK
    again.expect_nothing()
    assert held.state.name == "CLOSED" and isinstance(held.error, ConnectionResetError)
    Peer(bench, isn=isn + 400_000_001).handshake(listener)


@pytest.mark.req("9293-3.5.1-halfopen", "9293-3.10.7.1-ack")
def test_figure_10_data_from_a_half_open_connection(bench: Bench) -> None:
    peer = Peer(bench, local_port=4000)
    peer.send("A", seq=300, ack=100, data=10)
    peer.expect("R", seq=100)
    assert not peer.exists()


@pytest.mark.req("9293-3.5.1-duptwo", "9293-3.10.7.4-rst-SYN-RCVD-passive")
def test_figure_11_an_old_syn_between_two_passive_sockets(bench: Bench) -> None:
    listener = bench.listen()
    peer = Peer(bench)
    peer.syn()
    answer = peer.expect("SA", seq=0, ack=1)
    peer.send("R", seq=answer.ack)
    peer.expect_nothing(for_=3 * SECOND)
    assert not peer.exists() and bench.host.accept(listener) is None and bench.host.take_events() == []
    Peer(bench, port=40001).handshake(listener)


# 3.10.7.1 CLOSED


@pytest.mark.req("9293-3.10.7.1-rst")
@pytest.mark.parametrize("flags", ["R", "RA", "RS", "RF"])
def test_closed_ignores_a_reset(bench: Bench, flags: str) -> None:
    peer = Peer(bench, local_port=9)
    peer.send(flags, seq=5, ack=7)
    peer.expect_nothing(for_=SECOND)


@pytest.mark.req("9293-3.10.7.1-noack", "9293-3.10.7.1-data", "9293-3.10.7.4-fin-CLOSED", "9293-3.4-seglen")
@pytest.mark.parametrize(("flags", "length", "seg_len"), [("S", 0, 1), ("S", 10, 11), ("F", 3, 4), ("", 5, 5)])
def test_closed_answers_a_segment_without_ack(bench: Bench, isn: int, flags: str, length: int, seg_len: int) -> None:
    peer = Peer(bench, isn=isn, local_port=9)
    peer.send(flags, seq=0, data=length)
    peer.expect("RA", seq=0, ack=seg_len, data=0)
    peer.expect_nothing(for_=SECOND)
    assert not peer.exists()


@pytest.mark.req("9293-3.10.7.1-ack", "9293-3.10.7.1-data")
@pytest.mark.parametrize("flags", ["A", "FA", "SA", "PA"])
def test_closed_answers_a_segment_with_ack(bench: Bench, flags: str) -> None:
    peer = Peer(bench, local_port=9)
    peer.send(flags, seq=0, ack=0xFFFFFFF0, data=4)
    reset = peer.expect("R", seq=-16, data=0)
    assert reset.ack == 0 and reset.window == 0
    peer.expect_nothing(for_=SECOND)


# 3.10.7.2 LISTEN


@pytest.mark.req("9293-3.10.7.2-rst")
@pytest.mark.parametrize("flags", ["R", "RA", "RS"])
def test_listen_ignores_a_reset(bench: Bench, flags: str) -> None:
    bench.listen()
    peer = Peer(bench)
    peer.send(flags, seq=5, ack=7)
    peer.expect_nothing(for_=SECOND)
    assert not peer.exists()


@pytest.mark.req("9293-3.10.7.2-ack", "9293-3.5.2-rst-nonsync")
@pytest.mark.parametrize("flags", ["A", "SA", "FA", "PA"])
def test_listen_resets_an_ack(bench: Bench, flags: str) -> None:
    listener = bench.listen()
    peer = Peer(bench)
    peer.send(flags, seq=0, ack=12345, data=3)
    peer.expect("R", seq=12345, data=0)
    assert not peer.exists()
    Peer(bench, port=40001).handshake(listener)


@pytest.mark.req("9293-3.10.7.2-other", "9293-3.10.7.4-fin-LISTEN")
@pytest.mark.parametrize(("flags", "length"), [("F", 0), ("", 10), ("F", 10), ("P", 1)])
def test_listen_drops_what_has_neither_reset_nor_ack_nor_syn(bench: Bench, flags: str, length: int) -> None:
    bench.listen()
    peer = Peer(bench)
    peer.send(flags, seq=5, data=length)
    peer.expect_nothing(for_=SECOND)
    assert not peer.exists()


@pytest.mark.req("9293-3.10.7.2-syndata", "9293-3.5-synddata")
def test_text_with_the_syn_is_not_delivered_before_established(bench: Bench, isn: int) -> None:
    """RFC 9293 3.5: the receiving TCP must not deliver it until it is clear that the data is valid."""
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.syn(data=10)
    answer = peer.expect("SA", seq=0)
    assert answer.ack in (1, 11)  # kept for later, or sent again by the peer
    assert bench.host.accept(listener) is None
    peer.send("A", seq=11)
    if answer.ack == 1:
        peer.take()
        peer.send("A", seq=1, data=10)
    peer.connection = bench.host.accept(listener)
    assert peer.state == "ESTABLISHED"
    assert peer.read() == stream(0, 10)
    peer.expect("A", seq=1, ack=11, within=HALF_SECOND)


@pytest.mark.req("9293-3.10.7.2-syndata", "9293-3.5-synddata")
def test_text_with_a_syn_that_is_reset_is_never_seen(bench: Bench) -> None:
    listener = bench.listen()
    peer = Peer(bench)
    peer.syn(data=10)
    answer = peer.expect("SA")
    peer.send("R", seq=answer.ack)
    assert not peer.exists() and bench.host.accept(listener) is None


# 3.10.7.3 SYN-SENT


@pytest.mark.req("9293-3.10.7.3-ack-bad", "9293-3.5.2-rst-nonsync", "9293-3.4-ackok")
@pytest.mark.parametrize("ack", [0, 2, -1, 1 << 30, -(1 << 31)])
@pytest.mark.parametrize("flags", ["A", "SA"])
def test_syn_sent_resets_an_unacceptable_ack(bench: Bench, isn: int, ack: int, flags: str) -> None:
    peer = reach("SYN_SENT", bench, isn=isn)
    peer.send(flags, seq=0, ack=ack)
    reset = peer.expect("R", data=0)
    assert (reset.seq - ack) % (1 << 32) == 0
    assert peer.state == "SYN_SENT"
    peer.syn("SA")
    peer.expect("A", seq=1, ack=1)
    assert peer.state == "ESTABLISHED"


@pytest.mark.req("9293-3.10.7.3-ack-bad-rst", "9293-3.5.3-rst-valid")
@pytest.mark.parametrize("ack", [0, 2, -1])
def test_syn_sent_drops_a_reset_with_an_unacceptable_ack(bench: Bench, ack: int) -> None:
    peer = reach("SYN_SENT", bench)
    peer.send("RA", seq=0, ack=ack)
    peer.expect_nothing(for_=100 * MILLISECOND)
    assert peer.state == "SYN_SENT"


@pytest.mark.req("9293-3.10.7.3-rst-ack", "9293-3.5.3-rst-valid", "9293-MUST-12")
def test_syn_sent_is_refused(bench: Bench, isn: int) -> None:
    peer = reach("SYN_SENT", bench, isn=isn)
    peer.send("RA", seq=0, ack=1)
    peer.expect_nothing(for_=200 * SECOND)
    assert peer.state == "CLOSED" and not peer.exists()
    assert isinstance(peer.error, ConnectionRefusedError)


@pytest.mark.req("9293-3.10.7.3-rst-noack", "5961-4")
@pytest.mark.parametrize("seq", [0, 1, 1000])
def test_syn_sent_drops_a_reset_without_ack(bench: Bench, seq: int) -> None:
    peer = reach("SYN_SENT", bench)
    peer.send("R", seq=seq)
    peer.expect_nothing(for_=100 * MILLISECOND)
    assert peer.state == "SYN_SENT"


@pytest.mark.req("9293-3.10.7.3-syn-ack-text")
def test_text_and_fin_with_a_syn_ack(bench: Bench, isn: int) -> None:
    """The RFC goes on with the sixth step: text is accepted, FIN too (or is sent again by the peer)."""
    peer = reach("SYN_SENT", bench, isn=isn)
    peer.syn("SA", data=5)
    answer = peer.expect("A", seq=1, within=HALF_SECOND)
    if answer.ack == 1:  # acknowledged in two steps, or not taken
        peer.send("A", seq=1, data=5)
        answer = peer.expect("A", seq=1, within=HALF_SECOND)
    assert answer.ack == 6
    assert peer.read() == stream(0, 5)


@pytest.mark.req("9293-3.10.7.3-syn-cross-text")
def test_text_with_a_crossing_syn_waits_for_established(bench: Bench, isn: int) -> None:
    peer = reach("SYN_SENT", bench, isn=isn)
    peer.syn(data=7)
    answer = peer.expect("SA", seq=0)
    assert peer.connection.readable == 0
    peer.send("A", seq=8, ack=1)
    if answer.ack == 1:
        peer.take()
        peer.send("A", seq=1, data=7)
    assert peer.read() == stream(0, 7)


@pytest.mark.req("9293-3.10.7.3-neither", "9293-3.10.7.4-fin-SYN-SENT")
@pytest.mark.parametrize(("flags", "length"), [("A", 0), ("A", 9), ("FA", 0), ("F", 0), ("", 9)])
def test_syn_sent_drops_what_is_neither_syn_nor_reset(bench: Bench, flags: str, length: int) -> None:
    peer = reach("SYN_SENT", bench)
    peer.send(flags, seq=1, ack=1, data=length)
    peer.expect_nothing(for_=100 * MILLISECOND)
    assert peer.state == "SYN_SENT" and peer.connection.readable == 0


@pytest.mark.req("9293-3.10.7.3-syn-ack-wnd", "7323-ws-5")
def test_the_window_of_a_syn_ack_is_not_scaled(bench: Bench) -> None:
    peer = reach("SYN_SENT", bench)
    peer.syn("SA", wscale=7, window=1000, mss=1460)
    peer.expect("A", seq=1, ack=1)
    peer.write(5000)
    assert sum(len(each.data) for each in peer.take()) <= 1000


# SYN-RECEIVED


@pytest.mark.req("9293-3.10.7.4-ack-SYN-RCVD-bad", "9293-3.5.2-rst-nonsync", "9293-3.4-ackok")
@pytest.mark.parametrize("ack", [0, 2, -1, 1 << 30])
@pytest.mark.parametrize("active", [False, True], ids=["passive", "active"])
def test_an_unacceptable_ack_in_syn_received(bench: Bench, isn: int, ack: int, active: bool) -> None:
    peer = reach("SYN_RECEIVED", bench, isn=isn, active=active)
    peer.send("A", ack=ack)
    peer.expect("R", seq=ack, data=0)
    assert peer.state == "SYN_RECEIVED"
    peer.send("A", ack=1)
    peer.expect_nothing()
    assert peer.state == "ESTABLISHED"


@pytest.mark.req("9293-3.10.7.4-rst-SYN-RCVD-active", "9293-MUST-11")
def test_a_reset_in_syn_received_after_an_active_open(bench: Bench, isn: int) -> None:
    peer = reach("SYN_RECEIVED", bench, isn=isn, active=True)
    peer.send("R", seq=1)
    peer.expect_nothing(for_=10 * SECOND)
    assert peer.state == "CLOSED" and isinstance(peer.error, ConnectionRefusedError)


@pytest.mark.req("9293-3.10.7.4-fin-SYN-RCVD")
@pytest.mark.parametrize("length", [0, 20])
def test_ack_and_fin_in_one_segment_in_syn_received(bench: Bench, isn: int, length: int) -> None:
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.syn()
    peer.expect("SA")
    peer.send("FA", data=length)
    peer.expect("A", seq=1, ack=2 + length, within=HALF_SECOND)
    peer.connection = bench.host.accept(listener)
    assert peer.state == "CLOSE_WAIT"
    assert peer.read() == stream(0, length) and peer.connection.at_end_of_stream


@pytest.mark.req("9293-3.10.7.4-seq-SYN-RCVD")
@pytest.mark.parametrize(("seq", "length"), [(-20, 10), (1 << 20, 10), (-1, 0)])
def test_an_unacceptable_segment_in_syn_received(bench: Bench, isn: int, seq: int, length: int) -> None:
    peer = reach("SYN_RECEIVED", bench, isn=isn)
    peer.send("A", seq=seq, ack=1, data=b"x" * length)
    peer.expect("A", seq=1, ack=1, data=0)
    assert peer.state == "SYN_RECEIVED"


@pytest.mark.req("9293-3.10.7.4-syn-SYN-RCVD-passive")
def test_a_syn_in_the_window_returns_a_passive_open_to_listen(bench: Bench, isn: int) -> None:
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.syn()
    peer.expect("SA")
    peer.send("S", seq=100)
    peer.take()
    assert not peer.exists()
    Peer(bench, port=40001).handshake(listener)


@pytest.mark.req("9293-3.10.7.4-syn-SYN-RCVD-active")
def test_a_syn_in_the_window_after_an_active_open_is_challenged(bench: Bench, isn: int) -> None:
    peer = reach("SYN_RECEIVED", bench, isn=isn, active=True)
    peer.send("S", seq=100)
    peer.expect("A", seq=1, ack=1, data=0)
    assert peer.state == "SYN_RECEIVED"


@pytest.mark.req("9293-3.10.7.2-syn")
def test_a_repeated_syn_brings_the_syn_ack_again_or_an_ack(bench: Bench, isn: int) -> None:
    """The SYN-ACK was lost: whatever answers (decision 2: the SYN-ACK), the handshake completes."""
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.syn()
    first = peer.expect("SA", seq=0, ack=1)
    bench.elapse(300 * MILLISECOND)
    peer.syn()
    second = peer.expect("SA", seq=0, ack=1)
    assert first.options == second.options
    peer.send("A")
    assert bench.host.accept(listener) is not None


@pytest.mark.req("9293-3.10.7.3-rst-5961", "9293-3.10.7.3-rst-ack")
@pytest.mark.parametrize("seq", [0, 1, 77777, 1 << 31])
def test_in_syn_sent_only_the_ack_of_a_reset_counts(bench: Bench, seq: int) -> None:
    """There is no RCV.NXT yet that its sequence number could be compared with (RFC 5961 3.2)."""
    peer = reach("SYN_SENT", bench)
    peer.send("RA", seq=seq, ack=1)
    assert peer.state == "CLOSED" and isinstance(peer.error, ConnectionRefusedError)


@pytest.mark.req("9293-3.10.7.2-syndata", "9293-3.10.7.2-syn")
def test_a_fin_with_the_syn_is_not_lost(bench: Bench, isn: int) -> None:
    """Taken, or left for the peer to send again; in neither case is the text before it lost."""
    listener = bench.listen()
    peer = Peer(bench, isn=isn)
    peer.syn("SF", data=10)
    answer = peer.expect("SA", seq=0)
    peer.send("A", seq=12)
    if answer.ack == 1:
        peer.take()
        peer.send("FA", seq=1, data=10)
    bench.elapse(HALF_SECOND)
    peer.connection = bench.host.accept(listener)
    assert peer.take()[-1].ack == 12 and peer.state == "CLOSE_WAIT"
    assert peer.read() == stream(0, 10)
