"""The limit of slow start (RFC 9406 4.2), and echoes of congestion at the floor of the window (RFC 9438 4.6)."""

import pytest

from tests.conformance.flight import MSS, RTT, Flight


@pytest.mark.req("9406-11")
def test_with_pacing_there_is_no_limit():
    flight = Flight(congestion="cubic", pacing=True)
    flight.write(60)
    before = flight.info.cwnd
    flight.wait(RTT)
    flight.ack(10)
    assert flight.info.cwnd - before == 10 * MSS
