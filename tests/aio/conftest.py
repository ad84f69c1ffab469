"""Two hosts on a virtual link, and an asyncio loop in their time: nothing here waits for a real clock."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from stack.addresses import ipv4, mac
from stack.aio.loop import VirtualLoop
from stack.clock import MILLISECOND
from stack.config import HostConfig, InterfaceConfig, TcpConfig
from stack.host import Host
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
NEAR = LinkProfile(delay=MILLISECOND)
_Result = TypeVar("_Result")


def make_host(address: str, number: int, **tcp: object) -> Host:
    interface = InterfaceConfig(mac(f"02:00:00:00:00:0{number}"), ipv4(address), 24)
    config = HostConfig((interface,), tcp=TcpConfig(**tcp))
    return Host(config, secret=bytes(32), random=random.Random(number))


class Inline(ThreadPoolExecutor):
    """Threads that take no time: virtual time does not wait for real ones."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments, **options))
        except Exception as error:
            future.set_exception(error)
        return future


class World:
    """run(main()) to its end; `server` and `client` are the hosts, `errors` what the loop was told of."""

    def __init__(self, profile: LinkProfile = NEAR, **tcp: object) -> None:
        self.network = Network(seed=1)
        self.client = self.network.add(make_host(CLIENT, 1, **tcp))
        self.server = self.network.add(make_host(SERVER, 2, **tcp))
        self.link = self.network.connect(self.client, self.server, profile)
        self.loop = VirtualLoop(self.network, {"server.test": SERVER})
        self.errors: list[dict[str, object]] = []
        self.loop.set_exception_handler(lambda loop, context: self.errors.append(context))

    def run(self, main: Callable[[], Awaitable[_Result]]) -> _Result:
        async def bounded() -> _Result:
            async with asyncio.timeout(3600):
                return await main()

        return self.loop.run_until_complete(bounded())

    def close(self) -> None:
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        assert not self.errors


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()
