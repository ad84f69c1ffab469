"""What we acknowledge selectively, and how: RFC 2018 sections 2 to 4 and 8, and RFC 2883 section 4."""

from itertools import permutations

import pytest

from stack.clock import SECOND
from stack.config import TcpConfig
from stack.wire.tcp_options import TcpOptions
from tests.tcp.harness import Bench, Peer, established

SIZE = 100


class Receiver:
    """Our receiver; pieces of SIZE octets are sent to it by their number."""

    def __init__(self, *, timestamps=False, sack=True, active=False, **config):
        self.bench = Bench(TcpConfig(**config))
        self.peer = established(self.bench, active=active, sack=sack, ts=timestamps)
        self.peer.strict = False

    def arrive(self, first, last=None):
        """Pieces `first` to `last` in one segment; the acknowledgments that this brings at once."""
        count = 1 if last is None else last - first + 1
        self.peer.send("A", seq=1 + SIZE * first, data=SIZE * count)
        return self.peer.take()

    def blocks(self, first, last=None):
        """The SACK blocks of the one acknowledgment that it brings, in pieces."""
        [ack] = self.arrive(first, last)
        return blocks(ack)


def blocks(ack):
    return [((left - 1) / SIZE, (right - 1) / SIZE) for left, right in ack.sack]


@pytest.fixture
def receiver():
    return Receiver()


@pytest.mark.req("2018-1")
@pytest.mark.parametrize("active", [True, False])
def test_sack_is_permitted_on_syn_segments_and_there_only(active):
    bench = Bench()
    if active:
        peer = bench.connect()
        assert peer.expect("S").options.sack_permitted
        peer.syn("SA", sack=True)
        peer.connection = peer.connection
    else:
        listener = bench.listen()
        peer = Peer(bench)
        peer.syn(sack=True)
        assert peer.expect("SA").options.sack_permitted
        peer.send("A")
        peer.connection = bench.host.accept(listener)
    peer.strict = False
    peer.write(20_000)
    peer.send("A", seq=500, data=100)
    peer.send("A", seq=1, data=100)
    peer.shutdown()
    rest = peer.take()
    assert len(rest) > 5 and not any(each.options.sack_permitted for each in rest)


@pytest.mark.req("2018-1")
def test_sack_permitted_on_another_segment_means_nothing():
    receiver = Receiver(sack=False)
    receiver.peer.send("A", options=TcpOptions(sack_permitted=True))
    assert receiver.blocks(3) == []


@pytest.mark.req("2018-2", "2018-1")
@pytest.mark.parametrize("active", [True, False])
def test_no_blocks_are_sent_to_a_peer_that_did_not_permit_them(active):
    receiver = Receiver(sack=False, active=active)
    for piece in (2, 4, 6, 2):
        assert receiver.blocks(piece) == []
    assert receiver.bench.host.counters["TcpExtTCPDSACKRecv"] == 0


@pytest.mark.req("2018-2")
def test_a_syn_is_answered_without_sack_permitted_when_it_had_none():
    bench = Bench()
    bench.listen()
    peer = Peer(bench)
    peer.syn(sack=False)
    assert not peer.expect("SA").options.sack_permitted


@pytest.mark.req("2018-3", "2018-4", "2018-5", "9293-SHLD-30")
def test_while_there_is_a_gap_every_segment_brings_an_acknowledgment_with_blocks(receiver):
    for piece in range(1, 30):
        [ack] = receiver.arrive(piece)
        assert ack.ack == 1 and blocks(ack) == [(1, piece + 1)]
    [ack] = receiver.arrive(0)
    assert ack.ack == 1 + 30 * SIZE and ack.sack == []


@pytest.mark.req("2018-4", "2018-3")
def test_an_acknowledgment_that_fills_a_gap_still_names_what_lies_beyond_the_next(receiver):
    receiver.arrive(1)
    receiver.arrive(3)
    [ack] = receiver.arrive(0)
    assert ack.ack == 1 + 2 * SIZE and blocks(ack) == [(3, 4)]
    # And so does text that we send meanwhile.
    receiver.peer.write(50)
    [text] = receiver.peer.take()
    assert text.data and blocks(text) == [(3, 4)]


@pytest.mark.req("2018-6", "2018-8", "2018-16")
@pytest.mark.parametrize("order", list(permutations((2, 4, 6)))[:6])
def test_the_first_block_has_what_came_last_and_the_others_follow_by_age(receiver, order):
    for count, piece in enumerate(order, 1):
        got = receiver.blocks(piece)
        assert got == [(each, each + 1) for each in reversed(order[:count])]


@pytest.mark.req("2018-6", "2018-8", "2018-16")
def test_a_piece_that_joins_blocks_is_in_the_first_as_a_whole(receiver):
    for piece in (2, 4, 8):
        receiver.arrive(piece)
    assert receiver.blocks(3) == [(2, 5), (8, 9)]
    assert receiver.blocks(9) == [(8, 10), (2, 5)]
    assert receiver.blocks(5, 7) == [(2, 10)]


@pytest.mark.req("2018-7", "2018-8")
@pytest.mark.parametrize(("timestamps", "most"), [(False, 4), (True, 3)])
def test_as_many_blocks_as_there_is_room_for(timestamps, most):
    receiver = Receiver(timestamps=timestamps)
    pieces = list(range(2, 20, 2))
    for count, piece in enumerate(pieces, 1):
        newest = pieces[:count][::-1][:most]
        [ack] = receiver.arrive(piece)
        assert blocks(ack) == [(each, each + 1) for each in newest]
        assert (ack.options.ts_val is not None) == timestamps and len(ack.raw) <= 60


@pytest.mark.req("2018-7", "2018-8")
def test_what_follows_a_gap_in_order_does_not_crowd_out_the_blocks_before_it(receiver):
    """RFC 2018 4: "as many distinct SACK blocks as possible": each may have been in none that has arrived."""
    for piece in (2, 4, 6):
        receiver.arrive(piece)
    for piece in range(8, 30):
        assert receiver.blocks(piece) == [(8, piece + 1), (6, 7), (4, 5), (2, 3)]


@pytest.mark.req("2018-8")
def test_a_block_is_told_of_in_several_acknowledgments(receiver):
    """RFC 2018 4: so that it survives the loss of up to two of three."""
    told = [receiver.blocks(piece) for piece in (2, 4, 6, 8, 10)]
    for piece in (2, 4):
        assert sum((piece, piece + 1) in each for each in told) >= 3


@pytest.mark.req("2018-13", "2018-14", "2018-12")
def test_what_is_told_is_kept_until_it_is_read():
    receiver = Receiver(receive_buffer=4000, initial_receive_buffer=4000, window_scaling=False)
    told = set()
    for piece in range(38, 1, -2):
        for ack in receiver.arrive(piece):
            told |= {int(number) for left, right in blocks(ack) for number in range(int(left), int(right))}
    [ack] = receiver.arrive(0)
    for piece in range(1, 40):
        if piece not in told:
            receiver.arrive(piece)
    text = receiver.peer.read()
    assert len(text) == 4000  # nothing that was told of had to be sent again


@pytest.mark.req("2018-13", "2018-14")
def test_what_is_not_kept_is_not_told_of():
    receiver = Receiver(out_of_order_ranges=3)
    told = [receiver.arrive(piece) for piece in (2, 4, 6, 8, 10)]
    kept = {number for left, right in blocks(told[-1][-1]) for number in range(int(left), int(right))}
    missing = [piece for piece in range(11) if piece not in kept]
    for piece in missing:
        receiver.arrive(piece)
    assert len(receiver.peer.read()) == 11 * SIZE


# D-SACK


@pytest.mark.req("2883-1", "2883-3", "9293-3.10.7.4-seq-3")
def test_a_duplicate_below_rcv_nxt_is_the_first_block(receiver):
    receiver.arrive(0, 4)
    assert receiver.blocks(1, 2) == [(1, 3)]
    assert receiver.blocks(0, 4) == [(0, 5)]


@pytest.mark.req("2883-2")
def test_a_duplicate_is_reported_once(receiver):
    receiver.arrive(0, 4)
    assert receiver.blocks(1) == [(1, 2)]
    [ack] = receiver.arrive(7)
    assert blocks(ack) == [(7, 8)]
    receiver.arrive(5, 6)
    assert receiver.blocks(9) == [(9, 10)]
    assert receiver.blocks(9) == [(9, 10), (9, 10)]  # reported again, since it came again
    assert receiver.blocks(11) == [(11, 12), (9, 10)]


@pytest.mark.req("2883-3")
def test_of_a_partial_duplicate_the_part_that_was_there_is_reported(receiver):
    receiver.arrive(0, 4)
    receiver.bench.elapse(SECOND)
    receiver.peer.take()
    ack = (receiver.arrive(3, 7) or [receiver.peer.expect(within=SECOND)])[0]  # it may be a delayed one
    assert ack.ack == 1 + 8 * SIZE and blocks(ack) == [(3, 5)]


@pytest.mark.req("2883-3", "2883-4")
def test_a_duplicate_of_what_waits_is_followed_by_the_block_that_has_it(receiver):
    for piece in (4, 5, 6, 9):
        receiver.arrive(piece)
    assert receiver.blocks(5) == [(5, 6), (4, 7), (9, 10)]
    assert receiver.blocks(9) == [(9, 10), (9, 10), (4, 7)]


@pytest.mark.req("2883-3", "2883-4")
def test_a_segment_that_is_new_in_part_reports_the_part_that_waited(receiver):
    receiver.arrive(4, 5)
    assert receiver.blocks(5, 7) == [(5, 6), (4, 8)]


@pytest.mark.req("2883-1", "2883-3")
def test_a_duplicate_of_several_blocks_is_reported_as_the_part_that_lies_in_one(receiver):
    """RFC 2883 4: "if the data sender receives a packet with several duplicated subsegments", the first is reported."""
    receiver.arrive(2)
    receiver.arrive(4)
    [ack] = receiver.arrive(2, 4)
    got = blocks(ack)
    assert got[0] in ((2, 3), (4, 5)) and got[1] == (2, 5)


@pytest.mark.req("2883-1")
def test_a_duplicate_that_comes_with_a_new_acknowledgment_number(receiver):
    """The gap closes with a segment that reaches back: both the new number and the report go at once."""
    receiver.arrive(0, 1)
    receiver.arrive(3)
    [ack] = receiver.arrive(1, 2)
    assert ack.ack == 1 + 4 * SIZE and blocks(ack)[0] == (1, 2)
