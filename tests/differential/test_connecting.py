"""create_connection(): what fails, how, and what it leaves behind."""

import asyncio
import gc
import socket
import sys
import warnings
from typing import Any

from tests.differential.comparison import differential
from tests.differential.stage import Actor, Stage


async def refuse(stage: Stage) -> tuple[str, int]:
    """An address where nobody listens."""
    server = await stage.listen()
    at = stage.at
    server.close()
    await server.wait_closed()
    return at


@differential
async def test_refused(stage: Stage) -> None:
    at = await refuse(stage)
    client = stage.actor("client")
    await stage.attempt_to("client", "connect", stage.loop.create_connection(lambda: client, *at))


@differential
async def test_what_the_error_says(stage: Stage) -> None:
    at = await refuse(stage)
    try:
        await stage.loop.create_connection(lambda: stage.actor("client"), *at)
    except ConnectionRefusedError as error:
        stage.note("client", "says", str(error), error.args[0])


@differential
async def test_no_address_answers(stage: Stage) -> None:
    """Both errors say the same, so it is one error; of ports that differ, all."""
    at = await refuse(stage)
    connect = stage.loop.create_connection(lambda: stage.actor("client"), at[0], at[1], happy_eyeballs_delay=0.25)
    await stage.attempt_to("client", "connect with happy eyeballs", connect)


def free_port(stage: Stage, name: str) -> int:
    """One that nobody has; in traces it is `name`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return stage.call_port(server.getsockname()[1], name)


def resolve_to(stage: Stage, *ports: int) -> None:
    """Every name stands for these ports of the server's address."""

    async def getaddrinfo(host: object, port: object, **options: object) -> list[Any]:
        kind = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
        return [(*kind, "", (stage.server_address, each)) for each in ports]

    stage.loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]


@differential
async def test_the_second_address_answers(stage: Stage) -> None:
    _, first = await refuse(stage)
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server)
    resolve_to(stage, first, stage.at[1])
    await stage.loop.create_connection(lambda: client, "name.test", 1)
    client.note("peername", client.transport.get_extra_info("peername"))


@differential
async def test_neither_address_answers(stage: Stage) -> None:
    first, second = free_port(stage, "first"), free_port(stage, "second")
    resolve_to(stage, first, second)
    for delay in (None, 0.01):
        connect = stage.loop.create_connection(
            lambda: stage.actor("client"), "name.test", 1, happy_eyeballs_delay=delay
        )
        await stage.attempt_to("client", "connect", connect)


@differential
async def test_happy_eyeballs(stage: Stage) -> None:
    """The first address does not answer, so after a little while the second is tried, too."""
    stage.listen_to_nobody()
    silent = stage.at[1]
    await stage.settle()
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server)
    resolve_to(stage, silent, stage.at[1])
    connect = stage.loop.create_connection(lambda: client, "name.test", 1, happy_eyeballs_delay=0.02)
    await asyncio.wait_for(connect, 0.5)
    client.transport.write(b"octets")
    await server.until("data_received")


if sys.version_info >= (3, 12):

    @differential
    async def test_all_errors(stage: Stage) -> None:
        resolve_to(stage, free_port(stage, "first"), free_port(stage, "second"))
        try:
            await stage.loop.create_connection(lambda: stage.actor("client"), "name.test", 1, all_errors=True)
        except ExceptionGroup as group:
            stage.note("client", group.message, *group.exceptions)


@differential
async def test_a_local_address(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server)
    port = free_port(stage, "local")
    await stage.connect(client, local_addr=(stage.client_address, port))
    await server.until("connection_made")
    client.note("sockname", client.transport.get_extra_info("sockname"))
    server.note("peername", server.transport.get_extra_info("peername"))


@differential
async def test_a_local_address_and_any_port(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server)
    await stage.connect(client, local_addr=(stage.client_address, 0))
    client.note("sockname", client.transport.get_extra_info("sockname"))


@differential
async def test_a_local_address_that_is_in_use(stage: Stage) -> None:
    """By a connection to the same place."""
    await stage.listen(stage.actor("server"), stage.actor("another"))
    port = free_port(stage, "local")
    await stage.connect(stage.actor("client"), local_addr=(stage.client_address, port))
    other = stage.actor("other")
    connect = stage.loop.create_connection(lambda: other, *stage.at, local_addr=(stage.client_address, port))
    await stage.attempt_to("other", "connect", connect)


# RFC 9293 3.9.1.1 has both on one port; the kernel's bind() does not.
@differential(
    differs={"connect(OSError[EADDRINUSE])": None},
    adds={"client": ["connection_made()", "connect"], "server": ["connection_made()"]},
)
async def test_a_local_address_on_which_somebody_listens(stage: Stage) -> None:
    await stage.listen(stage.actor("server"))
    port = free_port(stage, "local")
    listener = await stage.loop.create_server(lambda: stage.actor("nobody"), stage.client_address, port)
    local = stage.client_address, port
    connect = stage.loop.create_connection(lambda: stage.actor("client"), *stage.at, local_addr=local)
    await stage.attempt_to("client", "connect", connect)
    listener.close()


@differential
async def test_a_local_address_that_is_not_ours(stage: Stage) -> None:
    await stage.listen(stage.actor("server"))
    connect = stage.loop.create_connection(
        lambda: stage.actor("client"), *stage.at, local_addr=(stage.nobodys_address, 0)
    )
    await stage.attempt_to("client", "connect", connect)


@differential
async def test_cancelled(stage: Stage) -> None:
    """Neither side hears of it again, and the place can be connected to afterwards."""
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server)
    connecting = asyncio.ensure_future(stage.loop.create_connection(lambda: stage.actor("given up"), *stage.at))
    connecting.cancel()
    await stage.attempt_to("given up", "connect", connecting)
    await stage.connect(client)
    await server.until("connection_made")


@differential
async def test_cancelled_while_nobody_answers(stage: Stage) -> None:
    """The accept queue is full: the SYN is dropped."""
    stage.listen_to_nobody()
    await stage.settle()
    connect = stage.loop.create_connection(lambda: stage.actor("client"), *stage.at)
    await stage.attempt_to("client", "connect", asyncio.wait_for(connect, 0.05))


@differential
async def test_nobody_answers(stage: Stage) -> None:
    stage.listen_to_nobody()
    await stage.settle()
    with socket.socket() as given:
        given.setblocking(False)
        given.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
        await stage.attempt_to("client", "connect", stage.loop.sock_connect(given, stage.at))


@differential
async def test_the_factory_fails(stage: Stage) -> None:
    server = stage.actor("server")
    await stage.listen(server)

    def make() -> Actor:
        raise ValueError("oh")

    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        await stage.attempt_to("client", "connect", stage.loop.create_connection(make, *stage.at))
        gc.collect()  # asyncio leaves the socket to the collector


async def asked(stage: Stage, *arguments: Any, **options: Any) -> None:
    await stage.loop.create_connection(lambda: stage.actor("client"), *arguments, **options)


@differential
async def test_what_cannot_be_asked(stage: Stage) -> None:
    await stage.listen()
    address, port = stage.at
    questions: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "nowhere": ((), {}),
        "a name for TLS without TLS": ((address, port), {"server_hostname": "x"}),
        "a timeout for TLS without TLS": ((address, port), {"ssl_handshake_timeout": 1}),
        "a timeout for the end of TLS without TLS": ((address, port), {"ssl_shutdown_timeout": 1}),
        "an argument that there is not": ((address, port), {"nonsense": 1}),
        "a local address that is none": ((address, port), {"local_addr": "x"}),
    }
    for question, (arguments, options) in questions.items():
        await stage.attempt_to("client", question, asked(stage, *arguments, **options))
    with socket.socket() as given:
        given.setblocking(False)
        await stage.attempt_to("client", "both an address and a socket", asked(stage, address, port, sock=given))


@differential
async def test_a_socket_that_is_connected_already(stage: Stage) -> None:
    """As aiohappyeyeballs does it, and so aiohttp."""
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server)
    given = socket.socket()
    given.setblocking(False)
    await stage.loop.sock_connect(given, stage.at)
    await stage.loop.create_connection(lambda: client, sock=given)
    client.note("peername", client.transport.get_extra_info("peername"))
    client.transport.write(b"octets")
    await server.until("data_received")
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_the_factory_fails_with_a_socket(stage: Stage) -> None:
    server = stage.actor("server")
    await stage.listen(server)
    given = socket.socket()
    given.setblocking(False)
    await stage.loop.sock_connect(given, stage.at)

    def make() -> Actor:
        raise ValueError("oh")

    await stage.attempt_to("client", "connect", stage.loop.create_connection(make, sock=given))
    given.close()
    await server.until("connection_lost")
