"""The server on one host, a client on another, a network in virtual time between them."""

import http.client
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from stack.addresses import MacAddress, ipv4
from stack.application.http.config import HttpConfig
from stack.application.http.messages import Handler, Request, Response
from stack.application.http.reading.with_h11 import H11Reader
from stack.application.http.reading.with_httptools import HttptoolsReader
from stack.application.http.server import HttpServer
from stack.clock import MILLISECOND, SECOND
from stack.config import HostConfig, InterfaceConfig, TcpConfig
from stack.host import Host
from stack.transport.tcp.states import State
from stack.virtual.capture import FlightRecorder
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network

CLIENT, SERVER = ipv4("10.77.0.1"), ipv4("10.77.0.2")
EPOCH = 1_790_000_000 * SECOND  # Mon, 21 Sep 2026 14:13:20 GMT
START = "Mon, 21 Sep 2026 14:13:20 GMT"
READERS = {"httptools": HttptoolsReader, "h11": H11Reader}


def make_host(number: int, observers: Any = (), tcp: TcpConfig | None = None) -> Host:
    address = ipv4(f"10.77.0.{number}")
    interface = InterfaceConfig(MacAddress(b"\x02\x00" + address.to_bytes(4)), address, 24)
    config = HostConfig((interface,), tcp=tcp or TcpConfig())
    return Host(config, secret=bytes([number] * 32), random=random.Random(number), observers=observers)


class Answer:
    """One response, read by the standard library's client."""

    def __init__(self, octets: bytes, method: str = "GET") -> None:
        self.raw = octets
        stream = io.BytesIO(octets)
        response = http.client.HTTPResponse(_Socket(stream), method=method)  # type: ignore[arg-type]
        response.begin()
        self.status, self.reason = response.status, response.reason
        self.headers = response.headers
        self.version = response.version
        self.body = response.read()
        self.rest = stream.read()
        """What follows the response."""


class _Socket:
    """What HTTPResponse wants: a stream, which stays open for what follows the response."""

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> Any:
        return _Unclosed(self._stream)


class _Unclosed:
    def __init__(self, stream: io.BytesIO) -> None:
        self.read, self.readinto, self.readline = stream.read, stream.readinto, stream.readline
        self.read1, self.peek = stream.read1, stream.read

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass


class Client:
    """One connection to the server."""

    def __init__(self, world: "World", port: int = 80, config: TcpConfig | None = None) -> None:
        self.world = world
        self.received = b""
        self.reads = True
        self.connection = world.client.connect(SERVER, port, world.now, config=config)
        self.connection.handler = self._on_event
        self.connection.nodelay = True
        self.is_reset = False
        world.network.run_until(lambda: self.connection.state is State.ESTABLISHED, world.now + SECOND)

    def _on_event(self, kinds: int, now: int) -> None:
        if self.reads:
            self.take()
        if self.connection.error is not None:
            self.is_reset = True

    def take(self) -> None:
        """Read what has arrived."""
        while self.connection.error is None:
            data = self.world.client.read(self.connection, 1 << 20, self.world.now)
            if not data:
                return
            self.received += data

    @property
    def is_ended(self) -> bool:
        """Whether the server has closed, in order or by a reset."""
        return self.connection.at_end_of_stream or self.is_reset or self.connection.state is State.CLOSED

    def send(self, octets: bytes, *, bytewise: bool = False) -> "Client":
        """Send, and let what is due happen; `bytewise`: octet by octet, each in a segment of its own."""
        for piece in [octets[at : at + 1] for at in range(len(octets))] if bytewise else [octets]:
            while piece and not self.is_ended:
                try:
                    taken = self.world.client.write(self.connection, piece, self.world.now)
                except OSError:
                    return self
                piece = piece[taken:]
                self.world.run(MILLISECOND if taken else 50 * MILLISECOND)
        self.world.run(10 * MILLISECOND)
        return self

    def finish(self) -> "Client":
        """Half-close."""
        self.world.client.shutdown(self.connection, self.world.now)
        self.world.run(10 * MILLISECOND)
        return self

    def answers(self, *methods: str) -> list[Answer]:
        """What has been received as responses, to requests of the given methods, then GET."""
        found = []
        rest = self.received
        while rest:
            answer = Answer(rest, methods[len(found)] if len(found) < len(methods) else "GET")
            found.append(answer)
            rest = answer.rest
        return found

    def answer(self, method: str = "GET") -> Answer:
        """The one response."""
        [answer] = self.answers(method)
        return answer


class World:
    """A server that can be asked."""

    def __init__(self, reader: str, profile: LinkProfile) -> None:
        self.network = Network()
        self.recorder = FlightRecorder()
        self.client = self.network.add(make_host(1))
        self.server = self.network.add(make_host(2, [self.recorder]))
        self.network.connect(self.client, self.server, profile)
        self.reader = READERS[reader]()
        self.http: Any = None

    @property
    def now(self) -> int:
        return self.network.now

    def serve(self, handler: Handler, **limits: Any) -> HttpServer:
        config = replace(HttpConfig(wall_clock_offset=EPOCH), **limits)
        self.http = HttpServer(self.server, handler, config, self.reader)
        self.http.start(self.now)
        return self.http

    def run(self, duration: int) -> None:
        self.network.settle()
        self.network.run(self.now + duration)

    def connect(self, **arguments: Any) -> Client:
        return Client(self, **arguments)

    def ask(self, octets: bytes, *, bytewise: bool = False, method: str = "GET") -> Answer:
        """The response to a request on a connection of its own."""
        client = self.connect()
        client.send(octets, bytewise=bytewise)
        self.run(20 * MILLISECOND)
        return client.answer(method)

    def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        lines = [f"{method} {target} HTTP/1.1", "Host: x"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return self.ask("\r\n".join([*lines, "", ""]).encode("latin-1"), method=method)

    def open_connections(self) -> int:
        """Of the server's host, TIME-WAIT not counted."""
        return sum(each.state is not State.TIME_WAIT for each in self.server.connections())


def echo(request: Request) -> Response:
    """Says what it was asked."""
    body = f"{request.method} {request.path} {request.query} {request.version} ".encode("utf-8", "replace")
    return Response(200, [("Content-Type", "text/plain")], body + request.body)


@pytest.fixture(params=list(READERS))
def reader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(reader: str) -> Iterator[World]:
    """With either reader of heads."""
    yield World(reader, LinkProfile(delay=MILLISECOND))


@pytest.fixture
def make_world() -> Callable[..., World]:
    """With httptools, on a link of one's own."""

    def make(**profile: Any) -> World:
        return World("httptools", LinkProfile(**profile))

    return make
