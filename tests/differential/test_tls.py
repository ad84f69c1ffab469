"""TLS: asyncio's own protocol between a transport and its protocol, which needs more of a transport than is written."""

import asyncio
import ssl
from typing import Any

import pytest
import trustme

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Actor, Stage

_NAME = "server.test"
_authority = trustme.CA()
_stranger = trustme.CA()


def server_context(authority: trustme.CA = _authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(_NAME).configure_cert(context)
    return context


SERVER, STRANGER, CLIENT = server_context(), server_context(_stranger), ssl.create_default_context()
_authority.configure_trust(CLIENT)


async def tls_pair(stage: Stage, server: Actor, client: Actor) -> None:
    await stage.listen(server, ssl=SERVER)
    await stage.connect(client, ssl=CLIENT, server_hostname=_NAME)
    await server.until("connection_made")


async def upgrade(stage: Stage, actor: Actor, context: ssl.SSLContext = CLIENT, **options: Any) -> None:
    """start_tls(), and what came of it."""
    is_server = actor.name == "server"
    name = None if is_server else _NAME
    start = stage.loop.start_tls(
        actor.transport, actor, context, server_side=is_server, server_hostname=name, **options
    )
    made: Any = await stage.attempt_to(actor.name, "start_tls", start)
    actor.note("has a transport", made is not None)
    if made is not None:
        actor.transport = made


@differential
async def test_both_ways_and_close(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(data_received=lambda actor, data: actor.transport.write(data.upper()))
    await tls_pair(stage, server, client)
    client.transport.write(b"octets")
    await client.until("data_received")
    client.transport.close()
    client.attempt("is_closing")
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_what_is_known_of_it(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await tls_pair(stage, server, client)
    for actor, context in ((server, SERVER), (client, CLIENT)):
        info = actor.transport.get_extra_info
        actor.note("context", info("sslcontext") is context, info("ssl_object").version(), info("cipher")[1])
        actor.note("addresses", info("sockname"), info("peername"), info("nonsense"), info("nonsense", 7))
        actor.attempt("can_write_eof")
        actor.attempt("write_eof")
        actor.attempt("get_write_buffer_limits")
        actor.attempt("is_reading")


@differential
async def test_close_with_data_that_waits(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(connection_made=lambda actor: actor.transport.pause_reading())
    await tls_pair(stage, server, client)
    client.transport.write(LARGE)
    client.transport.close()
    await stage.settle()
    server.transport.resume_reading()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_abort(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await tls_pair(stage, server, client)
    await stage.settle()  # session tickets that are not read would make it a reset
    client.transport.write(b"octets")
    client.transport.abort()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_flow_control(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(connection_made=lambda actor: actor.transport.pause_reading())
    await tls_pair(stage, server, client)
    client.transport.write(LARGE)
    client.transport.write(LARGE)
    await client.until("pause_writing")
    server.transport.resume_reading()
    await client.until("resume_writing")
    client.transport.close()
    await server.until("connection_lost")


@differential
async def test_eof_received(stage: Stage) -> None:
    server = stage.actor("server", eof_received=lambda actor: True)
    client = stage.actor("client")
    await tls_pair(stage, server, client)
    client.transport.close()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_a_certificate_of_a_stranger(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server, ssl=STRANGER)
    connect = stage.loop.create_connection(lambda: client, *stage.at, ssl=CLIENT, server_hostname=_NAME)
    with pytest.raises(ssl.SSLCertVerificationError) as raised:
        await connect
    client.note("fails", raised.value.reason)
    await stage.settle()


@differential
async def test_a_server_that_does_not_speak_it(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(data_received=lambda actor, data: None, connection_made=lambda actor: actor.transport.write(b"hello\n"))
    await stage.listen(lambda: Plain(server))
    connect = stage.loop.create_connection(lambda: client, *stage.at, ssl=CLIENT, server_hostname=_NAME)
    with pytest.raises(ssl.SSLError) as raised:
        await connect
    client.note("fails", raised.value.reason)
    await server.until("connection_lost")


class Plain(asyncio.Protocol):
    """Tells `actor` all but the octets, which are a ClientHello, and so never the same."""

    def __init__(self, actor: Actor) -> None:
        self.connection_made = actor.connection_made  # type: ignore[method-assign]
        self.connection_lost = actor.connection_lost  # type: ignore[method-assign]
        self.eof_received = actor.eof_received  # type: ignore[method-assign]


@differential
async def test_a_client_that_does_not_speak_it(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server, ssl=SERVER)
    await stage.connect(client)
    client.on(data_received=lambda actor, data: None)
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    await client.until("connection_lost")


@differential
async def test_a_server_that_says_nothing(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(lambda: Plain(server))
    connect = stage.loop.create_connection(
        lambda: client, *stage.at, ssl=CLIENT, server_hostname=_NAME, ssl_handshake_timeout=0.05
    )
    try:
        await connect
    except ConnectionAbortedError as error:
        client.note("fails", str(error))
    await server.until("connection_lost")


@differential
async def test_a_client_that_says_nothing(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server, ssl=SERVER, ssl_handshake_timeout=0.05)
    await stage.connect(client)
    await client.until("connection_lost")


@differential
async def test_a_server_that_ends_the_connection_in_the_handshake(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(connection_made=lambda actor: actor.transport.close())
    await stage.listen(lambda: Plain(server))
    connect = stage.loop.create_connection(lambda: client, *stage.at, ssl=CLIENT, server_hostname=_NAME)
    await stage.attempt_to("client", "connect", connect)


@differential
async def test_cancelled_in_the_handshake(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(lambda: Plain(server))
    connect = stage.loop.create_connection(lambda: client, *stage.at, ssl=CLIENT, server_hostname=_NAME)
    await stage.attempt_to("client", "connect", asyncio.wait_for(connect, 0.05))
    await server.until("connection_lost")


@differential
async def test_a_peer_that_does_not_answer_the_end(stage: Stage) -> None:
    """Until ssl_shutdown_timeout: then the transport is ended by its _force_close()."""
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(server, ssl=SERVER)
    await stage.connect(client, ssl=CLIENT, server_hostname=_NAME, ssl_shutdown_timeout=0.05)
    await server.until("connection_made")
    server.transport._ssl_protocol._transport.pause_reading()
    client.transport.close()
    await client.until("connection_lost")


@differential
async def test_start_tls(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    server.on(data_received=lambda actor, data: actor.transport.write(data.upper()))
    await stage.pair(server, client)
    client.transport.write(b"in clear")
    await client.until("data_received")
    await asyncio.gather(upgrade(stage, server, SERVER), upgrade(stage, client))
    client.transport.write(b"in secret")
    await stage.settle()
    client.transport.close()
    await server.until("connection_lost")
    await client.until("connection_lost")


@differential
async def test_start_tls_fails_at_the_client(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    results = await asyncio.gather(
        stage.loop.start_tls(server.transport, server, STRANGER, server_side=True),
        stage.loop.start_tls(client.transport, client, CLIENT, server_hostname=_NAME),
        return_exceptions=True,
    )
    for actor, result in zip((server, client), results, strict=True):
        actor.note("fails", type(result).__name__, getattr(result, "reason", None))
        actor.attempt("is_closing")


@differential
async def test_start_tls_with_one_who_does_not_speak_it(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(lambda: Plain(server))
    await stage.connect(client)
    await server.until("connection_made")
    server.transport.write(b"no\n" * 10)
    try:
        await stage.loop.start_tls(client.transport, client, CLIENT, server_hostname=_NAME)
    except ssl.SSLError as error:
        client.note("fails", error.reason)
    client.attempt("is_closing")
    await server.until("connection_lost")


@differential
async def test_start_tls_with_one_who_says_nothing(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.listen(lambda: Plain(server))
    await stage.connect(client)
    await upgrade(stage, client, ssl_handshake_timeout=0.05)
    await server.until("connection_lost")


@differential
async def test_start_tls_of_one_whose_peer_is_gone(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client", eof_received=lambda actor: True)
    await stage.pair(server, client)
    server.transport.abort()
    await client.until("eof_received")
    await upgrade(stage, client)


@differential
async def test_start_tls_on_what_is_no_transport(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    for transport, context in ((asyncio.Transport(), CLIENT), (client.transport, None)):
        start = stage.loop.start_tls(transport, client, context, server_hostname=_NAME)
        try:
            await start
        except TypeError as error:
            client.note("fails", type(error).__name__)
