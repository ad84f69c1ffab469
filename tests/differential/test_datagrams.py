"""Datagram endpoints."""

import asyncio
import gc
import socket
import sys
import warnings
from typing import Any

from tests.differential.comparison import differential
from tests.differential.stage import DatagramActor, Stage


async def endpoint(stage: Stage, name: str, **options: Any) -> DatagramActor:
    actor = stage.datagrams(name)
    await stage.loop.create_datagram_endpoint(lambda: actor, **options)
    return actor


async def server_of(stage: Stage) -> DatagramActor:
    """One that is bound, at port "server"."""
    actor = await endpoint(stage, "server", local_addr=(stage.server_address, 0))
    stage.call_port(actor.transport.get_extra_info("sockname")[1], "server")
    return actor


async def closed_port(stage: Stage) -> tuple[str, int]:
    """Where nobody is."""
    actor = await server_of(stage)
    at = stage.at
    actor.transport.close()
    await actor.until("connection_lost")
    return at


@differential
async def test_a_server_and_a_connected_client(stage: Stage) -> None:
    server = await server_of(stage)
    server.on(datagram_received=lambda actor, data, address: actor.transport.sendto(data.upper(), address))
    client = await endpoint(stage, "client", remote_addr=stage.at)
    client.attempt("sendto", b"one")
    client.attempt("sendto", b"two", stage.at)
    await stage.settle()
    client.attempt("close")
    client.attempt("is_closing")
    client.attempt("close")
    client.attempt("sendto", b"ignored")
    await client.until("connection_lost")
    server.attempt("abort")
    await server.until("connection_lost")


@differential
async def test_what_is_known_of_it(stage: Stage) -> None:
    server = await server_of(stage)
    client = await endpoint(stage, "client", remote_addr=stage.at)
    for actor in (server, client):
        info = actor.transport.get_extra_info
        actor.note("names", info("sockname"), info("peername"), info("nonsense"))
        face = info("socket")
        actor.note("kind", face.family, face.type, face.proto, face.gettimeout(), face.fileno() >= 0)
        stage.attempt(actor.name, "getpeername", face.getpeername)
        stage.attempt(actor.name, "SO_TYPE", face.getsockopt, socket.SOL_SOCKET, socket.SO_TYPE)
        actor.attempt("get_write_buffer_size")
        actor.attempt("get_write_buffer_limits")
        actor.note("protocol", actor.transport.get_protocol() is actor)


@differential
async def test_unbound_and_unconnected(stage: Stage) -> None:
    server = await server_of(stage)
    server.on(datagram_received=lambda actor, data, address: actor.transport.sendto(data.upper(), address))
    client = await endpoint(stage, "client", family=socket.AF_INET)
    client.transport.sendto(b"octets", stage.at)
    await client.until("datagram_received")


@differential
async def test_nobody_is_there(stage: Stage) -> None:
    """A connected endpoint is told, and goes on."""
    at = await closed_port(stage)
    client = await endpoint(stage, "client", remote_addr=at)
    client.transport.sendto(b"octets")
    await client.until("error_received")
    await stage.settle()
    client.attempt("is_closing")
    client.transport.sendto(b"again")
    await stage.settle()


# The kernel does not tell an endpoint that is not connected: it could not say of which datagram.
@differential(adds={"client": ["error_received(ConnectionRefusedError[ECONNREFUSED])"]})
async def test_nobody_is_there_and_it_is_not_connected(stage: Stage) -> None:
    at = await closed_port(stage)
    client = await endpoint(stage, "client", local_addr=(stage.client_address, 0))
    client.transport.sendto(b"octets", at)
    await stage.settle()


# Until 3.13 asyncio sends no empty ones.
@differential(adds={} if sys.version_info >= (3, 13) else {"server": ["datagram_received(b'', address:a port)"]})
async def test_an_empty_datagram(stage: Stage) -> None:
    await server_of(stage)
    client = await endpoint(stage, "client", local_addr=(stage.client_address, 0))
    client.attempt("sendto", b"", stage.at)
    await stage.settle()
    client.attempt("is_closing")


@differential
async def test_sizes(stage: Stage) -> None:
    server = await server_of(stage)
    client = await endpoint(stage, "client", remote_addr=stage.at)
    for size in (1, 1472, 1473, 9000, 65_507):
        client.transport.sendto(bytes(size))
        await stage.settle()
    for size in (65_508, 70_000):
        client.attempt("sendto", bytes(size))
        client.attempt("is_closing")
    client.transport.sendto(b"and on")
    await server.until("datagram_received")


@differential
async def test_many_in_one_turn(stage: Stage) -> None:
    server = await server_of(stage)
    client = await endpoint(stage, "client", remote_addr=stage.at)
    for number in range(40):
        client.transport.sendto(b"%d" % number)
    client.transport.close()
    await client.until("connection_lost")
    await stage.settle()
    server.note("has them all")


@differential
async def test_what_may_be_sent(stage: Stage) -> None:
    server = await server_of(stage)
    client = await endpoint(stage, "client", remote_addr=stage.at)
    for data in ("text", None, [b"list"], bytearray(b"array"), memoryview(b"_view_")[1:-1]):
        client.attempt("sendto", data)
    client.attempt("sendto", b"elsewhere", (stage.server_address, 9))
    await stage.settle()
    server.attempt("is_closing")


# asyncio ends the endpoint; the stack tells who has made the mistake.
NO_ADDRESS = "TypeError[sendto(): AF_INET address must be tuple, not NoneType]"
TOLD = "ValueError[Invalid address: an endpoint without remote_addr has to be told where to send to]"


@differential(
    differs={
        "sendto(b'octets') =(None)": f"sendto(b'octets') =({TOLD})",
        f"connection_lost({NO_ADDRESS})": None,
        f"Fatal write error on datagram transport({NO_ADDRESS}, 'transport', 'protocol')": None,
        "is_closing() =(True)": "is_closing() =(False)",
    }
)
async def test_nowhere_to_send_to(stage: Stage) -> None:
    client = await endpoint(stage, "client", local_addr=(stage.client_address, 0))
    client.attempt("sendto", b"octets")
    await stage.settle()
    client.attempt("is_closing")


@differential
async def test_a_connected_endpoint_hears_its_peer_only(stage: Stage) -> None:
    server = await server_of(stage)
    stranger = await endpoint(stage, "stranger", local_addr=(stage.server_address, 0))
    client = await endpoint(stage, "client", remote_addr=stage.at, local_addr=(stage.client_address, 0))
    at = client.transport.get_extra_info("sockname")
    stranger.transport.sendto(b"forged", at)
    server.transport.sendto(b"true", at)
    await client.until("datagram_received")
    await stage.settle()


# asyncio lets it fail where it calls it; as for streams, the stack says which protocol it was, and of which transport.
FATAL = "Fatal error: protocol.{}() call failed.({}, 'transport', 'protocol')"
IN_CALLBACK = "Exception in callback({})"


def fails_in(callback: str, error: str) -> dict[str, str]:
    return {IN_CALLBACK.format(error): FATAL.format(callback, error)}


@differential(differs=fails_in("datagram_received", "ValueError[oh]"))
async def test_a_protocol_that_fails(stage: Stage) -> None:
    """It gets the next datagram."""

    def fail(actor: object, *arguments: object) -> None:
        raise ValueError("oh")

    server = await server_of(stage)
    server.on(datagram_received=fail)
    client = await endpoint(stage, "client", remote_addr=stage.at)
    client.transport.sendto(b"one")
    await stage.settle()
    client.transport.sendto(b"two")
    await stage.settle()
    server.attempt("is_closing")


@differential(differs=fails_in("error_received", "ValueError[oh]"))
async def test_a_protocol_that_fails_at_an_error(stage: Stage) -> None:
    def fail(actor: object, *arguments: object) -> None:
        raise ValueError("oh")

    at = await closed_port(stage)
    client = await endpoint(stage, "client", remote_addr=at)
    client.on(error_received=fail)
    client.transport.sendto(b"octets")
    await client.until("error_received")
    await stage.settle()
    client.attempt("is_closing")


@differential(differs=fails_in("datagram_received", "CancelledError[]"))
async def test_a_protocol_that_is_cancelled_or_exits(stage: Stage) -> None:
    def fail(actor: object, data: bytes, address: object) -> None:
        raise asyncio.CancelledError if data == b"cancel" else SystemExit(3)

    server = await server_of(stage)
    server.on(datagram_received=fail)
    client = await endpoint(stage, "client", remote_addr=stage.at)
    for data in (b"cancel", b"exit", b"cancel"):
        client.transport.sendto(data)
        await stage.settle()


@differential
async def test_set_protocol(stage: Stage) -> None:
    server = await server_of(stage)
    client = await endpoint(stage, "client", remote_addr=stage.at)
    other = stage.datagrams("other")
    server.transport.set_protocol(other)
    client.transport.sendto(b"octets")
    await other.until("datagram_received")
    server.transport.close()
    await other.until("connection_lost")


@differential
async def test_a_port_that_is_in_use(stage: Stage) -> None:
    await server_of(stage)
    again = stage.loop.create_datagram_endpoint(lambda: stage.datagrams("again"), local_addr=stage.at)
    await stage.attempt_to("again", "create_datagram_endpoint", again)


@differential
async def test_an_address_that_is_not_ours(stage: Stage) -> None:
    make = stage.loop.create_datagram_endpoint(lambda: stage.datagrams("server"), local_addr=(stage.nobodys_address, 9))
    await stage.attempt_to("server", "create_datagram_endpoint", make)


@differential
async def test_what_cannot_be_asked(stage: Stage) -> None:
    await server_of(stage)
    asked: dict[str, dict[str, Any]] = {
        "nothing": {},
        "a local address that is none": {"local_addr": "x"},
        "a remote address that is none": {"remote_addr": (1, 2, 3)},
        "an argument that there is not": {"nonsense": 1},
    }

    async def make(**options: Any) -> None:
        await stage.loop.create_datagram_endpoint(lambda: stage.datagrams("actor"), **options)

    for what, options in asked.items():
        await stage.attempt_to("loop", what, make(**options))


@differential
async def test_cancelled(stage: Stage) -> None:
    actor = stage.datagrams("actor")
    making = asyncio.ensure_future(
        stage.loop.create_datagram_endpoint(lambda: actor, local_addr=(stage.server_address, 0))
    )
    await asyncio.sleep(0)
    making.cancel()
    await stage.attempt_to("actor", "create_datagram_endpoint", making)


@differential
async def test_a_factory_that_fails(stage: Stage) -> None:
    """The port is free again."""
    at = await closed_port(stage)

    def make() -> DatagramActor:
        raise ValueError("oh")

    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        failing = stage.loop.create_datagram_endpoint(make, local_addr=at)
        await stage.attempt_to("server", "create_datagram_endpoint", failing)
        del failing
        gc.collect()  # asyncio leaves the socket to the collector
    await endpoint(stage, "server", local_addr=at)


@differential
async def test_a_broadcast(stage: Stage) -> None:
    """It needs allow_broadcast; on loopback nobody hears it, so only that it may be sent is compared."""
    for allowed in (None, True):
        client = await endpoint(
            stage, f"client {allowed}", local_addr=(stage.client_address, 0), allow_broadcast=allowed
        )
        client.attempt("sendto", b"octets", (stage.broadcast_address, 9))
        await stage.settle()
        client.attempt("is_closing")
