"""The scoreboard against a model that keeps every octet by itself."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.transport.tcp.scoreboard import Scoreboard
from stack.transport.tcp.sent import Delivered, Fate, Sent
from tests.effort import examples

FRAGMENTS = 12


class Model:
    """Fate, number of transmissions and time of the last one, octet by octet."""

    def __init__(self) -> None:
        self.una = 0
        self.octets: list[list[int]] = []  # from offset 0 on: [fate, transmissions, sent at]
        self.board = Scoreboard(FRAGMENTS, Delivered())
        self.now = 0

    def send(self, size: int) -> None:
        self.now += 1
        self.octets += [[Fate.IN_FLIGHT, 1, self.now] for _ in range(size)]
        self.board.on_sent(size, self.now)

    def ack(self, share: float) -> None:
        una = self.una + round(share * (len(self.octets) - self.una))
        self._expect_delivered(range(self.una, una), lambda: self.board.on_ack(una))
        self.una = una

    def sack(self, low: float, high: float) -> None:
        size = len(self.octets) - self.una
        start, end = sorted((self.una + round(low * size), self.una + round(high * size)))
        cuts = len(list(self.board.records())) + 2 <= FRAGMENTS
        if start < end and cuts:  # beyond the limit the scoreboard may leave it
            self._expect_delivered(range(start, end), lambda: self.board.on_sack(start, end))
            for offset in range(start, end):
                self.octets[offset][0] = Fate.SACKED

    def _expect_delivered(self, offsets: range, call: object) -> None:
        new = [at for at in offsets if self.octets[at][0] != Fate.SACKED]
        self.board.delivered.clear()
        call()  # type: ignore[operator]
        delivered = self.board.delivered
        assert delivered.octets == len(new)
        assert delivered.has_repeats == any(self.octets[at][1] > 1 for at in new)
        if new:
            latest = max(new, key=lambda at: (self.octets[at][2], at))
            assert delivered.newest is not None
            assert (delivered.newest.sent_at, delivered.newest_end) == (self.octets[latest][2], latest + 1)

    def lose(self, count: int) -> None:
        for _ in range(count):
            record = self.board.oldest
            if record is not None:
                self._set(record, Fate.LOST)
                self.board.mark_lost(record)

    def lose_all(self) -> None:
        for octet in self.octets[self.una :]:
            octet[0] = Fate.LOST if octet[0] == Fate.IN_FLIGHT else octet[0]
        self.board.mark_all_lost()

    def repeat(self, size: int) -> None:
        record = self.board.first_lost
        lost = [at for at in range(self.una, len(self.octets)) if self.octets[at][0] == Fate.LOST]
        assert (record is None) == (not lost)
        if record is None:
            return
        assert record.start == lost[0]
        self.now += 1
        size = min(size, record.end - record.start)
        for at in range(record.start, record.start + size):
            self.octets[at] = [Fate.IN_FLIGHT, self.octets[at][1] + 1, self.now]
        self.board.on_retransmitted(record, size, self.now)

    def take_back(self) -> None:
        for octet in self.octets[self.una :]:
            octet[0] = Fate.IN_FLIGHT if octet[0] == Fate.LOST else octet[0]
        self.board.unmark_lost()

    def renege(self) -> None:
        sacked = [record for record in self.board.records() if record.fate is Fate.SACKED]
        self.board.forget_sacks()
        for record in sacked:  # it is sent again, whenever it was sent before
            for at in range(record.start, record.end):
                self.octets[at] = [Fate.LOST, record.retransmitted + 1, record.sent_at]

    def _set(self, record: Sent, fate: Fate) -> None:
        for at in range(record.start, record.end):
            self.octets[at][0] = fate

    def check(self) -> None:
        board, left = self.board, self.octets[self.una :]
        fates = [octet[0] for octet in left]
        assert (board.una, board.end) == (self.una, len(self.octets))
        assert (board.sacked, board.lost) == (fates.count(Fate.SACKED), fates.count(Fate.LOST))
        assert board.pipe == fates.count(Fate.IN_FLIGHT)
        records = list(board.records())
        assert all(one.end == other.start for one, other in pairwise(records))
        assert not records or (records[0].start, records[-1].end) == (self.una, len(self.octets))
        for record in records:
            assert record.start < record.end
            for at in range(record.start, record.end):
                fate, times, sent_at = self.octets[at]
                assert fate == record.fate
                assert fate == Fate.SACKED or (times, sent_at) == (record.retransmitted + 1, record.sent_at)
        assert not any(one.fate == other.fate == Fate.SACKED for one, other in pairwise(records))
        linked = []
        record = board.oldest
        while record is not None:
            assert (record.older is None) == (not linked) and (not linked or record.older is linked[-1])
            linked.append(record)
            record = record.newer
        assert board.newest is (linked[-1] if linked else None)
        assert {id(each) for each in linked} == {id(each) for each in records if each.fate is Fate.IN_FLIGHT}


sizes, shares = st.integers(1, 20), st.floats(0, 1)
steps = st.one_of(
    st.tuples(st.just("send"), sizes),
    st.tuples(st.just("ack"), shares),
    st.tuples(st.just("sack"), shares, shares),
    st.tuples(st.just("lose"), st.integers(1, 3)),
    st.tuples(st.just("lose_all")),
    st.tuples(st.just("repeat"), sizes),
    st.tuples(st.just("take_back")),
    st.tuples(st.just("renege")),
)


@given(st.lists(steps, max_size=60))
@settings(max_examples=examples(400))
def test_whatever_happens_it_says_what_an_octet_by_octet_account_says(script: list[tuple[object, ...]]) -> None:
    model = Model()
    for name, *arguments in script:
        getattr(model, str(name))(*arguments)
        model.check()


@pytest.mark.req("8985-4")
def test_what_was_sent_first_comes_first_also_when_it_is_cut() -> None:
    board = Scoreboard(FRAGMENTS, Delivered())
    for now in range(1, 4):
        board.on_sent(100, now)
    board.on_sack(140, 160)
    order, record = [], board.oldest
    while record is not None:
        order.append((record.start, record.end))
        record = record.newer
    assert order == [(0, 100), (100, 140), (160, 200), (200, 300)]


def test_the_number_of_records_is_bounded_whatever_the_peer_acknowledges() -> None:
    board = Scoreboard(FRAGMENTS, Delivered())
    board.on_sent(10_000, 1)
    for start in range(1, 10_000, 2):
        board.on_sack(start, start + 1)
    assert len(list(board.records())) <= FRAGMENTS
    board.on_sack(1, 9_999)
    assert board.sacked == 9_999 and len(list(board.records())) == 2


def test_what_goes_at_one_instant_is_one_record() -> None:
    board = Scoreboard(FRAGMENTS, Delivered())
    board.on_sent(100, 1)
    board.on_sent(100, 1)
    board.on_sent(100, 2)
    assert [(each.start, each.end) for each in board.records()] == [(0, 200), (200, 300)]
