"""Slow start and congestion avoidance (RFC 5681), the initial window (RFC 6928), counting of octets (RFC 3465)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.clock import SECOND
from stack.errors import ConfigurationError
from stack.transport.tcp.congestion import ALGORITHMS, congestion_control
from stack.transport.tcp.congestion.interface import initial_window
from stack.transport.tcp.congestion.newreno import NewReno
from tests.congestion.path import MSS, ROUND, Bottleneck, ack, run_rounds


@pytest.mark.req("6928-1")
@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize(("mss", "octets"), [(536, 5360), (1460, 14600), (1461, 14600), (7300, 14600), (8960, 17920)])
def test_the_initial_window(name: str, mss: int, octets: int) -> None:
    assert congestion_control(name, mss, 10).cwnd == octets == min(10 * mss, max(2 * mss, 14600))


def test_a_smaller_initial_window_is_taken_as_it_is() -> None:
    assert initial_window(1460, 1) == 1460 and initial_window(1460, 3) == 4380


def test_an_algorithm_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="there is cubic, newreno"):
        congestion_control("vegas", MSS, 10)


@pytest.mark.req("5681-6", "3465-2")
def test_slow_start_doubles_and_counts_a_segment_an_acknowledgment_at_most() -> None:
    control = NewReno(MSS, 10)
    assert [cwnd for _, cwnd in run_rounds(control, 0, ROUND, 3)] == [20_000, 40_000, 80_000]
    control.on_ack(ack(SECOND, 5 * MSS))
    control.on_ack(ack(SECOND, MSS // 4))
    assert control.cwnd == 81_250


@pytest.mark.req("3465-1")
def test_congestion_avoidance_counts_octets_not_acknowledgments() -> None:
    control = NewReno(MSS, 10)
    control.on_loss(20 * MSS, 0)
    assert control.cwnd == control.ssthresh == 10 * MSS
    for _ in range(39):
        control.on_ack(ack(0, MSS // 4))
    assert control.cwnd == 10 * MSS
    control.on_ack(ack(0, MSS // 4))
    assert control.cwnd == 11 * MSS
    control.on_ack(ack(0, 11 * MSS))
    assert control.cwnd == 12 * MSS


def test_what_a_timeout_leaves_is_one_segment_and_half_the_flight() -> None:
    control = NewReno(MSS, 10)
    control.on_timeout(30 * MSS, 0)
    assert (control.cwnd, control.ssthresh) == (MSS, 15 * MSS)
    control.on_timeout(MSS, 0)
    assert (control.cwnd, control.ssthresh) == (MSS, 2 * MSS)


@pytest.mark.req("6928-4")
def test_after_silence_the_restart_window() -> None:
    control = NewReno(MSS, 10)
    run_rounds(control, 0, ROUND, 3)
    control.on_idle(SECOND, SECOND)
    assert control.cwnd == 10 * MSS
    control.on_timeout(10 * MSS, SECOND)
    control.on_idle(SECOND, 2 * SECOND)
    assert control.cwnd == MSS


def test_no_growth_where_cwnd_was_not_used() -> None:
    control = NewReno(MSS, 10)
    run_rounds(control, 0, ROUND, 10, limited=False)
    control.on_loss(20 * MSS, 0)
    run_rounds(control, 0, ROUND, 10, limited=False)
    assert control.cwnd == 10 * MSS


@given(st.integers(1, 1 << 30), st.booleans(), st.integers(0, 6))
def test_undo_restores(flight: int, is_timeout: bool, rounds: int) -> None:
    control = NewReno(MSS, 10)
    run_rounds(control, 0, ROUND, rounds)
    before = control.cwnd, control.ssthresh
    (control.on_timeout if is_timeout else control.on_loss)(min(flight, control.cwnd), 0)
    control.undo(0)
    assert (control.cwnd, control.ssthresh) == before


def test_a_bottleneck_with_a_queue_of_one_product_stays_full() -> None:
    # Half of a full pipe and queue is a full pipe: that is what the rule of thumb for buffers says.
    path = Bottleneck(NewReno(MSS, 10), rate=1_000_000, delay=ROUND, room=100_000)
    path.run(10 * SECOND)
    assert path.run(20 * SECOND) > 0.97 * 20 * 1_000_000
