"""The window after a pause: the initial window, until that has been too much (RFC 6928 2, RFC 5681 4.1)."""

import pytest

from stack.clock import SECOND
from tests.conformance.flight import MSS, Flight


def window_after_a_pause(flight: Flight) -> int:
    flight.wait(20 * SECOND)
    assert flight.info.in_flight == 0
    return len(flight.write(50))


@pytest.mark.req("6928-5")
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
@pytest.mark.parametrize("sack", [False, True], ids=["no SACK", "SACK"])
@pytest.mark.parametrize(
    ("first_lost", "count", "segments"), [(0, 1, 4), (0, 10, 4), (9, 1, 4), (10, 1, 10), (30, 1, 10), (99, 0, 10)]
)
def test_a_loss_in_the_initial_window(congestion, sack, first_lost, count, segments):
    flight = Flight(congestion=congestion, sack=sack)
    flight.peer.write(150 * MSS)
    flight.play(20 * SECOND, lambda number, time: time == 1 and first_lost <= number < first_lost + count)
    assert flight.info.in_flight == 0
    assert window_after_a_pause(flight) == segments


@pytest.mark.req("6928-5")
def test_a_loss_in_the_restart_window():
    flight = Flight()
    flight.peer.write(150 * MSS)
    flight.play(20 * SECOND)
    flight.wait(20 * SECOND)
    flight.peer.write(150 * MSS)
    flight.play(20 * SECOND, lambda number, time: time == 1 and number == 155)
    assert window_after_a_pause(flight) == 4
