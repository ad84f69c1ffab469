"""What a sender does with selective acknowledgments: RFC 2018 5 and 8, RFC 2883 5, RFC 3042, RFC 6675.

Where RFC 8985 has another way to find losses than RFC 6675, tests/conformance/test_rack.py has that one.
"""

import pytest

from stack.clock import SECOND
from tests.conformance.flight import MSS, RTT, Flight, numbers
from tests.tcp.harness import stream


@pytest.fixture
def flight():
    """Ten segments are in flight, and ten more wait."""
    flight = Flight()
    assert flight.write(20) == list(range(10))
    flight.wait(RTT)
    return flight


@pytest.mark.req("2018-9", "2018-16", "6675-4")
@pytest.mark.parametrize("holes", [{0}, {3}, {0, 2, 4}, {1, 5, 8}, {0, 1, 2, 3}, {2, 6}, {0, 1, 2, 3, 4, 5}])
def test_only_what_is_missing_is_sent_again_once_and_from_the_left(holes):
    flight = Flight()
    flight.peer.write(40 * MSS)
    flight.play(2 * SECOND, lambda number, time: number in holes and time == 1)
    sent = [number for _, number in flight.log]
    assert [each for each in sent if sent.count(each) > 1] != [] and flight.info.unacknowledged == 0
    again = [number for index, number in enumerate(sent) if number in sent[:index]]
    assert again == sorted(holes)
    assert flight.bench.host.counters["TcpExtTCPTimeouts"] == 0


@pytest.mark.req("2018-9", "6675-8")
def test_blocks_count_on_whatever_acknowledgment_they_come(flight):
    flight.peer.send("PA", ack=1, data=100, sack=[(1 + MSS, 1 + 2 * MSS)])  # with text of the peer's own
    flight.peer.take()
    assert flight.info.sacked == MSS
    flight.ack(1, (3, 5))  # with a new acknowledgment number
    assert flight.info.sacked == 3 * MSS
    flight.ack(1, (7, 8), (3, 5), window=50_000)  # with another window
    assert flight.info.sacked == 4 * MSS


@pytest.mark.req("2018-15", "6675-1", "2018-12", "2018-10", "9293-MUST-20")
def test_what_was_acknowledged_selectively_is_kept_and_sent_again_when_the_peer_has_dropped_it(flight):
    """RFC 2018 8: the receiver reneges on everything."""
    for start in (1, 2, 5):
        flight.ack(0, (start, start + 4))
    flight.wait(60 * SECOND)
    # Now it has only what is acknowledged; every octet comes again, the same one.
    received, end = b"", 0
    for _ in range(200):
        for each in flight.peer.take():
            if each.seq - 1 <= end < each.seq - 1 + len(each.data):
                received += each.data[end - each.seq + 1 :]
                end = each.seq - 1 + len(each.data)
        flight.peer.send("A", ack=1 + end)
        if end == 20 * MSS:
            break
        flight.bench.elapse(SECOND)
    assert received == stream(0, 20 * MSS)


@pytest.mark.req("2018-10")
def test_after_a_timeout_the_left_edge_goes_first_even_if_it_was_acknowledged_selectively(flight):
    flight.ack(0, (1, 4))
    sent = flight.ack(1)  # without a block: the receiver has thrown 1 to 3 away
    sent += flight.wait(30 * SECOND)
    assert 1 in sent
    assert next(each for each in sent if each < 4) == 1


@pytest.mark.req("6675-17")
@pytest.mark.parametrize("told_again", [True, False])
def test_after_a_timeout_what_was_acknowledged_selectively_is_not_sent_again(told_again):
    flight = Flight()
    flight.write(8)
    flight.wait(RTT)
    flight.ack(0, (5, 8))
    flight.wait(20 * SECOND)  # every repetition is lost
    assert flight.bench.host.counters["TcpExtTCPTimeouts"] > 0
    blocks = [(5, 8)] if told_again else []
    sent = flight.ack(2, *blocks)
    for number in (3, 4):
        flight.wait(RTT)
        sent += flight.ack(number, *blocks)
    sent += flight.wait(RTT)
    assert not {5, 6, 7} & set(sent) and 4 in sent
    assert flight.ack(8) == [] and flight.info.unacknowledged == 0


@pytest.mark.req("2018-11", "6675-11", "6675-3", "5681-13")
def test_congestion_control_is_kept_with_sack(flight):
    """Half the flight is ssthresh, and what is in the network comes down to it."""
    for last in range(2, 11):
        flight.ack(0, (1, last))
    assert flight.info.ssthresh == 5 * MSS
    assert flight.info.in_flight <= 5 * MSS
    for _ in range(20):
        flight.wait(RTT // 10)
        assert flight.info.in_flight <= max(flight.info.cwnd, 5 * MSS)


@pytest.mark.req("6675-3")
def test_what_is_in_flight_leaves_out_what_arrived_and_what_is_lost_until_it_goes_again():
    flight = Flight()
    flight.write(10)
    flight.wait(RTT)
    assert flight.info.in_flight == 10 * MSS
    assert flight.ack(0, (4, 5)) == []
    assert (flight.info.in_flight, flight.info.sacked, flight.info.lost) == (9 * MSS, MSS, 0)
    again = flight.ack(0, (4, 9))  # 0 to 3 are lost; 9 may be under way
    assert flight.info.sacked == 5 * MSS
    assert flight.info.in_flight == (1 + len(again)) * MSS


@pytest.mark.req("6675-2", "6675-10", "8985-9")
@pytest.mark.parametrize("sacks", [[(1, 2), (2, 3), (3, 4)], [(1, 2), (3, 4), (5, 6)], [(4, 5), (7, 8), (8, 9)]])
def test_three_segments_beyond_a_hole_make_it_a_loss(flight, sacks):
    known = []
    for block in sacks:
        sent = flight.ack(0, block, *known)
        known.insert(0, block)
        assert (0 in sent) == (len(known) == 3)
    assert flight.info.phase.name == "RECOVERY"


@pytest.mark.req("6675-2", "6675-10")
def test_one_acknowledgment_of_that_much_is_enough(flight):
    assert 0 in flight.ack(0, (2, 5))


@pytest.mark.req("6675-9")
def test_an_acknowledgment_that_advances_starts_the_count_again():
    flight = Flight()
    flight.write(20)
    flight.wait(RTT)
    for start in (0, 3, 6):
        flight.ack(start, (start + 1, start + 2))
        assert start not in flight.ack(start, (start + 1, start + 3))
        assert flight.info.phase.name == "OPEN"
        flight.ack(start + 3)
    assert flight.bench.host.counters["TcpRetransSegs"] == 0


@pytest.mark.req("6675-5", "6675-4", "6675-14", "2018-9")
def test_when_the_holes_are_repaired_new_text_goes():
    flight = Flight()
    flight.peer.write(60 * MSS)
    flight.play(3 * RTT, lambda number, time: number in (0, 2, 4) and time == 1)
    sent = [number for _, number in flight.log]
    first = sent.index(0, 10)
    rest = sent[first:]
    fresh = [each for each in rest if each not in (0, 2, 4)]
    assert fresh == list(range(max(sent[:first]) + 1, max(sent) + 1)) and fresh
    assert rest.index(4) < rest.index(fresh[0])  # no new text before the last hole


@pytest.mark.req("6675-14")
def test_as_long_as_cwnd_has_room_more_is_sent(flight):
    for last in range(4, 11):
        flight.ack(0, (1, last))
        info = flight.info
        assert info.cwnd - info.in_flight < MSS


@pytest.mark.req("6675-12", "9937-12")
def test_recovery_ends_when_all_is_acknowledged_that_was_sent_before_it():
    flight = Flight()
    flight.write(30)
    flight.wait(RTT)
    highest = 9
    for arrived in range(2, 11):
        highest = max([highest, *flight.ack(0, (1, arrived))])
        if flight.info.phase.name == "RECOVERY":
            break
    recover = highest + 1  # RecoveryPoint: HighData when it began
    flight.wait(RTT)
    flight.ack(recover - 1)
    assert flight.info.phase.name == "RECOVERY"
    flight.ack(recover)
    assert flight.info.phase.name == "OPEN"
    assert flight.info.cwnd == flight.info.ssthresh == 5 * MSS


@pytest.mark.req("6675-13")
def test_what_arrived_beyond_the_end_of_a_recovery_is_remembered():
    flight = Flight()
    flight.write(30)
    flight.wait(RTT)
    sent = []
    for arrived in range(2, 11):
        sent += flight.ack(0, (1, arrived))
    high = max(sent)  # what was sent during recovery
    flight.wait(RTT)
    flight.ack(10, (11, high + 1))  # 10, which went out in recovery, is lost
    for _ in range(10):
        sent = flight.wait(RTT // 4)
        assert not set(sent) & set(range(11, high + 1))


@pytest.mark.req("6675-15", "6675-16", "5681-17")
def test_after_a_timeout_in_recovery_duplicates_do_not_reduce_again(flight):
    for arrived in range(2, 8):
        flight.ack(0, (1, arrived))
    assert flight.info.phase.name == "RECOVERY"
    flight.wait(5 * SECOND)
    assert flight.bench.host.counters["TcpExtTCPTimeouts"] >= 1
    ssthresh, phase = flight.info.ssthresh, flight.info.phase.name
    for arrived in range(8, 11):
        flight.ack(0, (1, arrived))
    assert phase == "LOSS" and flight.info.phase.name == "LOSS" and flight.info.ssthresh == ssthresh


@pytest.mark.req("3042-1", "3042-2", "5681-18")
def test_each_of_two_acknowledgments_with_news_lets_out_one_new_segment(flight):
    cwnd = flight.info.cwnd
    assert flight.ack(0, (1, 2)) == [10]
    assert flight.ack(0, (1, 3)) == [11]
    assert flight.info.cwnd == cwnd


@pytest.mark.req("3042-3")
def test_a_duplicate_without_news_lets_out_nothing(flight):
    """RFC 3042 2: without new SACK information nothing has left the network."""
    for _ in range(10):
        assert flight.ack(0) == []
    assert flight.ack(0, (1, 2)) == [10]
    for _ in range(10):
        assert flight.ack(0, (1, 2)) == []
    assert flight.info.phase.name == "OPEN"


@pytest.mark.req("2883-5")
def test_a_block_below_its_own_acknowledgment_is_a_duplicate_and_one_below_anothers_is_not(flight):
    counters = flight.bench.host.counters
    flight.ack(6)
    flight.ack(2, (4, 6))  # an old acknowledgment, overtaken: its block was news when it was sent
    assert counters["TcpExtTCPDSACKRecv"] == 0
    flight.ack(6, (4, 6))
    assert counters["TcpExtTCPDSACKRecv"] == 1
    flight.ack(6, (8, 9), (7, 10))  # within the second block: a duplicate above the acknowledgment
    assert counters["TcpExtTCPDSACKRecv"] == 2


@pytest.mark.req("2018-9", "2018-15")
@pytest.mark.parametrize("block", [(15, 18), (-5, -2), (3, 3), (6, 4), (8, 12)])
def test_blocks_of_what_was_never_sent_mean_nothing(block):
    flight = Flight()
    flight.write(10)
    flight.wait(RTT)
    for _ in range(5):
        assert flight.ack(0, block) == []
    assert (flight.info.sacked, flight.info.lost, flight.info.phase.name) == (0, 0, "OPEN")
    assert flight.bench.host.counters["TcpExtTCPSACKDiscard"] == 5


@pytest.mark.req("5681-15", "6675-10")
def test_whole_segments_are_sent_again_as_they_were(flight):
    texts = {}
    flight.ack(0, (1, 2))
    flight.ack(0, (1, 3))
    flight.peer.send("A", ack=1, sack=[(1 + MSS, 1 + 4 * MSS)])
    for each in flight.taken():
        texts[numbers([each])[0]] = each.data
    assert texts[0] == stream(0, MSS)
