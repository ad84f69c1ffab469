"""CUBIC against the formulas of RFC 9438, which are written down here a second time, in segments as there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.clock import MILLISECOND, SECOND, Duration
from stack.transport.tcp.congestion.cubic import Cubic
from stack.transport.tcp.congestion.interface import UNLIMITED
from tests.congestion.path import MSS, ROUND, Bottleneck, ack, run_rounds

BETA = 0.7
ALPHA = 3 * (1 - BETA) / (1 + BETA)


def w_cubic(t: float, w_max: float, start: float) -> float:
    """Figure 1 with K of figure 2: the window in segments, `t` seconds into congestion avoidance."""
    k = ((w_max - start) / 0.4) ** (1 / 3)
    return 0.4 * (t - k) ** 3 + w_max


def at_loss(segments: int) -> Cubic:
    """One that has just lost something at a window of so many segments."""
    control = Cubic(MSS, 10)
    control.cwnd = segments * MSS
    control.on_loss(control.cwnd, 0)
    return control


@pytest.mark.req("9438-1", "9438-5", "9438-6", "9438-17")
@pytest.mark.parametrize("segments", [300, 1000, 3000])
def test_cwnd_follows_the_cubic(segments: int) -> None:
    control = at_loss(segments)
    k = (0.3 * segments / 0.4) ** (1 / 3)
    slack = max(0.012 * segments, 2)
    for now, cwnd in run_rounds(control, 0, ROUND, int(1.6 * k * SECOND / ROUND)):  # concave, then convex
        assert cwnd / MSS == pytest.approx(w_cubic(now / SECOND, segments, 0.7 * segments), abs=slack)
    assert cwnd > 1.05 * segments * MSS


@pytest.mark.req("9438-5", "9438-17")
def test_one_acknowledgment_adds_its_share_of_the_way_to_the_target() -> None:
    control = at_loss(1000)
    control.on_ack(ack(0, 0, rtt=ROUND))  # the epoch begins
    control.on_ack(ack(2 * SECOND, 10 * MSS, rtt=ROUND))
    target = w_cubic(2.1, 1000, 700) * MSS
    assert control.cwnd == pytest.approx(700 * MSS + (target - 700 * MSS) * 10 / 700, abs=1)


@pytest.mark.req("9438-2")
def test_the_target_is_half_as_much_again_at_most() -> None:
    control = at_loss(1000)
    control.on_ack(ack(0, 0, rtt=ROUND))
    control.on_ack(ack(3600 * SECOND, 700 * MSS, rtt=ROUND))
    assert control.cwnd == 1050 * MSS


@pytest.mark.req("9438-2")
def test_the_target_is_not_below_cwnd() -> None:
    control = at_loss(1000)
    control.on_ack(ack(0, rtt=ROUND))
    control.cwnd = 900 * MSS
    control.on_ack(ack(ROUND, 900 * MSS, rtt=ROUND))
    assert control.cwnd == 900 * MSS


@pytest.mark.req("9438-3", "9438-4")
def test_on_a_short_path_it_is_as_fast_as_reno() -> None:
    control = at_loss(40)
    reno = 28.0
    for _, cwnd in run_rounds(control, 0, 5 * MILLISECOND, 60):
        reno += ALPHA if reno < 40 else 1.0
        assert cwnd / MSS == pytest.approx(reno, abs=1)
    assert cwnd > 70 * MSS


@pytest.mark.req("9438-3")
def test_where_the_cubic_is_below_reno_now_cwnd_is_renos() -> None:
    """4.3 compares W_est with W_cubic(t), not with where the cubic will be in a round trip."""
    control = at_loss(40)
    control.on_ack(ack(0, 0, rtt=SECOND))
    control.on_ack(ack(SECOND // 2, 280 * MSS, rtt=SECOND))
    reno = 28 + ALPHA * 280 / 28
    assert w_cubic(0.5, 40, 28) < reno < w_cubic(1.5, 40, 28)
    assert control.cwnd == pytest.approx(reno * MSS, abs=1)


@pytest.mark.req("9438-4", "9438-12")
def test_after_fast_convergence_it_is_the_window_before_the_loss_that_reno_has_to_reach() -> None:
    control = at_loss(60)
    control.cwnd = 40 * MSS
    control.on_loss(control.cwnd, 0)  # W_max is 34 now, and cwnd_prior 40
    reno = 28.0
    for _, cwnd in run_rounds(control, 0, 5 * MILLISECOND, 40):
        reno += ALPHA if reno < 40 else 1.0
        assert cwnd / MSS == pytest.approx(reno, abs=1)


@pytest.mark.req("9438-7", "9438-8")
@pytest.mark.parametrize(("flight", "left"), [(1000, 700), (100, 70), (10, 7), (3, 2), (1, 2)])
def test_a_loss_leaves_seven_tenths_of_the_flight(flight: int, left: int) -> None:
    control = Cubic(MSS, 10)
    control.cwnd = 1000 * MSS
    control.on_loss(flight * MSS, 0)
    assert control.cwnd == control.ssthresh == pytest.approx(left * MSS, abs=MSS / 2)
    assert control.ssthresh >= 2 * MSS


@pytest.mark.req("9438-9")
def test_a_flow_that_used_little_of_cwnd_is_reduced_from_what_it_used() -> None:
    control = Cubic(MSS, 10)
    control.cwnd = 500 * MSS
    control.on_loss(20 * MSS, 0)
    assert control.cwnd == 14 * MSS


@pytest.mark.req("9438-12")
def test_fast_convergence() -> None:
    control = at_loss(1000)
    control.cwnd = 800 * MSS
    control.on_loss(control.cwnd, 0)  # less than last time: the plateau is 0.85 * 800 = 680 now
    for now, cwnd in run_rounds(control, 0, ROUND, 100):
        assert cwnd / MSS == pytest.approx(w_cubic(now / SECOND, 680, 560), abs=9)
    control.cwnd = 900 * MSS
    control.on_loss(control.cwnd, 0)  # more than last time: it is where the loss was
    for now, cwnd in run_rounds(control, 0, ROUND, 100):
        assert cwnd / MSS == pytest.approx(w_cubic(now / SECOND, 900, 630), abs=12)


@pytest.mark.req("9438-13", "9438-15")
def test_after_a_timeout_slow_start_and_a_cubic_that_begins_where_it_ends() -> None:
    control = Cubic(MSS, 10)
    control.cwnd = 1000 * MSS
    control.on_timeout(control.cwnd, 0)
    assert (control.cwnd, control.ssthresh) == (MSS, 700 * MSS)
    seen = run_rounds(control, 0, ROUND, 10)
    assert [cwnd // MSS for _, cwnd in seen] == [2, 4, 8, 16, 32, 64, 128, 256, 512, 700]
    start = SECOND - ROUND + ROUND * (700 - 512) // 512  # when slow start was over
    for now, cwnd in run_rounds(control, SECOND, ROUND, 80):
        assert cwnd / MSS == pytest.approx(w_cubic((now - start) / SECOND, 700, 700), rel=0.03)


@pytest.mark.req("9438-14")
@given(st.integers(10, 5000), st.booleans(), st.integers(1, 100))
def test_undo_restores(segments: int, is_timeout: bool, share: int) -> None:
    control = at_loss(8000)
    control.cwnd = segments * MSS
    before = control.cwnd, control.ssthresh
    (control.on_timeout if is_timeout else control.on_loss)(control.cwnd * share // 100, SECOND)
    control.undo(SECOND)
    assert (control.cwnd, control.ssthresh) == before


@pytest.mark.req("9438-14", "9438-12")
def test_what_is_taken_back_is_no_reason_for_fast_convergence() -> None:
    control, other = at_loss(1000), at_loss(1000)
    control.cwnd = other.cwnd = 2000 * MSS
    control.on_loss(control.cwnd, 0)
    control.undo(0)
    for each in (control, other):
        each.cwnd = 1500 * MSS
        each.on_loss(each.cwnd, 0)
    assert run_rounds(control, 0, ROUND, 50) == run_rounds(other, 0, ROUND, 50)


@pytest.mark.req("9438-18")
def test_no_growth_where_cwnd_was_not_used() -> None:
    control = Cubic(MSS, 10)
    run_rounds(control, 0, ROUND, 10, limited=False)
    assert control.cwnd == 10 * MSS
    control = at_loss(100)
    run_rounds(control, 0, ROUND, 100, limited=False)
    assert control.cwnd == 70 * MSS


@pytest.mark.req("9438-1", "9438-18")
@pytest.mark.parametrize("is_silent", [True, False], ids=["silence", "little to send"])
def test_time_in_which_the_application_had_nothing_to_send_does_not_count(is_silent: bool) -> None:
    control, steady = at_loss(1000), at_loss(1000)
    run_rounds(steady, 0, ROUND, 20)
    run_rounds(control, 0, ROUND, 20)
    cwnd, pause = control.cwnd, 30 * SECOND
    if is_silent:
        control.on_idle(pause, 2 * SECOND + pause)
        control.cwnd = cwnd  # without the restart window, of which the next test speaks
    else:
        for tick in range(1, 301):
            control.on_ack(ack(2 * SECOND + tick * pause // 300, limited=False, rtt=ROUND))
    expected = run_rounds(steady, 2 * SECOND, ROUND, 40)
    assert [cwnd for _, cwnd in run_rounds(control, 2 * SECOND + pause, ROUND, 40)] == [each for _, each in expected]


@pytest.mark.req("6928-4")
def test_after_silence_the_restart_window() -> None:
    control = at_loss(1000)
    control.on_idle(SECOND, SECOND)
    assert (control.cwnd, control.ssthresh) == (10 * MSS, 700 * MSS)


EVENT = st.one_of(
    st.tuples(st.just("ack"), st.integers(0, 64 * MSS), st.integers(0, 10 * SECOND)),
    st.tuples(st.just("loss"), st.integers(0, 1 << 30), st.integers(0, SECOND)),
    st.tuples(st.just("timeout"), st.integers(0, 1 << 30), st.integers(0, SECOND)),
    st.tuples(st.just("idle"), st.integers(0, 10 * SECOND), st.just(0)),
    st.tuples(st.just("undo"), st.just(0), st.just(0)),
)


@given(st.lists(EVENT, max_size=60), st.integers(1, 60), st.integers(1, SECOND))
def test_cwnd_is_a_segment_at_least_and_never_grows_faster_than_slow_start(
    events: list[tuple[str, int, Duration]], segments: int, rtt: Duration
) -> None:
    control = Cubic(MSS, segments)
    now = 0
    for kind, number, later in events:
        now += later
        before = control.cwnd
        if kind == "ack":
            octets = min(number, before)
            control.on_ack(ack(now, octets, rtt=rtt))
            # The W_est of a new epoch begins at cwnd, and it grows by a segment a window.
            assert before <= control.cwnd <= before + octets + 1
        elif kind == "loss":
            control.on_loss(min(number, before), now)
            assert control.cwnd <= max(before, 2 * MSS)
        elif kind == "timeout":
            control.on_timeout(min(number, before), now)
            assert control.cwnd == MSS
        elif kind == "idle":
            now += number
            control.on_idle(number, now)
        else:
            control.undo(now)
            assert control.cwnd >= before
        assert MSS <= control.cwnd <= UNLIMITED and control.ssthresh >= 2 * MSS


def test_a_bottleneck_stays_full_with_half_the_queue_that_reno_needs() -> None:
    path = Bottleneck(Cubic(MSS, 10), rate=2_000_000, delay=ROUND, room=100 * MSS)
    path.run(10 * SECOND)
    assert path.run(30 * SECOND) > 0.97 * 30 * 2_000_000
    assert path.drops and path.longest < 1.6 * ROUND
