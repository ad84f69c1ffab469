"""@differential: a scenario, as a test that its traces on the stack are those on the kernel."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.differential.places import KERNEL, PLACES
from tests.differential.stage import Stage, Trace

Scenario = Callable[[Stage], Awaitable[None]]


@functools.cache
def played(scenario: Scenario, place: str) -> dict[str, Trace]:
    """The traces of `scenario` in `place`, by side."""
    with PLACES[place]() as stage:

        async def play() -> None:
            try:
                async with asyncio.timeout(2 * stage.patience):
                    await scenario(stage)
                    await stage.settle()
            finally:
                await stage.clear()

        playing = stage.loop.create_task(play())
        while not playing.done():
            try:
                stage.loop.run_until_complete(playing)
            except SystemExit as error:  # the loop's, not the scenario's
                if playing.done():
                    raise
                stage.note("loop", "left", error)
        stage.loop.run_until_complete(stage.loop.shutdown_default_executor())
        return stage.traces()


def differential(
    scenario: Scenario | None = None,
    /,
    *,
    differs: Mapping[str, str | None] | None = None,
    adds: Mapping[str, Sequence[str]] | None = None,
) -> Callable[..., Any]:
    """The test that `scenario` is.

    `differs`: lines of the kernel's traces, and what the stack has in their place (None: nothing); `adds`: what it has
    behind them, by side. Each such difference is explained in docs/compatibility.md, and must be there.
    """
    if scenario is None:
        return functools.partial(differential, differs=differs, adds=adds)
    replaced, added = differs or {}, adds or {}

    @pytest.mark.parametrize("place", [place for place in PLACES if place != KERNEL])
    def test(place: str) -> None:
        expected = played(scenario, KERNEL)
        lines = {line for trace in expected.values() for line in trace}
        assert not replaced.keys() - lines, "a difference is explained that there is no more"
        got = played(scenario, place)
        wanted = {}
        for side in {*expected, *added}:
            lines_there = [replaced.get(line, line) for line in expected.get(side, ())]
            wanted[side] = [line for line in lines_there if line is not None] + list(added.get(side, ()))
        assert got == {side: trace for side, trace in wanted.items() if trace}

    test.__doc__ = scenario.__doc__
    test.__module__ = scenario.__module__
    return test
