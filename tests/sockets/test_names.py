"""Names for code that blocks, asked of a DNS server on the stack, which is asyncio's on patched sockets."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from stack.addresses import ipv4
from stack.aio import resolver
from stack.aio.paced import PacedNetwork
from stack.sockets import Net, patch
from tests.aio.test_names import DnsServer
from tests.sockets.conftest import LATE, SERVER, SOON, Paced, in_thread


@pytest.fixture
def server(paced: Paced) -> Iterator[DnsServer]:
    """`paced.net` is one that asks it."""
    paced.net.close()
    paced.net = Net(PacedNetwork(paced.network), {"printer": "192.0.2.9"}, [ipv4(SERVER)])
    made, started, stop = DnsServer(), threading.Event(), threading.Event()

    async def serve() -> None:
        await made.start()
        started.set()
        await asyncio.to_thread(stop.wait)
        made.stop()

    with paced.net, patch(paced.net):
        served = in_thread(asyncio.run, serve())
        assert started.wait(LATE)
        yield made
        stop.set()
        served.result(LATE)


def test_addresses_and_names(server: DnsServer) -> None:
    infos = socket.getaddrinfo("www.example.org", 80, type=socket.SOCK_STREAM)
    assert sorted(info[4] for info in infos) == [("192.0.2.80", 80), ("192.0.2.81", 80)]
    name, _, addresses = socket.gethostbyname_ex("alias.example.org")
    assert (name, sorted(addresses)) == ("www.example.org", ["192.0.2.80", "192.0.2.81"])
    assert socket.getnameinfo(("192.0.2.80", 0), 0)[0] == "www.example.org"
    assert server.by_tcp == 0 and server.by_udp == 3
    assert socket.gethostbyname("printer") == "192.0.2.9" and socket.gethostbyname("localhost") == "127.0.0.1"
    assert server.by_udp == 3


def test_a_long_answer_comes_by_tcp(server: DnsServer) -> None:
    assert len(socket.gethostbyname_ex("many.example.org")[2]) == 59
    assert (server.by_udp, server.by_tcp) == (1, 1)


@pytest.mark.parametrize(
    ("ask", "number"),
    [
        (lambda: socket.gethostbyname("nothing.example.org"), socket.EAI_NONAME),
        (lambda: socket.gethostbyname("mail.example.org"), socket.EAI_NODATA),
        (lambda: socket.getaddrinfo("www.example.org", 80, socket.AF_INET6), socket.EAI_ADDRFAMILY),
        (lambda: socket.getnameinfo(("192.0.2.99", 0), socket.NI_NAMEREQD), socket.EAI_NONAME),
    ],
)
def test_there_is_none(server: DnsServer, ask: Callable[[], object], number: int) -> None:
    with pytest.raises(socket.gaierror) as caught:
        ask()
    assert caught.value.errno == number


def test_asked_again_and_in_vain(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "TIMEOUT", SOON)
    server.deaf = 1
    assert socket.gethostbyname("here.example.org") == SERVER
    server.deaf = 99
    with pytest.raises(socket.gaierror) as caught:
        socket.gethostbyname("www.example.org")
    assert caught.value.errno == socket.EAI_AGAIN


def test_a_forged_answer_is_not_taken(server: DnsServer) -> None:
    server.forge = True
    assert socket.gethostbyname("here.example.org") == SERVER
