"""How frames get lost on a link: each for itself, or in bursts."""

from dataclasses import dataclass
from random import Random
from typing import Final

from stack.errors import ConfigurationError


def check_probabilities(owner: object, *names: str) -> None:
    """Raises ConfigurationError unless each named field of `owner` is a probability."""
    for name in names:
        value = getattr(owner, name)
        if not 0 <= value <= 1:
            raise ConfigurationError(f"{name} is a probability, 0 to 1, not {value}")


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Losses in bursts: a link that is good or bad, and changes between the two with every frame.

    Gilbert's model as Elliott extended it (Bell System Technical Journal, 1960 and 1963). A bad time lasts
    1 / `recovery` frames on average, a good one 1 / `failure`.
    """

    failure: float  # the probability, per frame, that the link turns from good to bad
    recovery: float  # from bad to good
    loss_when_bad: float = 1.0
    loss_when_good: float = 0.0

    def __post_init__(self) -> None:
        check_probabilities(self, "failure", "recovery", "loss_when_bad", "loss_when_good")

    @property
    def long_run_loss(self) -> float:
        """The share of frames that are lost in the long run."""
        if not self.failure:
            return self.loss_when_good
        bad = self.failure / (self.failure + self.recovery)
        return bad * self.loss_when_bad + (1 - bad) * self.loss_when_good


class Losses:
    """Decides, frame by frame, which are lost; it begins in the good state."""

    def __init__(self, model: float | GilbertElliott, random: Random) -> None:
        self._model: Final = model if isinstance(model, GilbertElliott) else GilbertElliott(0.0, 1.0, 0.0, model)
        self._is_bad = False
        self._chance = random.random

    def next_is_lost(self) -> bool:
        """Whether the next frame is lost."""
        model = self._model
        turn = model.recovery if self._is_bad else model.failure
        if turn and self._chance() < turn:
            self._is_bad = not self._is_bad
        loss = model.loss_when_bad if self._is_bad else model.loss_when_good
        return bool(loss) and self._chance() < loss
