"""The limit of slow start (RFC 9406 4.2), and echoes of congestion at the floor of the window (RFC 9438 4.6)."""

import pytest

from stack.clock import MILLISECOND
from tests.conformance.flight import MSS, RTT, Flight


@pytest.mark.req("9406-3")
@pytest.mark.parametrize("segments", [1, 2, 5, 8, 10])
def test_without_pacing_an_acknowledgment_opens_slow_start_by_eight_segments_at_the_most(segments):
    flight = Flight(congestion="cubic")
    flight.write(60)
    before = flight.info.cwnd
    flight.wait(RTT)
    flight.ack(segments)
    assert 0 < flight.info.cwnd - before <= min(segments, 8) * MSS


@pytest.mark.req("9406-11")
def test_with_pacing_there_is_no_limit():
    flight = Flight(congestion="cubic", pacing=True)
    flight.write(60)
    before = flight.info.cwnd
    flight.wait(RTT)
    flight.ack(10)
    assert flight.info.cwnd - before == 10 * MSS


@pytest.mark.req("9438-10")
def test_echo_after_echo_brings_the_window_down_to_one_segment():
    flight = Flight(congestion="cubic", ecn="request", answer="SAE")
    flight.write(100)
    number = 0
    sizes = []
    for _ in range(12):
        flight.wait(RTT)
        number += max(flight.info.in_flight // MSS, 1)
        flight.peer.send("AE", ack=1 + MSS * number)
        flight.taken()
        sizes.append(flight.info.cwnd)
        flight.bench.elapse(MILLISECOND)
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == MSS
