"""Two ends and a link between them, as scenarios want it: who serves, who asks, and which of them is on the stack.

A scenario is two functions: serve(place), an asynchronous context manager whose value is handed to use(place, value).
VirtualLink runs both on the stack, on two hosts in one loop. KernelLink runs each in a process of its own in a network
namespace, with a TAP between them: one of them on the stack, the other on the kernel's TCP and UDP.
"""

import asyncio
import multiprocessing
import traceback
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import pytest

from stack.aio.attached import AttachedStack
from stack.aio.loop import StackLoop
from stack.aio.paced import PacedNetwork
from stack.io.attachment import open_device
from stack.io.configuration import load
from tests.aio.conftest import CLIENT, SERVER, World
from tests.kernel.conftest import ADDRESS, HOST_ADDRESS, Namespace

SERVER_NAME: Final = "server.test"
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Place:
    """The ends' addresses; SERVER_NAME is the server's name for both."""

    server: str
    client: str


class Memory:
    """By how much the process that it is made in grows from then on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        self._at_first = self._octets("VmRSS")

    def grown(self) -> int:
        """At the most, in octets."""
        return self._octets("VmHWM") - self._at_first

    def _octets(self, name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


Serve = Callable[[Place], AbstractAsyncContextManager[Any]]
Use = Callable[[Place, Any], Awaitable[Any]]


@dataclass(slots=True)
class Outcome:
    """What `use` has returned, and what the stack has counted."""

    value: Any
    counters: Mapping[str, int] = field(default_factory=dict)

    @property
    def connections(self) -> int:
        """The TCP connections that there have been."""
        return self.counters["TcpActiveOpens"] or self.counters["TcpPassiveOpens"]

    @property
    def datagrams(self) -> int:
        """The UDP datagrams that have arrived at the stack's end, the client's where both are."""
        return self.counters["UdpInDatagrams"]


class VirtualLink:
    """Both ends on the stack, in `world`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, serve: Serve, use: Use, seconds: float = 60) -> Outcome:
        """Run a scenario to its end, `seconds` at most."""
        place = Place(SERVER, CLIENT)

        async def main() -> Any:
            async with asyncio.timeout(seconds), serve(place) as value:
                return await use(place, value)

        return Outcome(self._world.run(main), self._world.client.counters)


class KernelLink:
    """The stack at one end of a TAP in `namespace`, and the kernel at the other; which serves says `stack_serves`.

    `uvloop`: the stack's loop is on top of it.
    """

    def __init__(self, namespace: Namespace, *, stack_serves: bool, uvloop: bool = False) -> None:
        self._namespace = namespace
        self._stack_serves = stack_serves
        self._uvloop = uvloop
        ends = (ADDRESS, HOST_ADDRESS) if stack_serves else (HOST_ADDRESS, ADDRESS)
        self.place = Place(*ends)

    def run(self, serve: Serve, use: Use, seconds: float = 60) -> Outcome:
        """Run a scenario to its end, `seconds` at most."""
        place = self.place

        async def serving(pipe: Connection) -> None:
            async with serve(place) as value:
                pipe.send(value)
                await _arrival(pipe)

        async def using(pipe: Connection) -> Any:
            return await use(place, pipe.recv())

        stack, kernel = (serving, using) if self._stack_serves else (using, serving)
        with (
            _End(self._namespace, lambda run: _on_stack(place, run, uvloop=self._uvloop), stack, seconds) as of_stack,
            _End(self._namespace, lambda run: _on_kernel(place, run), kernel, seconds) as of_kernel,
        ):
            of_stack.take()
            of_kernel.take()
            server, client = (of_stack, of_kernel) if self._stack_serves else (of_kernel, of_stack)
            server.give(None)
            client.give(None)
            client.give(server.take())
            done: Outcome = client.take()
            server.give(None)
            also: Outcome = server.take()
            return Outcome(done.value, done.counters or also.counters)


Main = Callable[[Connection], Awaitable[Any]]


class _End:
    """A process in the namespace that says so when it is there, waits for a word, runs `main`, and says its outcome."""

    def __init__(
        self, namespace: Namespace, run_on: Callable[[Callable[[Any], Outcome]], Outcome], main: Main, seconds: float
    ) -> None:
        self._seconds = seconds
        self._pipe, theirs = _fork.Pipe()

        def live() -> None:
            try:
                namespace.enter()
                theirs.send(run_on(lambda runner: _run(runner, theirs, main, seconds)))
            except BaseException:
                theirs.send(_Failure(traceback.format_exc()))

        self._process: BaseProcess = _fork.Process(target=live)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: of threads that a fork leaves behind
            self._process.start()
        theirs.close()

    def __enter__(self) -> "_End":
        return self

    def __exit__(self, *failure: object) -> None:
        self._process.join(None if failure == (None, None, None) else 0)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._pipe.close()

    def give(self, value: object) -> None:
        self._pipe.send(value)

    def take(self) -> Any:
        """What the process has said. Fails the test where that is a failure, or nothing."""
        __tracebackhide__ = True
        if not wait([self._pipe, self._process.sentinel], self._seconds + 10):
            pytest.fail(f"nothing heard from the process for {self._seconds + 10} s")
        if not self._pipe.poll():
            pytest.fail("the process has ended without a word")
        value = self._pipe.recv()
        if isinstance(value, _Failure):
            pytest.fail(value.text, pytrace=False)
        return value


@dataclass(slots=True)
class _Failure:
    text: str


def _run(runner: asyncio.Runner, pipe: Connection, main: Main, seconds: float) -> Outcome:
    errors: list[str] = []

    async def bounded() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(str(context)))
        async with asyncio.timeout(seconds):
            return await main(pipe)

    pipe.send("here")
    pipe.recv()
    outcome = Outcome(runner.run(bounded()))
    assert not errors, errors
    return outcome


def _on_stack(place: Place, run: Callable[[asyncio.Runner], Outcome], *, uvloop: bool) -> Outcome:
    settings = load({"hosts": f"{SERVER_NAME}={place.server}"}, None, "")
    with ExitStack() as resources:
        queues, kernel = open_device(settings, resources)
        stack = AttachedStack(settings, queues[0], kernel, resources)
        with asyncio.Runner(loop_factory=stack.new_uvloop if uvloop else stack.new_loop) as runner:
            outcome = run(runner)
        outcome.counters = dict(stack.host.counters)
        return outcome


def _on_kernel(place: Place, run: Callable[[asyncio.Runner], Outcome]) -> Outcome:
    class Loop(asyncio.SelectorEventLoop):
        async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
            known = host in (SERVER_NAME, SERVER_NAME.encode())
            return await super().getaddrinfo(place.server if known else host, port, **options)

    with asyncio.Runner(loop_factory=Loop) as runner:
        return run(runner)


async def _arrival(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(pipe.fileno(), arrived.set)
    await arrived.wait()
    loop.remove_reader(pipe.fileno())


class PacedWorld(World):
    """As World, by the machine's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.loop.close()
        self.loop = StackLoop(PacedNetwork(self.network), {SERVER_NAME: SERVER})  # type: ignore[assignment]
        self.loop.set_exception_handler(lambda loop, context: self.errors.append(context))
