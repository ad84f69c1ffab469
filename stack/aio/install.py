"""Programs that choose their event loop themselves, and get the stack's."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def installed(factory: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[None]:
    """Until its end, every loop that asyncio makes is `factory`'s, whichever the program asks for.

    That is asyncio.run() and Runner, also with a loop_factory (uvloop's, say), and new_event_loop(). Before Python
    3.14, which deprecates policies, asyncio.get_event_loop() may make a loop too, and asks the policy for it.
    """
    events, runner = asyncio.events, asyncio.Runner
    make_before, init_before = events.new_event_loop, runner.__init__

    def init(self: asyncio.Runner, *, debug: bool | None = None, loop_factory: Any = None) -> None:
        init_before(self, debug=debug, loop_factory=factory)

    _set(runner, "__init__", init)
    _set(events, "new_event_loop", factory)
    _set(asyncio, "new_event_loop", factory)
    policy = asyncio.get_event_loop_policy() if sys.version_info < (3, 14) else None
    if policy is not None:
        _set(policy, "new_event_loop", factory)
    try:
        yield
    finally:
        _set(runner, "__init__", init_before)
        _set(events, "new_event_loop", make_before)
        _set(asyncio, "new_event_loop", make_before)
        if policy is not None:
            del policy.new_event_loop


def _set(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)
