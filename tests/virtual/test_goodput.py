"""docs/goodput.md is what the code does today, and what the code does is sensible."""

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.transport.tcp.congestion import ALGORITHMS
from tools import goodput

PAGE = goodput.PAGE.read_text().splitlines()
LONG = 100 * MILLISECOND


@pytest.mark.parametrize("impairment", ["1 % lost", "3 % lost", "1 % lost, in bursts"])
def test_the_page_says_what_a_run_gives(impairment):
    """Exactly, on every machine and with every fastpath; where it differs, `tools/goodput` writes the page anew.

    BBR, which sends ten times as much and takes as much longer, is compared by `tools/check --long`.
    """
    quick = {name: goodput.run_one(name, impairment, LONG) for name in ALGORITHMS if name != "bbr"}
    outcomes = [quick.get(name, goodput.Outcome(0, 1, 0, 0)) for name in ALGORITHMS]
    written = [line.split(" | ") for line in PAGE if line.startswith(f"| 100 ms | {impairment} |")]
    again = [each(LONG, impairment, outcomes).split(" | ") for each in (goodput.goodput_row, goodput.repair_row)]
    columns = [2 + index for index, name in enumerate(ALGORITHMS) if name in quick]
    for old, new in zip(written, again, strict=True):
        assert [old[column] for column in columns] == [new[column] for column in columns]


def test_the_page_has_every_condition_and_pair():
    rows = [line for line in PAGE if line.startswith("| 1")]
    assert len(rows) == 2 * len(goodput.ROUND_TRIPS) * len(goodput.IMPAIRMENTS)
    shared = [line for line in PAGE if line.startswith(tuple(f"| {queue} |" for queue in goodput.QUEUES))]
    assert len(shared) == len(goodput.QUEUES) * len(ALGORITHMS) * (len(ALGORITHMS) + 1) // 2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_clean_link_is_used(algorithm):
    outcome = goodput.run_one(algorithm, "none", 10 * MILLISECOND, 5 * SECOND)
    assert outcome.goodput * 8 > 0.9 * goodput.RATE
    assert outcome.timeouts == 0


@pytest.mark.parametrize(("shares", "index"), [((1, 1), 1), ((1, 0), 0.5), ((3, 1), 0.8), ((1, 1, 1, 0), 0.75)])
def test_jains_index(shares, index):
    assert goodput.jain_index(shares) == pytest.approx(index)


def test_the_formulas_at_a_point_worked_out_by_hand():
    """sqrt(1.5 / 0.01) = 12.25 segments of 1,448 octets in 100 ms; RFC 9438 5.1: 1.054 * (0.1 / 0.001)**0.75 = 33.3."""
    assert goodput.reno_formula(0.01, LONG) == pytest.approx(12.247 * 14_480, rel=1e-3)
    assert goodput.cubic_formula(0.001, LONG) == pytest.approx(38.73 * 14_480, rel=1e-3)  # Reno's, which is more
    assert goodput.cubic_formula(0.0001, LONG) == pytest.approx(187.4 * 14_480, rel=1e-2)
