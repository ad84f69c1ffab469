"""What a benchmark consists of: cases, each measured again and again in turn with the others, and what came of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """What one run of a case found: its figure, everything that was counted, and what a reader should see of that."""

    value: float
    details: dict[str, Any]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure. `run` gets the number of the repetition, which seeds what is random."""

    group: str
    name: str
    unit: str
    seconds: float  # how long a run takes, about
    run: Callable[[int], Figure]
    reference: str | None = None  # the case of the same group as a multiple of which this one is shown
    repetitions: int = 5


@dataclass(slots=True)
class Outcome:
    """What came of a case, a figure a run."""

    case: Case
    figures: list[Figure] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle one of its figures."""
        return median(figure.value for figure in self.figures)

    @property
    def middle(self) -> Figure:
        """The run whose figure is the median, or next to it."""
        return sorted(self.figures, key=lambda figure: figure.value)[len(self.figures) // 2]


def measure(cases: Iterable[Case], progress: Callable[[Case, int], None]) -> list[Outcome]:
    """Run every case as often as it wants to be: all once, then all again, so that a noisy minute is everybody's."""
    outcomes = [Outcome(case) for case in cases]
    for repetition in range(max(outcome.case.repetitions for outcome in outcomes)):
        for outcome in outcomes:
            if repetition < outcome.case.repetitions:
                progress(outcome.case, repetition)
                outcome.figures.append(outcome.case.run(repetition))
    return outcomes


def ratio(outcome: Outcome, outcomes: Iterable[Outcome]) -> float | None:
    """The outcome's median as a multiple of its reference's; None if it has none, or is it."""
    case = outcome.case
    for other in outcomes:
        if other.case.group == case.group and other.case.name == case.reference and other is not outcome:
            return outcome.median / other.median if other.median else None
    return None
