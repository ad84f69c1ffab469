"""What scenarios are written with: protocols that write down what they are told, and a place to play them in.

A scenario is a coroutine over a Stage. Each side (client, server, the loop) has a trace of its own: between the two
sides there is no order that both the kernel and a link with a delay would keep. What is written down is what a program
can rely on: names, order and arguments of callbacks, types and numbers of errors; not how octets were cut into pieces.
"""

import asyncio
import errno
import re
import socket
import zlib
from collections.abc import Callable
from typing import Any

Trace = list[str]

LARGE = bytes(range(256)) * (12 << 10)  # 3 MiB: more than the buffers of both sides hold while nobody reads

_LONG = 40  # octets that are shown as they are


class Stage:
    """`loop`, addresses in it (that of nobody is none to bind to), and what was written down there.

    `patience` is for how many seconds something may not happen; silence() makes a port at which nobody answers.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        server: str,
        client: str,
        broadcast: str,
        nobodys: str,
        patience: float,
        silence: Callable[[], int],
    ) -> None:
        self.loop = loop
        self.silence = silence
        self.server_address = server
        self.client_address = client
        self.broadcast_address, self.nobodys_address = broadcast, nobodys
        self.patience = patience
        self._entries: dict[str, list[tuple[str, Any]]] = {}
        self._ports: dict[int, str] = {}
        self.servers: list[Any] = []
        self._transports: list[asyncio.BaseTransport] = []
        loop.set_exception_handler(self._on_exception)

    # The record

    def note(self, side: str, what: str, *values: object) -> None:
        """Write down `what`, with its values."""
        self._add(side, f"{what}({', '.join(map(self.show, values))})")

    def note_octets(self, side: str, what: str, data: bytes) -> None:
        """Write down octets; with those of the same kind that came just before they are one entry."""
        entries = self._entries.setdefault(side, [])
        if entries and entries[-1][0] == what:
            data = entries.pop()[1] + data
        entries.append((what, data))

    def attempt(self, side: str, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call, and write down what came of it."""
        try:
            result = call(*arguments, **options)
        except Exception as error:
            self.note(side, what, error)
        else:
            self.note(side, what, result)
            return result

    async def attempt_to(self, side: str, what: str, awaitable: Any) -> Any:
        """As attempt(), of something to be awaited; its result is not written down."""
        try:
            result = await awaitable
        except (Exception, asyncio.CancelledError) as error:
            self.note(side, what, error)
        else:
            self._add(side, what)
            return result

    def traces(self) -> dict[str, Trace]:
        """Everything, by side."""
        return {side: [self._line(*entry) for entry in entries] for side, entries in self._entries.items()}

    def call_port(self, port: int, name: str) -> int:
        """In traces `port` is `name`; returns it."""
        self._ports.pop(port, None)  # so that the latest is the last
        self._ports[port] = name
        return port

    def show(self, value: object) -> str:
        """`value` as it is written down: the same wherever it is played."""
        if isinstance(value, BaseException):
            number = getattr(value, "errno", None)
            if isinstance(value, OSError) and number in errno.errorcode:
                return f"{type(value).__name__}[{errno.errorcode[number]}]"
            return f"{type(value).__name__}[{self._plain(str(value))}]"
        if isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value)
            return repr(data) if len(data) <= _LONG else f"<{len(data)} octets {zlib.crc32(data):08x}>"
        if isinstance(value, tuple) and [*map(type, value)] == [str, int]:
            host, port = value
            name = "address" if host in (self.server_address, self.client_address) else self._plain(host)
            return f"{name}:{self._ports.get(port, 'a port' if port else 0)}"
        return self._plain(repr(value))

    def _plain(self, text: str) -> str:
        for address, name in (
            (self.broadcast_address, "all"),
            (self.nobodys_address, "nobody"),
            (self.server_address, "address"),
            (self.client_address, "address"),
        ):
            text = text.replace(address, name)
        for port, name in self._ports.items():
            text = re.sub(rf"\b{port}\b", name, text)
        text = re.sub(r"<[\w.]*(Socket|Face) fd=-?\d+", "<socket", text)
        return re.sub(r" at 0x[0-9a-f]+|\b\w+\.(?=create_\w+\(\))", "", text)

    def _add(self, side: str, line: str) -> None:
        self._entries.setdefault(side, []).append((line, None))

    def _line(self, what: str, data: Any) -> str:
        return what if data is None else f"{what}({self.show(data)})"

    def _on_exception(self, loop: object, context: dict[str, Any]) -> None:
        message = re.sub(r"(Exception in callback) .*", r"\1", context["message"], flags=re.DOTALL)
        about = [key for key in ("transport", "protocol") if key in context]
        self.note("loop", message, context.get("exception"), *about)

    # The play

    async def settle(self) -> None:
        """Let happen what happens by itself."""
        for _ in range(5):
            await asyncio.sleep(0.002)

    async def listen(
        self, *actors: asyncio.BaseProtocol | Callable[[], asyncio.BaseProtocol], **options: Any
    ) -> asyncio.AbstractServer:
        """A server at port "server", whose connections `actors` get, one after the other."""
        waiting = list(actors)

        def make() -> Any:
            actor = waiting.pop(0)
            return actor if isinstance(actor, asyncio.BaseProtocol) else actor()

        server = await self.loop.create_server(make, self.server_address, 0, **options)
        self.servers.append(server)
        self.call_port(server.sockets[0].getsockname()[1], "server")  # type: ignore[attr-defined]
        return server

    @property
    def at(self) -> tuple[str, int]:
        """Where the server is that was made last."""
        return self.server_address, next(port for port in reversed(self._ports) if self._ports[port] == "server")

    async def connect(self, actor: Any, **options: Any) -> Any:
        """`actor`, connected to the server."""
        await self.loop.create_connection(lambda: actor, *self.at, **options)
        return actor

    def listen_to_nobody(self) -> None:
        """A server whose accept queue is full, so that it does not answer."""
        self.call_port(self.silence(), "server")

    async def pair(self, server: Any, client: Any, **options: Any) -> None:
        """Connect the two."""
        await self.listen(server, **options)
        await self.connect(client)
        await server.until("connection_made")

    def actor(self, name: str, **reactions: Callable[..., Any]) -> "Actor":
        """A protocol that writes down."""
        return Actor(self, name, reactions)

    def buffered(self, name: str, size: int = 4096, **reactions: Callable[..., Any]) -> "BufferedActor":
        """The same, with a buffer of its own."""
        return BufferedActor(self, name, reactions, size)

    def datagrams(self, name: str, **reactions: Callable[..., Any]) -> "DatagramActor":
        """The same, of datagrams."""
        return DatagramActor(self, name, reactions)

    def keep(self, transport: asyncio.BaseTransport) -> None:
        """Close `transport` at the end at the latest; the kernel's buffers are not to be larger than LARGE."""
        self._transports.append(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 << 10)

    async def clear(self) -> None:
        """End everything that has not ended, silently."""
        self.loop.set_exception_handler(lambda *_: None)
        entries, self._entries = self._entries, {}
        for server in self.servers:
            server.close()
        for transport in self._transports:
            if transport.get_protocol() is not None:  # asyncio's cannot always be aborted twice
                transport.abort()  # type: ignore[attr-defined]
        await self.settle()
        self._entries = entries


class _Recording:
    """`reactions` are what callbacks do besides being written down; each gets the actor, and what the callback got."""

    def __init__(self, stage: Stage, name: str, reactions: dict[str, Callable[..., Any]]) -> None:
        self.stage = stage
        self.name = name
        self.transport: Any = None
        self._reactions = reactions
        self._heard: set[str] = set()
        self._news = asyncio.Event()

    async def until(self, *callbacks: str) -> None:
        """Wait for one of `callbacks` to be called."""
        async with asyncio.timeout(self.stage.patience):
            while not self._heard.intersection(callbacks):
                self._news.clear()
                await self._news.wait()

    def on(self, **reactions: Callable[..., Any]) -> None:
        """Change what is done."""
        self._reactions.update(reactions)

    def note(self, what: str, *values: object) -> None:
        """Write down something of its own."""
        self.stage.note(self.name, what, *values)

    def attempt(self, method: str, *arguments: Any) -> None:
        """Call a method of the transport, and write down what came of it."""
        shown = ", ".join(map(self.stage.show, arguments))
        self.stage.attempt(self.name, f"{method}({shown}) =", getattr(self.transport, method), *arguments)

    def _told(self, callback: str, *arguments: Any) -> Any:
        self._heard.add(callback)
        self._news.set()
        reaction = self._reactions.get(callback)
        return reaction(self, *arguments) if reaction is not None else None

    # What protocols of all kinds are told

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.stage.keep(transport)
        self.note("connection_made")
        self._told("connection_made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("connection_lost", exc)
        self._told("connection_lost", exc)

    def pause_writing(self) -> None:
        self.note("pause_writing")
        self._told("pause_writing")

    def resume_writing(self) -> None:
        self.note("resume_writing")
        self._told("resume_writing")


class _StreamRecording(_Recording):
    def eof_received(self) -> Any:
        self.note("eof_received")
        return self._told("eof_received")


class Actor(_StreamRecording, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.stage.note_octets(self.name, "data_received", data)
        self._told("data_received", data)


class BufferedActor(_StreamRecording, asyncio.BufferedProtocol):
    """Calls of get_buffer() between two pieces of data are not written down: how many pieces there are is chance."""

    def __init__(self, stage: Stage, name: str, reactions: dict[str, Callable[..., Any]], size: int) -> None:
        super().__init__(stage, name, reactions)
        self.buffer = bytearray(size)

    def get_buffer(self, sizehint: int) -> Any:
        made = self._told("get_buffer", sizehint)
        return memoryview(self.buffer) if made is None else made

    def buffer_updated(self, nbytes: int) -> None:
        self.stage.note_octets(self.name, "buffer_updated", bytes(self.buffer[:nbytes]))
        self._told("buffer_updated", nbytes)


class DatagramActor(_Recording, asyncio.DatagramProtocol):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.note("datagram_received", data, addr)
        self._told("datagram_received", data, addr)

    def error_received(self, exc: Exception) -> None:
        self.note("error_received", exc)
        self._told("error_received", exc)
