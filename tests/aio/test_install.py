"""Programs that make their loops themselves."""

import asyncio
import sys
from collections.abc import Callable

import pytest

from stack.aio.install import installed
from stack.aio.loop import VirtualLoop
from tests.aio.conftest import SERVER, World


def by_run(main: Callable[[], object]) -> object:
    return asyncio.run(main())  # type: ignore[arg-type]


def by_a_runner_of_another_loop(main: Callable[[], object]) -> object:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main())  # type: ignore[arg-type]


def by_hand(main: Callable[[], object]) -> object:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())  # type: ignore[call-overload]
    finally:
        loop.close()


def by_the_policy(main: Callable[[], object]) -> object:
    if sys.version_info >= (3, 14):
        return by_hand(main)
    loop = asyncio.get_event_loop_policy().new_event_loop()
    try:
        return loop.run_until_complete(main())  # type: ignore[arg-type]
    finally:
        loop.close()


@pytest.mark.parametrize("how", [by_run, by_a_runner_of_another_loop, by_hand, by_the_policy])
def test_however_a_loop_is_made_it_is_the_stacks(world: World, how: Callable[..., object]) -> None:
    async def main() -> tuple[type, object]:
        async with await asyncio.start_server(lambda reader, writer: writer.close(), SERVER, 80):
            reader, writer = await asyncio.open_connection(SERVER, 80)
            assert await reader.read() == b""
            writer.close()
            return type(asyncio.get_running_loop()), writer.get_extra_info("peername")

    with installed(lambda: VirtualLoop(world.network)):
        assert how(main) == (VirtualLoop, (SERVER, 80))


@pytest.mark.parametrize("how", [by_run, by_a_runner_of_another_loop, by_hand, by_the_policy])
def test_afterwards_everything_is_as_it_was(world: World, how: Callable[..., object]) -> None:
    async def main() -> type:
        return type(asyncio.get_running_loop())

    with installed(lambda: VirtualLoop(world.network)):
        pass
    assert how(main) is not VirtualLoop


def test_a_loop_that_is_closed_lets_go_of_its_ports(world: World) -> None:
    """As the kernel does, whose sockets do not outlive the loop."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.start_server(lambda reader, writer: writer.close(), SERVER, 80)
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(SERVER, 53))

    with installed(lambda: VirtualLoop(world.network)):
        for _ in range(2):
            asyncio.run(main())
