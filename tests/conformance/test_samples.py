"""What congestion control is told of an acknowledgment, by an algorithm that only writes it down."""

from dataclasses import replace

import pytest

from stack.clock import MILLISECOND
from stack.transport.tcp.congestion import ALGORITHMS, AckSample
from stack.transport.tcp.congestion.bbr import Bbr
from tests.conformance.flight import MSS, RTT, Flight

pytestmark = pytest.mark.interpreted


class Spy(Bbr):
    """BBR, which is told of every acknowledgment."""

    seen: list[AckSample]

    def on_ack(self, sample: AckSample) -> None:
        Spy.seen.append(replace(sample))
        super().on_ack(sample)


@pytest.fixture
def flight(monkeypatch: pytest.MonkeyPatch) -> Flight:
    monkeypatch.setitem(ALGORITHMS, "bbr", Spy)
    Spy.seen = []
    return Flight(congestion="bbr")


def test_what_is_lost_by_the_timer_is_told_with_the_next_acknowledgment(flight: Flight) -> None:
    flight.write(6)
    flight.wait(RTT)
    flight.ack(0, (1, 2))
    assert 0 in flight.wait(RTT // 4)  # RACK's reordering timer
    flight.wait(10 * MILLISECOND)
    flight.ack(0, (1, 3))
    flight.ack(0, (1, 4))
    assert [each.lost for each in Spy.seen] == [0, MSS, 0]
    # 0 is in the network again: what was there before was 0 and 2 to 5
    assert [each.flight for each in Spy.seen] == [6 * MSS, 6 * MSS, 4 * MSS]


def test_the_acknowledgment_that_begins_recovery_and_the_one_that_ends_it_are_of_it(flight: Flight) -> None:
    flight.write(10)
    flight.wait(RTT)
    flight.ack(1)
    flight.ack(1, (2, 3))
    flight.ack(1, (2, 5))
    assert flight.info.phase.name == "RECOVERY"
    flight.wait(RTT)
    flight.ack(10)
    flight.write(1)
    flight.wait(RTT)
    flight.ack(11)
    assert flight.info.phase.name == "OPEN"
    assert [each.in_recovery for each in Spy.seen] == [False, False, True, True, False]
