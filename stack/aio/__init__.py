"""asyncio on the stack: programs that know nothing of it are run by an event loop that has a host of its own in it.

    stack.aio.run(main, address="10.77.0.2/24")                   as asyncio.run(main()), on a TAP device
    uvicorn --loop stack.aio:loop_factory --host 10.77.0.2 app:app
    uvicorn --loop stack.aio:uvloop_factory ...                   the same on top of uvloop

Options are those of `tapstack serve`, and where they are not given, those of the TOML file that the environment's
TAPSTACK_CONFIG names, and their defaults. For hosts in memory and virtual time there is stack.aio.loop.VirtualLoop.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from stack.aio.attached import AttachedStack, settings_of
from stack.aio.loop import StackLoop
from stack.io.attachment import open_device

if TYPE_CHECKING:
    from stack.aio.uv import UvLoop

__all__ = ["loop_factory", "run", "uvloop_factory"]

_Result = TypeVar("_Result")


def run(main: Callable[[], Coroutine[Any, Any, _Result]], *, debug: bool | None = None, **options: Any) -> _Result:
    """Run `main()` to its end in a loop of its own, on a TAP device that is there just as long.

    Raises ConfigurationError, DeviceError, and what `main` raises.
    """
    with asyncio.Runner(debug=debug, loop_factory=functools.partial(loop_factory, **options)) as runner:
        return runner.run(main())


def loop_factory(**options: Any) -> StackLoop:
    """A loop with a host on a TAP device, which close() lets go of. Raises ConfigurationError and DeviceError."""
    return _open(AttachedStack.new_loop, options)


def uvloop_factory(**options: Any) -> "UvLoop":
    """As loop_factory(), on top of uvloop. Raises ImportError where that is not installed."""
    return _open(AttachedStack.new_uvloop, options)


def _open(new_loop: Callable[[AttachedStack], _Result], options: dict[str, Any]) -> _Result:
    settings = settings_of(options)
    with ExitStack() as resources:
        queues, kernel = open_device(settings, resources)
        stack = AttachedStack(settings, queues[0], kernel, resources)
        loop = new_loop(stack)
        stack.own(resources.pop_all())
        return loop
