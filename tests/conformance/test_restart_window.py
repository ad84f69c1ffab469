"""The window after a pause: the initial window, until that has been too much (RFC 6928 2, RFC 5681 4.1)."""

import pytest

from stack.clock import SECOND
from tests.conformance.flight import MSS, RTT, Flight


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


@pytest.mark.req("5681-24")
def test_a_window_that_was_closed_for_long_is_a_pause():
    """What had to wait for the peer's window has not been sent either, though the application wrote it long ago."""
    flight = Flight()
    una = 0
    while flight.info.cwnd < 40 * MSS:
        una += len(flight.write(flight.info.cwnd // MSS))
        flight.wait(RTT)
        flight.ack(una)
    una += len(flight.write(40))
    flight.peer.write(100 * MSS)
    una += len(flight.sent())
    flight.wait(RTT)
    flight.peer.send("A", ack=1 + MSS * una, window=0)
    flight.bench.elapse(5 * SECOND)  # a probe now and then, but none within an RTO
    flight.peer.take()
    assert flight.info.cwnd >= 40 * MSS
    flight.peer.send("A", ack=1 + MSS * una, window=60_000)
    assert len(flight.taken()) == 10
