"""Two hosts on a virtual link, in the machine's time, and a thread that drives them: for code that blocks.

Nothing here sleeps: threads wait for what the others do, and a time-out that is to come is short.
"""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from stack.addresses import ipv4, mac
from stack.clock import MICROSECOND, MILLISECOND
from stack.config import ArpConfig, HostConfig, InterfaceConfig, TcpConfig
from stack.host import Host
from stack.sockets import Net
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network

CLIENT, SERVER, NOBODY = "10.0.0.1", "10.0.0.2", "10.0.0.99"
SOON = 0.05  # s, for what is to time out
LATE = 10.0  # s, for what is not
_Result = TypeVar("_Result")
IMPATIENT = ArpConfig(retransmit_interval=10 * MILLISECOND, requests=2)


def make_host(address: str, number: int, **tcp: Any) -> Host:
    interface = InterfaceConfig(mac(f"02:00:00:00:00:0{number}"), ipv4(address), 24)
    config = HostConfig((interface,), arp=IMPATIENT, tcp=TcpConfig(**tcp))
    return Host(config, secret=bytes(32), random=random.Random(number))


@dataclass
class Paced:
    """`net` has both hosts: what is bound to SERVER's address is its, and who calls it is the client."""

    network: Network
    client: Host
    server: Host
    net: Net


@pytest.fixture
def paced() -> Iterator[Paced]:
    network = Network(seed=1)
    client, server = network.add(make_host(CLIENT, 1)), network.add(make_host(SERVER, 2))
    network.connect(client, server, LinkProfile(delay=100 * MICROSECOND))
    with Net.in_memory(network, {"server.test": SERVER}) as net:
        yield Paced(network, client, server, net)
        assert not net.bound
    assert not [thread for thread in threading.enumerate() if thread.name == "tapstack"]


@pytest.fixture
def net(paced: Paced) -> Net:
    return paced.net


def in_thread(function: Callable[..., _Result], *arguments: Any) -> "Future[_Result]":
    """What `function` will have returned, in a thread of its own."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
