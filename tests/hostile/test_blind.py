"""Who does not see the traffic, and guesses: resets, SYNs, text and ICMP errors all over the numbers (RFC 5961, 5927).

The victims are a connection of the server and its peer, who goes on sending a stream. An attacker knows addresses and
ports, which RFC 6056 makes hard enough, and can send as much as he likes.
"""

import random

import pytest

from stack.clock import SECOND
from stack.config import TcpConfig
from stack.transport.tcp.states import State
from stack.wire import icmp
from stack.wire import ipv4 as ip
from stack.wire.tcp import Segment
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions
from tests.hostile.remote import ACK, FIN, PLAIN, PSH, RST, SCALED, SYN, Remote
from tests.hostile.scene import MALLORY, MASK, PORT, PUBLIC, Scene, ip_frame

TEXT = random.Random(5961).randbytes(50_000)
STAMPED = TcpOptions(mss=1460, window_scale=7, sack_permitted=True, ts_val=1 << 31, ts_ecr=0)
BOGUS = b"poison!!"
RIVAL = MALLORY + 1  # whom the attacker is after: the peer of the connection


def victim(scene: Scene, options: TcpOptions = SCALED, **more) -> Remote:
    return Remote(scene, scene.server.listen(PORT, scene.now), 40_000, source=RIVAL, options=options, **more)


def stream(peer: Remote, start: int, end: int) -> bytes:
    """The peer sends that part of TEXT, the server's application reads it."""
    for at in range(start, end, 1000):
        peer.say(ACK | PSH, seq=1 + at, data=TEXT[at : min(at + 1000, end)])
    return peer.scene.server.read(peer.connection, 1 << 20, peer.scene.now)


def sweep(peer: Remote, flags: int, step: int, *, ack: int = 1, data: bytes = b"", around: tuple[int, int]) -> int:
    """Segments `step` apart over the whole sequence space, but for the numbers within `around`; how many they were."""
    offset = 17
    seqs = [seq for seq in range(offset, 1 << 32, step) if not around[0] <= seq <= around[1]]
    peer.scene.attack([peer.frame(flags, seq=seq, ack=ack, data=data) for seq in seqs])
    return len(seqs)


# Resets


@pytest.mark.req("5961-1", "5961-2", "5961-3")
def test_resets_all_over_the_sequence_space_end_nothing() -> None:
    """One in each window's worth of numbers, as who wants to hit the window needs 2**32 / window segments."""
    scene = Scene()
    peer = victim(scene)
    first = stream(peer, 0, 25_000)
    counters = scene.server.counters
    count = sweep(peer, RST, 65_536, around=(25_001, 25_001))
    assert count > 65_000 and counters["TcpInRsts"] == 0
    assert 1 <= counters["TcpExtTCPChallengeACK"] <= 3  # the few that fell into the window
    assert first + stream(peer, 25_000, 50_000) == TEXT
    assert peer.connection.state is State.ESTABLISHED


@pytest.mark.req("5961-1")
def test_only_the_one_right_reset_ends_a_connection() -> None:
    scene = Scene()
    peer = victim(scene)
    stream(peer, 0, 10_000)
    for miss in (*range(1, 20), *(1 << n for n in range(5, 32))):
        for seq in (10_001 + miss, 10_001 - miss):
            peer.say(RST, seq=seq)
            peer.say(RST | ACK, seq=seq)
    assert peer.connection.state is State.ESTABLISHED and scene.server.counters["TcpInRsts"] == 0
    peer.say(RST, seq=10_001)
    assert peer.connection.state is State.CLOSED


@pytest.mark.req("5961-5")
def test_syns_all_over_the_sequence_space_end_nothing_and_open_nothing() -> None:
    scene = Scene()
    peer = victim(scene)
    first = stream(peer, 0, 25_000)
    count = sweep(peer, SYN, 65_536, around=(25_001, 25_001))
    counters = scene.server.counters
    assert counters["TcpExtTCPChallengeACK"] == 10 and counters["TcpExtTCPACKSkippedChallenge"] == count - 10
    assert counters["TcpOutRsts"] == 0 and len(list(scene.server.connections())) == 1
    assert first + stream(peer, 25_000, 50_000) == TEXT


# Text


@pytest.mark.req("5961-6", "5961-9", "9293-MAY-12")
def test_text_with_any_other_acknowledgment_is_not_taken() -> None:
    """Right in the window, with acknowledgments all over the space: without RFC 5961 5.2 half of them would do."""
    scene = Scene()
    peer = victim(scene)
    first = stream(peer, 0, 10_000)
    right = range(-(65_535 << 7), 2)  # SND.UNA - MAX.SND.WND to SND.NXT
    acks = [ack for ack in range(-(1 << 31), 1 << 31, 1 << 18) if ack not in right]
    scene.attack([peer.frame(ACK | PSH, seq=10_001, ack=ack, data=BOGUS) for ack in acks])
    scene.attack([peer.frame(ACK | PSH, seq=10_500, ack=ack, data=BOGUS) for ack in acks])
    assert len(acks) > 16_000 and scene.server.counters["TcpUnacceptableAck"] == 2 * len(acks)
    assert peer.connection.readable == 0 and not peer.connection.receiver.has_gap
    assert first + stream(peer, 10_000, 50_000) == TEXT


def test_text_outside_of_the_window_is_not_taken_whatever_it_acknowledges() -> None:
    scene = Scene()
    peer = victim(scene)
    first = stream(peer, 0, 10_000)
    window = peer.connection.receiver.window
    scene.attack(
        [
            peer.frame(ACK | PSH, seq=seq, ack=1, data=BOGUS)
            for seq in range(10_001 + window, 1 << 32, 299_993)
            if seq + 8 < 1 << 32
        ]
    )
    assert first + stream(peer, 10_000, 50_000) == TEXT


def test_a_fin_from_nowhere_ends_no_stream() -> None:
    scene = Scene()
    peer = victim(scene)
    first = stream(peer, 0, 25_000)
    sweep(peer, FIN | ACK, 1 << 18, ack=1 << 30, around=(25_001, 25_001))
    assert not peer.connection.receiver.has_finished and peer.connection.receiver.fin_at is None
    assert first + stream(peer, 25_000, 50_000) == TEXT
    assert peer.connection.state is State.ESTABLISHED


def test_what_is_there_already_cannot_be_changed() -> None:
    """Who hits the window after all comes too late for what has arrived ahead of a gap."""
    scene = Scene()
    peer = victim(scene)
    peer.say(ACK | PSH, seq=1001, data=TEXT[1000:2000])
    for at in range(1001, 2001, 100):
        peer.say(ACK | PSH, seq=at, data=bytes(2001 - at))
    assert stream(peer, 0, 1000) == TEXT[:2000]


def test_time_stamps_make_it_harder_still() -> None:
    """Text in the window, with the right acknowledgment, but a time stamp out of the blue: half of these are old."""
    scene = Scene()
    peer = victim(scene, options=STAMPED)
    stamps = [TcpOptions(ts_val=ts & MASK, ts_ecr=0) for ts in range(0, 1 << 31, 1 << 21)]
    scene.attack([peer.frame(ACK | PSH, seq=1, data=BOGUS, options=each) for each in stamps])
    scene.attack([peer.frame(ACK | PSH, seq=1, data=BOGUS, options=NO_OPTIONS)])
    assert peer.connection.readable == 0 and scene.server.counters["TcpExtPAWSEstab"] == len(stamps) + 1


# Acknowledgments


@pytest.mark.req("5961-6", "9293-3.10.7.4-ack-5961")
def test_acknowledgments_of_what_was_not_sent_open_nothing() -> None:
    """Optimistic ACKs: who acknowledges ahead of what he got would make us send faster than the path allows."""
    scene = Scene(tcp=TcpConfig(congestion="newreno", nagle=False))
    peer = victim(scene)
    sent = scene.written(peer.connection, bytes(200_000))
    end = 1 + sum(len(each.payload) for each in sent)
    before = peer.connection.info()
    for ahead in (1, 1460, 14_600, 100_000, 1 << 30):
        for _ in range(20):
            assert all(not each.payload for each in peer.say(ACK, ack=end + ahead))
    after = peer.connection.info()
    assert (after.cwnd, after.unacknowledged, after.unsent) == (before.cwnd, before.unacknowledged, before.unsent)


def test_an_acknowledgment_cut_into_octets_earns_no_more_than_a_whole_one() -> None:
    """ACK division (Savage 1999): cwnd grows with octets acknowledged, not with acknowledgments (RFC 3465)."""
    windows = []
    for pieces in (10, 1000):  # a segment each, and what is no whole one
        scene = Scene(tcp=TcpConfig(congestion="newreno"))
        peer = victim(scene)
        scene.written(peer.connection, bytes(200_000))
        for piece in range(1, pieces + 1):
            peer.say(ACK, ack=1 + 14_600 * piece // pieces)
        windows.append(peer.connection.info().cwnd)
    assert windows[1] <= windows[0]


def test_a_flood_of_acknowledgments_is_cheap_in_answers() -> None:
    """Ten thousand duplicates of nothing outstanding, and ten thousand far too old: the latter have ten answers."""
    scene = Scene()
    peer = victim(scene)
    scene.answers = []
    scene.attack([peer.frame(ACK)] * 10_000)
    assert scene.answers == []
    scene.attack([peer.frame(ACK, ack=-(1 << 24))] * 10_000)
    assert len(scene.answers) == 10 and peer.connection.state is State.ESTABLISHED


# What one connection tells about another


@pytest.mark.req("5961-7", "5961-8")
def test_challenges_of_one_connection_tell_nothing_about_another() -> None:
    """CVE-2016-5696: with one limit for all, who spends it on his own connection sees whether a victim's used any."""
    seen = []
    for guess_is_right in (False, True):
        scene = Scene(tcp=TcpConfig(challenge_acks_per_second=10))
        listener = scene.server.listen(PORT, scene.now)
        target = Remote(scene, listener, 40_000, source=RIVAL)
        own = Remote(scene, listener, 50_000, source=MALLORY)
        for _ in range(3):
            if guess_is_right:
                scene.attack([target.frame(RST, seq=100)] * 1000)
            seen.append(sum(len(own.say(RST, seq=100)) for _attempt in range(100)))
            scene.after(SECOND)
    assert seen == [10] * 6


def test_nor_do_resets_to_nobody() -> None:
    """Each segment to a closed port has its reset, however many others have had theirs: nothing to count."""
    scene = Scene()
    peer = victim(scene)
    stray = peer.segment(ACK)
    stray.dst_port = 81
    assert all(len(scene.ask(stray)) == 1 for _ in range(500))


# ICMP


def icmp_error(to: int, port: int, kind: int, code: int, seq: int, rest: int = 0) -> bytes:
    """An error that quotes a segment of the server to that port, with sequence number `seq`."""
    quoted = PORT.to_bytes(2, "big") + port.to_bytes(2, "big") + (seq & MASK).to_bytes(4, "big")
    packet = ip.build(ip.Ipv4Header(PUBLIC, to, ip.PROTOCOL_TCP), quoted + bytes(12))
    message = icmp.IcmpMessage(kind, code, rest, packet)
    return ip_frame(ip.PROTOCOL_ICMP, icmp.build(message))


@pytest.mark.req("5927-1", "5927-2", "5927-3", "5927-4")
def test_icmp_errors_all_over_the_sequence_space_change_nothing() -> None:
    """Hard errors, frag-needed with every plausible MTU, source quench: nothing of what they quote is outstanding."""
    scene = Scene()
    peer = victim(scene)
    scene.written(peer.connection, bytes(10_000))
    before = peer.connection.info()
    kinds = [
        (icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, 0),
        (icmp.DESTINATION_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE, 0),
        (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, 576),
        (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, 0),
        (icmp.SOURCE_QUENCH, 0, 0),
        (icmp.TIME_EXCEEDED, 0, 0),
    ]
    outside = list(range(20_000, (1 << 32) - 1000, 1 << 20))
    for kind, code, rest in kinds:
        scene.attack([icmp_error(RIVAL, peer.port, kind, code, peer.iss + seq, rest) for seq in outside])
    assert peer.connection.info() == before and peer.connection.soft_error is None
    assert scene.server.counters["IcmpInQuoteUnmatched"] == 5 * len(outside)  # all but the quenches


@pytest.mark.req("5927-2")
def test_even_a_right_guess_does_not_end_a_connection() -> None:
    scene = Scene()
    peer = victim(scene)
    scene.written(peer.connection, bytes(10_000))
    for code in (icmp.PORT_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE):
        scene.attack([icmp_error(RIVAL, peer.port, icmp.DESTINATION_UNREACHABLE, code, peer.iss + 1)])
    assert peer.connection.state is State.ESTABLISHED and peer.connection.error is None


def test_even_a_right_guess_does_not_cut_segments_to_pieces() -> None:
    """Frag-needed with an MTU of 68 would have us send 28 octets a segment (RFC 5927 7.3)."""
    scene = Scene()
    peer = victim(scene)
    scene.written(peer.connection, bytes(10_000))
    scene.attack(
        [icmp_error(RIVAL, peer.port, icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, peer.iss + 1, 68)]
    )
    assert peer.connection.info().mss == 552 - 40


def test_a_half_open_connection_hears_nothing_from_icmp() -> None:
    scene = Scene()
    listener = scene.server.listen(PORT, scene.now)
    syn = Segment(40_000, PORT, 0, 0, SYN, 65_535, b"", PLAIN)
    [answer] = scene.ask(syn, RIVAL)
    for code in (icmp.PORT_UNREACHABLE, icmp.HOST_UNREACHABLE):
        scene.attack([icmp_error(RIVAL, 40_000, icmp.DESTINATION_UNREACHABLE, code, answer.seq)])
    scene.ask(Segment(40_000, PORT, 1, answer.seq + 1, ACK, 65_535), RIVAL)
    assert scene.server.accept(listener) is not None


# TIME-WAIT


def test_who_guesses_cannot_assassinate_time_wait() -> None:
    """RFC 1337: but the one right number, which RFC 9293 obeys, is one in 2**32."""
    scene = Scene()
    peer = victim(scene)
    scene.server.close(peer.connection, scene.now)
    peer.say(ACK | FIN, ack=2)
    assert peer.connection.state is State.TIME_WAIT
    sweep(peer, RST, 1 << 18, around=(2, 2))
    sweep(peer, ACK, 1 << 20, ack=2, around=(2, 2))
    sweep(peer, FIN | ACK, 1 << 20, ack=2, around=(1, 2))
    assert peer.connection.state is State.TIME_WAIT
