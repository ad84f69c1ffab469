"""HyStart++ (RFC 9406)."""

import pytest

from stack.clock import MILLISECOND, SECOND, Duration
from stack.transport.tcp.congestion import AckSample
from stack.transport.tcp.congestion.cubic import Cubic
from stack.transport.tcp.congestion.hystart import HyStart
from tests.congestion.path import MSS, Bottleneck


class Rounds:
    """Plays rounds of `size` acknowledgments to a HyStart; offsets go on from one to the next."""

    def __init__(self, size: int = 8) -> None:
        self.hystart = HyStart()
        self.size = size
        self.una = MSS

    def play(self, *rtts: Duration | None) -> list[int]:
        """One round: the growth that each of its acknowledgments allows."""
        start = self.una
        self.una = end = start + self.size * MSS
        return [
            self.hystart.growth(AckSample(acked=MSS, una=start + index * MSS, nxt=end, rtt=rtt), MSS)
            for index, rtt in enumerate(rtts)
        ]

    def even(self, rtt: Duration) -> list[int]:
        """A round in which all round-trip times are the same."""
        return self.play(*[rtt] * self.size)


@pytest.mark.req("9406-2", "9406-8")
@pytest.mark.parametrize(
    ("before", "threshold"),
    [(1, 4), (8, 4), (32, 4), (64, 8), (100, 12.5), (128, 16), (800, 16)],
    ids=lambda each: f"{each}ms",
)
def test_slow_start_becomes_careful_at_the_threshold(before: int, threshold: float) -> None:
    at = before * MILLISECOND + int(threshold * MILLISECOND)
    below, above = Rounds(), Rounds()
    for rounds in (below, above):
        rounds.even(before * MILLISECOND)
    below.even(at - 1)
    above.even(at)
    assert (below.hystart.in_css, above.hystart.in_css) == (False, True)


@pytest.mark.req("9406-1", "9406-8")
def test_a_round_with_fewer_than_eight_samples_says_nothing() -> None:
    rounds = Rounds(size=20)
    rounds.even(50 * MILLISECOND)
    rounds.play(*[90 * MILLISECOND] * 7, *[None] * 13)  # an acknowledgment of a retransmission has no time
    assert not rounds.hystart.in_css
    rounds = Rounds(size=20)
    rounds.even(50 * MILLISECOND)
    assert rounds.play(*[90 * MILLISECOND] * 8) == [MSS] * 7 + [MSS // 4]


@pytest.mark.req("9406-1")
def test_the_lowest_time_of_a_round_counts_not_the_last() -> None:
    rounds = Rounds()
    rounds.even(50 * MILLISECOND)
    rounds.play(51 * MILLISECOND, *[90 * MILLISECOND] * 7)
    assert not rounds.hystart.in_css


@pytest.mark.req("9406-4", "9406-8", "9406-9")
def test_careful_growth_is_a_quarter() -> None:
    rounds = Rounds()
    assert rounds.even(50 * MILLISECOND) == [MSS] * 8
    rounds.even(60 * MILLISECOND)
    assert rounds.even(60 * MILLISECOND) == [MSS // 4] * 8


@pytest.mark.req("9406-5")
def test_when_the_time_falls_again_slow_start_goes_on() -> None:
    rounds = Rounds()
    rounds.even(50 * MILLISECOND)
    rounds.even(60 * MILLISECOND)
    rounds.even(60 * MILLISECOND)
    assert rounds.hystart.in_css
    rounds.even(60 * MILLISECOND - 1)
    assert not rounds.hystart.in_css
    assert rounds.even(60 * MILLISECOND) == [MSS] * 8


@pytest.mark.req("9406-6", "9406-8")
def test_slow_start_is_over_after_five_careful_rounds() -> None:
    rounds = Rounds()
    rounds.even(50 * MILLISECOND)
    for _ in range(5):  # the round in which it begins is the first of them
        assert -1 not in rounds.even(60 * MILLISECOND)
    assert rounds.even(60 * MILLISECOND)[0] == -1


def test_a_spurious_rise_starts_the_count_of_rounds_again() -> None:
    rounds = Rounds()
    rounds.even(50 * MILLISECOND)
    for _ in range(4):
        rounds.even(60 * MILLISECOND)
    rounds.even(52 * MILLISECOND)
    for _ in range(5):
        assert -1 not in rounds.even(70 * MILLISECOND)
    assert rounds.even(70 * MILLISECOND)[0] == -1


@pytest.mark.req("9406-6", "9438-16")
def test_slow_start_ends_before_the_queue_overflows() -> None:
    # A product of 500 segments. Unpaced bursts hide the rise until there are a thousand, and then come five rounds.
    control = Cubic(MSS, 10)
    path = Bottleneck(control, rate=10_000_000, delay=50 * MILLISECOND, room=3000 * MSS)
    path.run(2 * SECOND)
    assert path.drops == 0 and 500 * MSS < control.ssthresh < 3500 * MSS
    assert path.run(SECOND) == pytest.approx(10_000_000, rel=0.01)


@pytest.mark.req("9406-7", "9406-10")
def test_only_the_first_slow_start_is_watched() -> None:
    control = Cubic(MSS, 10)
    control.on_timeout(1000 * MSS, 0)
    una = 0
    for rtt in [50 * MILLISECOND] * 8 + [100 * MILLISECOND] * 100:
        una += MSS
        control.on_ack(AckSample(acked=MSS, una=una, nxt=una, rtt=rtt, is_cwnd_limited=True))
    assert control.cwnd == 109 * MSS
