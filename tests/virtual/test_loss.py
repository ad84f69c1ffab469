"""Losses: how many, and how they come together."""

import random
from itertools import groupby

import pytest

from stack.errors import ConfigurationError
from stack.virtual.loss import GilbertElliott, Losses

FRAMES = 200_000


def outcomes(model, seed=1, count=FRAMES):
    losses = Losses(model, random.Random(seed))
    return [losses.next_is_lost() for _ in range(count)]


@pytest.mark.parametrize("probability", [0.001, 0.01, 0.3])
def test_independent_losses_come_at_their_rate(probability):
    lost = sum(outcomes(probability))
    deviation = (FRAMES * probability * (1 - probability)) ** 0.5
    assert abs(lost - FRAMES * probability) < 4 * deviation


@pytest.mark.parametrize(
    "model",
    [
        GilbertElliott(0.01, 0.25),
        GilbertElliott(0.001, 0.1, loss_when_bad=0.5),
        GilbertElliott(0.05, 0.05, loss_when_bad=0.8, loss_when_good=0.02),
        GilbertElliott(0.3, 0.9, loss_when_good=0.1),
    ],
)
def test_gilbert_elliott_loses_what_the_formula_says(model):
    assert sum(outcomes(model)) / FRAMES == pytest.approx(model.long_run_loss, rel=0.1)


def test_a_burst_is_as_long_as_the_bad_state_lasts():
    runs = [len(list(run)) for lost, run in groupby(outcomes(GilbertElliott(0.01, 0.2))) if lost]
    assert sum(runs) / len(runs) == pytest.approx(1 / 0.2, rel=0.1)


def test_losses_of_the_same_rate_without_a_model_are_no_bursts():
    model = GilbertElliott(0.01, 0.2)
    runs = [len(list(run)) for lost, run in groupby(outcomes(model.long_run_loss)) if lost]
    assert sum(runs) / len(runs) < 1.2


def test_a_link_that_never_recovers_loses_everything_from_then_on():
    model = GilbertElliott(0.01, 0.0)
    assert model.long_run_loss == 1.0
    lost = outcomes(model, count=2000)
    assert all(lost[lost.index(True) :])


def test_a_link_that_never_turns_bad_loses_as_a_good_one():
    assert GilbertElliott(0.0, 0.0, loss_when_good=0.25).long_run_loss == 0.25
    assert not any(outcomes(GilbertElliott(0.0, 0.5), count=1000))


def test_the_seed_decides():
    model = GilbertElliott(0.05, 0.3, loss_when_bad=0.7)
    assert outcomes(model, 3, 1000) == outcomes(model, 3, 1000) != outcomes(model, 4, 1000)


@pytest.mark.parametrize("field", ["failure", "recovery", "loss_when_bad", "loss_when_good"])
def test_what_is_no_probability_is_refused(field):
    with pytest.raises(ConfigurationError, match=field):
        GilbertElliott(**{"failure": 0.1, "recovery": 0.1, field: 1.01})
