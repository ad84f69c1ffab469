"""How to wait for what comes very soon.

To put a process to sleep and to wake it takes the kernel, and the hypervisor under it, 10 to 100 us: longer than a
request takes us. So a loop whose last wait was short looks again and again for a little while before it sleeps, and as
soon as that has not paid once, it sleeps at once again. (KVM does the same when a guest has nothing to do.)
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from stack.clock import MICROSECOND, SECOND, Duration

EAGER: Final[Duration] = 200 * MICROSECOND  # at most so long

_Events = TypeVar("_Events")


class Waiting:
    """Of one loop, which waits by `poll(seconds)`; None: for ever.

    There are `loops` of its kind on this machine. They sleep if no processor is left for whom they wait for.
    """

    __slots__ = ("_is_eager", "_may_be_eager")

    def __init__(self, loops: int = 1) -> None:
        self._may_be_eager = loops < len(os.sched_getaffinity(0))
        self._is_eager = False

    def wait(self, poll: Callable[[float | None], Sequence[_Events]], timeout: float | None) -> Sequence[_Events]:
        """What poll(timeout) gives."""
        if timeout is not None and timeout <= 0:
            return poll(timeout)
        began = time.monotonic_ns()
        if not self._is_eager:
            ready = poll(timeout)
            self._is_eager = self._may_be_eager and bool(ready) and time.monotonic_ns() - began < EAGER
            return ready
        limit = EAGER if timeout is None else min(EAGER, int(timeout * SECOND))
        while not (ready := poll(0)):
            waited = time.monotonic_ns() - began
            if waited >= limit:
                self._is_eager = False
                return poll(None if timeout is None else max(timeout - waited / SECOND, 0))
            os.sched_yield()  # whom we wait for may need this very processor
        return ready
