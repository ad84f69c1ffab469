"""`tapstack fetch`: the client's side of the stack. It resolves, connects, agrees on TLS, asks, and says how long.

Exit codes are curl's: 6 the name does not resolve, 7 nobody takes the connection, 22 --fail and a status from 400 on,
23 the output cannot be written, 28 it took longer than --max-time, 35 and 60 TLS fails, and the certificate in
particular, 52 nothing is answered, 56 what is answered is no HTTP, or breaks off.
"""

import asyncio
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlsplit

import h11

from stack import __version__
from stack.addresses import show_ipv4
from stack.aio.attached import AttachedStack
from stack.cli.link import open_link
from stack.cli.output import drop
from stack.cli.segments import Segments
from stack.errors import ConfigurationError
from stack.io.configuration import ServeSettings
from stack.io.signals import ends_by_exception

_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_PORTS: Final = {"http": 80, "https": 443}
_READ_SIZE: Final = 1 << 16
_NO_NAME, _NO_CONNECTION, _BAD_STATUS, _NO_OUTPUT, _TOO_LATE = 6, 7, 22, 23, 28
_NO_TLS, _NO_CERTIFICATE, _NO_ANSWER, _BAD_ANSWER = 35, 60, 52, 56


@dataclass(frozen=True, slots=True)
class Order:
    """What to fetch, and how."""

    url: str
    output: Path | None
    segments: bool
    fail: bool
    insecure: bool
    cacert: Path | None
    max_time: float


class _Failure(Exception):
    """It ends here, with an exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def run(settings: ServeSettings, order: Order) -> int:
    """Fetch; returns the exit code. Raises DeviceError and ConfigurationError."""
    target = Target.of(order.url)
    context = _tls(order) if target.scheme == "https" else None
    segments = Segments(sys.stderr) if order.segments else None
    if segments is not None:
        settings = replace(settings, offload="off")  # so that a frame is what a wire would carry
    with ends_by_exception(), ExitStack() as resources:
        link = open_link(settings, resources)
        observers = [] if segments is None else [segments]
        stack = AttachedStack(settings, link.queues[0], link.kernel, resources, observers)
        fetching = Fetching(order, target, context, show_ipv4(settings.address.address), segments)
        with asyncio.Runner(loop_factory=stack.new_loop) as runner:
            code = runner.run(fetching.run())
    for name, seconds, note in fetching.phases:
        print(f"{name:>12}  {seconds * 1000:9.3f} ms  {note}".rstrip(), file=sys.stderr)
    return code


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart; `path` has the query with it."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> "Target":
        """`url`, http if it does not say. Raises ConfigurationError."""
        if any(c.isspace() or not c.isprintable() for c in url):  # of which urlsplit() drops some
            raise ConfigurationError(f"URL: {url!r} has white space in it; %20 is a space")
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port or _PORTS.get(parts.scheme, 0)
            host = (parts.hostname or "").encode("idna").decode()
            path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_ASCII)
        except ValueError as error:
            raise ConfigurationError(f"URL: {url}: {error}") from None
        if parts.scheme not in _PORTS:
            raise ConfigurationError(f"URL: {url}: {parts.scheme} is not http or https")
        if not host or parts.username is not None:
            raise ConfigurationError(f"URL: {url} names no host, or a user, which is not supported")
        return cls(parts.scheme, host, port, path)

    @property
    def authority(self) -> str:
        """The host, and the port where that is not the scheme's."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"


class Fetching:
    """One request. `own` is the stack's address, from which everything is done; `phases` are name, s and a note."""

    def __init__(
        self, order: Order, target: Target, context: ssl.SSLContext | None, own: str, segments: Segments | None
    ) -> None:
        self.phases: list[tuple[str, float, str]] = []
        self._order = order
        self._target = target
        self._context = context
        self._own = own
        self._note = segments.note if segments is not None else lambda text: None
        self._since = 0.0

    async def run(self) -> int:
        """Do it; returns the exit code."""
        began = self._since = time.perf_counter()
        try:
            async with asyncio.timeout(self._order.max_time):
                status, octets = await self._fetch()
        except TimeoutError:
            return _complain(_Failure(_TOO_LATE, f"{self._target.host}: not done after {self._order.max_time:g} s"))
        except _Failure as failure:
            return _complain(failure)
        self.phases.append(("total", time.perf_counter() - began, f"{status}, {octets:,} octets"))
        return _BAD_STATUS if self._order.fail and int(status.split()[0]) >= 400 else 0

    async def _fetch(self) -> tuple[str, int]:
        target = self._target
        addresses = await self._resolve()
        reader, writer = await self._connect(addresses)
        try:
            if self._context is not None:
                await self._start_tls(writer, self._context)
            return await self._ask(reader, writer)
        except (OSError, EOFError) as error:
            _fail(_BAD_ANSWER, f"{target.authority}: {error}")
        finally:
            writer.close()

    async def _resolve(self) -> list[str]:
        target, loop = self._target, asyncio.get_running_loop()
        try:
            infos = await loop.getaddrinfo(target.host, target.port, family=socket.AF_INET, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            _fail(_NO_NAME, f"{target.host}: {error.strerror}")
        addresses = [str(info[4][0]) for info in infos]
        self._phase("name", ", ".join(addresses))
        return addresses

    async def _connect(self, addresses: list[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failure = ""
        for address in addresses:
            try:
                streams = await asyncio.open_connection(address, self._target.port, local_addr=(self._own, 0))
            except TimeoutError:
                raise
            except OSError as error:
                failure = failure or f"{address}, port {self._target.port}: {os.strerror(error.errno or 0)}"
                continue
            ends = [streams[1].get_extra_info(name) for name in ("sockname", "peername")]
            self._phase("connect", " to ".join(f"{name}:{port}" for name, port in ends))
            return streams
        _fail(_NO_CONNECTION, failure)

    async def _start_tls(self, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        try:
            await writer.start_tls(context, server_hostname=self._target.host)
        except ssl.SSLCertVerificationError as error:
            _fail(_NO_CERTIFICATE, f"{self._target.host}: {error.verify_message} (see --cacert and --insecure)")
        except OSError as error:
            _fail(_NO_TLS, f"{self._target.authority}: TLS: {error}")
        agreed = writer.get_extra_info("ssl_object")
        self._phase("TLS", f"{agreed.version()}, {agreed.cipher()[0]}")

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
        """Send the request, write the answer's content; returns its status and the number of octets."""
        target = self._target
        http = h11.Connection(h11.CLIENT)
        fields = [
            ("Host", target.authority),
            ("User-Agent", f"tapstack/{__version__}"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ]
        writer.write(http.send(h11.Request(method="GET", target=target.path, headers=fields)) or b"")
        http.send(h11.EndOfMessage())
        status, octets = "", 0
        with _output(self._order.output) as write:
            while True:
                event = await self._next(http, reader)
                if isinstance(event, h11.Response):
                    status = f"{event.status_code} {event.reason.decode('latin-1')}".strip()
                    self._note(f"HTTP/{event.http_version.decode()} {status}")
                    for name, value in event.headers.raw_items():
                        self._note(f"{name.decode('latin-1')}: {value.decode('latin-1')}")
                elif isinstance(event, h11.Data):
                    octets += len(event.data)
                    write(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return status, octets

    async def _next(self, http: h11.Connection, reader: asyncio.StreamReader) -> h11.Event:
        while True:
            try:
                event = http.next_event()
            except h11.RemoteProtocolError as error:
                _fail(_BAD_ANSWER, f"{self._target.authority}: {error}")
            if isinstance(event, h11.Event):
                return event
            data = await reader.read(_READ_SIZE)
            if len(self.phases) < 3 + (self._context is not None):
                if not data:
                    _fail(_NO_ANSWER, f"{self._target.authority}: an empty answer")
                self._phase("first octet", "")
            http.receive_data(data)

    def _phase(self, name: str, note: str) -> None:
        now = time.perf_counter()
        self.phases.append((name, now - self._since, note))
        self._since = now
        self._note(f"{name}: {note}" if note else name)


def _tls(order: Order) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=order.cacert)
    except OSError as error:
        raise ConfigurationError(f"--cacert: cannot read {order.cacert}: {error.strerror or error}") from None
    if order.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _output(file: Path | None) -> Iterator[Callable[[bytes], Any]]:
    """How to write the content, to `file` or to standard output. Raises _Failure, also at its end."""

    def attempt(action: Callable[..., Any], *arguments: object) -> Any:
        try:
            return action(*arguments)
        except OSError as error:
            if file is None:
                drop()
            _fail(_NO_OUTPUT, f"cannot write {file or 'to standard output'}: {error.strerror}")

    stream = sys.stdout.buffer if file is None else attempt(file.open, "wb")
    try:
        yield partial(attempt, stream.write)
        attempt(stream.flush)
    finally:
        if file is not None:
            with suppress(OSError):  # which flush() has told already
                stream.close()


def _fail(code: int, text: str) -> NoReturn:
    raise _Failure(code, text) from None


def _complain(failure: _Failure) -> int:
    print(f"tapstack: {failure}", file=sys.stderr)
    return failure.code
