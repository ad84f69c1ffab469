"""The sock_*() calls, and what get_extra_info("socket") and Server.sockets give: what libraries ask of a socket."""

import asyncio
import os
import pickle
import select
import socket
from typing import Any

from tests.differential.comparison import differential
from tests.differential.stage import LARGE, Stage

OPTIONS = {
    "SO_TYPE": (socket.SOL_SOCKET, socket.SO_TYPE),
    "SO_DOMAIN": (socket.SOL_SOCKET, socket.SO_DOMAIN),
    "SO_PROTOCOL": (socket.SOL_SOCKET, socket.SO_PROTOCOL),
    "SO_ERROR": (socket.SOL_SOCKET, socket.SO_ERROR),
    "SO_ACCEPTCONN": (socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
    "SO_REUSEADDR": (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    "SO_KEEPALIVE": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "TCP_NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    "TCP_KEEPIDLE": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "TCP_KEEPINTVL": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "TCP_KEEPCNT": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "TCP_USER_TIMEOUT": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    "TCP_CORK": (socket.IPPROTO_TCP, socket.TCP_CORK),
    "IP_TOS": (socket.IPPROTO_IP, socket.IP_TOS),
}


def look(stage: Stage, side: str, face: Any) -> None:
    stage.note(side, "kind", face.family, face.type, face.proto, face.gettimeout())
    stage.attempt(side, "getsockname", face.getsockname)
    stage.attempt(side, "getpeername", face.getpeername)
    stage.note(side, "has a file descriptor", face.fileno() >= 0)
    stage.note(side, "is", face)


@differential
async def test_what_a_connection_says_of_itself(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    stage.call_port(client.transport.get_extra_info("sockname")[1], "ephemeral")
    for actor in (server, client):
        face = actor.transport.get_extra_info("socket")
        look(stage, actor.name, face)
        for name in ("sockname", "peername", "sslcontext", "nonsense"):
            actor.note(name, actor.transport.get_extra_info(name))
        for name, (level, option) in OPTIONS.items():
            if name not in ("SO_REUSEADDR",):  # of what create_server() accepted it is inherited, and means nothing
                stage.attempt(actor.name, name, face.getsockopt, level, option)
        actor.note("as octets", face.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 4))
    client.transport.close()
    await server.until("connection_lost")
    for actor in (server, client):
        face = actor.transport.get_extra_info("socket")
        actor.note("afterwards", face.fileno(), actor.transport.get_extra_info("peername"))


@differential
async def test_options_that_are_set(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    await stage.pair(server, client)
    face = client.transport.get_extra_info("socket")
    for name, value in {
        "TCP_NODELAY": 0,
        "SO_KEEPALIVE": 1,
        "TCP_KEEPIDLE": 30,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 2500,
        "TCP_CORK": 1,
        "IP_TOS": 0x20,
    }.items():
        stage.attempt("client", f"set {name}", face.setsockopt, *OPTIONS[name], value)
        stage.attempt("client", name, face.getsockopt, *OPTIONS[name])
    stage.attempt("client", "set as octets", face.setsockopt, *OPTIONS["TCP_NODELAY"], b"\1\0\0\0")
    stage.attempt("client", "TCP_NODELAY", face.getsockopt, *OPTIONS["TCP_NODELAY"])
    stage.attempt("client", "set a part of it", face.setsockopt, *OPTIONS["TCP_NODELAY"], b"\1")
    stage.attempt("client", "settimeout(0)", face.settimeout, 0)
    stage.attempt("client", "settimeout(1)", face.settimeout, 1)
    stage.attempt("client", "setblocking(False)", face.setblocking, False)
    stage.attempt("client", "setblocking(True)", face.setblocking, True)
    stage.attempt("client", "get_inheritable", face.get_inheritable)
    try:
        pickle.dumps(face)
    except TypeError:
        client.note("cannot be pickled")


@differential
async def test_shutdown_by_the_socket(stage: Stage) -> None:
    server = stage.actor("server", eof_received=lambda actor: True)
    client = stage.actor("client")
    await stage.pair(server, client)
    stage.attempt("client", "shutdown", client.transport.get_extra_info("socket").shutdown, socket.SHUT_WR)
    await server.until("eof_received")
    stage.attempt("server", "shutdown", server.transport.get_extra_info("socket").shutdown, socket.SHUT_RDWR)
    await client.until("connection_lost")


@differential
async def test_what_a_server_says_of_itself(stage: Stage) -> None:
    server = await stage.listen()
    (face,) = server.sockets  # type: ignore[attr-defined]
    look(stage, "loop", face)
    for name in ("SO_TYPE", "SO_ACCEPTCONN", "SO_REUSEADDR", "SO_ERROR"):
        stage.attempt("loop", name, face.getsockopt, *OPTIONS[name])
    face.setsockopt(*OPTIONS["SO_KEEPALIVE"], 1)
    stage.attempt("loop", "SO_KEEPALIVE", server.sockets[0].getsockopt, *OPTIONS["SO_KEEPALIVE"])  # type: ignore[attr-defined]
    server.close()
    stage.note("loop", "afterwards", face.fileno())


@differential
async def test_what_is_set_of_a_listener_is_set_of_its_connections(stage: Stage) -> None:
    server, client = stage.actor("server"), stage.actor("client")
    listening: Any = await stage.listen(server)
    for name, value in {"SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 30, "TCP_USER_TIMEOUT": 2500, "IP_TOS": 0x20}.items():
        listening.sockets[0].setsockopt(*OPTIONS[name], value)
    await stage.connect(client)
    await server.until("connection_made")
    for name in ("SO_KEEPALIVE", "TCP_KEEPIDLE", "TCP_USER_TIMEOUT", "IP_TOS"):
        for actor in (server, client):
            face = actor.transport.get_extra_info("socket")
            stage.attempt(actor.name, name, face.getsockopt, *OPTIONS[name])


@differential
async def test_polling_an_idle_connection(stage: Stage) -> None:
    """What pools of connections do before they use one again."""

    def readable(actor: Any) -> bool:
        descriptor = actor.transport.get_extra_info("socket").fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0)) and bool(select.select([descriptor], [], [], 0)[0])

    server = stage.actor("server", connection_made=lambda actor: actor.transport.pause_reading())
    client = stage.actor("client")
    await stage.pair(server, client)
    server.note("readable", readable(server))
    client.transport.write(b"octets")
    await stage.settle()
    server.note("with octets", readable(server))
    server.transport.resume_reading()
    await stage.settle()
    server.note("read", readable(server))
    server.transport.pause_reading()
    client.transport.close()
    await stage.settle()
    server.note("at the end", readable(server))


def unconnected() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    return made


@differential
async def test_sock_calls(stage: Stage) -> None:
    server = stage.actor("server", data_received=lambda actor, data: actor.transport.write(data.upper()))
    await stage.listen(server)
    sock = unconnected()
    await stage.attempt_to("client", "sock_connect", stage.loop.sock_connect(sock, stage.at))
    await stage.loop.sock_sendall(sock, b"octets")
    stage.note("client", "sock_recv", await stage.loop.sock_recv(sock, 3))
    buffer = bytearray(10)
    stage.note("client", "sock_recv_into", await stage.loop.sock_recv_into(sock, buffer), buffer[:3])
    waiting = asyncio.wait_for(stage.loop.sock_recv(sock, 100), 0.02)
    await stage.attempt_to("client", "sock_recv with nothing there", waiting)
    server.transport.close()
    stage.note("client", "sock_recv at the end", await stage.loop.sock_recv(sock, 100))
    sock.close()
    del sock
    await server.until("connection_lost")


@differential
async def test_sock_sendall_of_much(stage: Stage) -> None:
    server = stage.actor("server", connection_made=lambda actor: actor.transport.pause_reading())
    await stage.listen(server)
    sock = unconnected()
    await stage.loop.sock_connect(sock, stage.at)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 << 10)
    sending = asyncio.ensure_future(stage.loop.sock_sendall(sock, LARGE))
    await server.until("connection_made")
    await stage.settle()
    stage.note("client", "done", sending.done())
    server.transport.resume_reading()
    await sending
    sock.close()
    del sock, sending
    await server.until("connection_lost")


@differential
async def test_sock_connect_that_is_refused(stage: Stage) -> None:
    server = await stage.listen()
    at = stage.at
    server.close()
    await server.wait_closed()
    with unconnected() as sock:
        await stage.attempt_to("client", "sock_connect", stage.loop.sock_connect(sock, at))


@differential
async def test_sock_recv_after_a_reset(stage: Stage) -> None:
    server = stage.actor("server")
    await stage.listen(server)
    sock = unconnected()
    await stage.loop.sock_connect(sock, stage.at)
    await server.until("connection_made")
    face = server.transport.get_extra_info("socket")
    face.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4))
    server.transport.abort()
    await stage.settle()
    await stage.attempt_to("client", "sock_recv", stage.loop.sock_recv(sock, 100))
    sock.close()


@differential
async def test_sock_sendfile(stage: Stage) -> None:
    server = stage.actor("server")
    await stage.listen(server)
    sock = unconnected()
    await stage.loop.sock_connect(sock, stage.at)
    with open(os.path.__file__, "rb") as file:
        sent = await stage.attempt_to("client", "sock_sendfile", stage.loop.sock_sendfile(sock, file, 10, 1000))
        stage.note("client", "sent", sent, file.tell())
    sock.close()
    del sock
    await server.until("connection_lost")
