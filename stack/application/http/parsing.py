"""Requests out of octets: httptools, or h11 where that is missing, behind one small interface.

What either parser lets pass that could be read in two ways, the shapes of request smuggling, is refused here, the
same for both (RFC 9112 sections 2.2, 5, 6.3 and 11.2).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from stack.application.http.messages import HttpError


@dataclass(slots=True)
class Head:
    """A request line and its fields, as they came; names in lower case."""

    method: str
    target: bytes
    version: tuple[int, int]
    fields: list[tuple[str, str]]


@dataclass(slots=True)
class Text:
    """A piece of the request's content."""

    octets: bytes


class End:
    """The request is complete."""


Event: TypeAlias = Head | Text | End


class Parser(Protocol):
    """Fed with octets, however they are cut, it gives the events in order."""

    def feed(self, data: bytes) -> list[Event]:
        """Raises HttpError; the events before the error are in `events` then."""

    @property
    def events(self) -> list[Event]:
        """Those of the last call so far."""

    @property
    def is_between_requests(self) -> bool:
        """Whether no octet of a further request has arrived."""


_DIGITS: Final = re.compile(r"[0-9]+\Z")
_HOST: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*\Z")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


def check_head(head: Head) -> None:
    """Refuse what is ambiguous, or not HTTP/1. Raises HttpError."""
    if head.version[0] != 1:
        raise HttpError(505, f"this server speaks HTTP/1.0 and HTTP/1.1, not {head.version[0]}", close=True)
    if head.method not in _METHODS:
        raise HttpError(501, "the method is not known here", close=True)
    values: dict[str, list[str]] = {}
    for name, value in head.fields:
        values.setdefault(name, []).append(value)
    hosts = values.get("host", [])
    if len(hosts) > 1 or (not hosts and head.version >= (1, 1)):
        raise HttpError(400, "a request needs exactly one Host field", close=True)
    if hosts and not _HOST.match(hosts[0]):
        raise HttpError(400, "the Host field is not a host", close=True)
    lengths = values.get("content-length", [])
    codings = values.get("transfer-encoding", [])
    if codings:
        if lengths or head.version < (1, 1):
            raise HttpError(400, "Transfer-Encoding with Content-Length, or in HTTP/1.0, is ambiguous", close=True)
        if [coding.strip().lower() for coding in ",".join(codings).split(",")] != ["chunked"]:
            raise HttpError(501, "chunked is the only transfer coding known here", close=True)
    elif len(lengths) > 1 or (lengths and not _DIGITS.match(lengths[0])):
        raise HttpError(400, "Content-Length must be one number", close=True)


def make_parser() -> Parser:
    """The best parser that is installed."""
    return _MAKE()


class HttptoolsParser:
    """httptools, which is llhttp, in its strict mode."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._fields: list[tuple[str, str]] = []
        self._open = False
        self._upgraded = False

    @property
    def is_between_requests(self) -> bool:
        """Whether no octet of a further request has arrived."""
        return not self._open

    def feed(self, data: bytes) -> list[Event]:
        """See Parser.feed."""
        self.events = []
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # We do not upgrade; what follows is the next request of the same protocol (RFC 9110 7.8).
                data = data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserInvalidMethodError:
                raise HttpError(501, "the method is not known here", close=True) from None
            except httptools.HttpParserError as error:
                text = str(error)
                if "after `Connection: close`" in text:
                    break  # nobody will answer it
                if isinstance(error.__context__, HttpError):
                    raise error.__context__ from None
                raise HttpError(505 if "HTTP version" in text else 400, text, close=True) from None
        return self.events

    def on_message_begin(self) -> None:
        """Called by httptools, as are the following."""
        self._open = True
        self._url = b""
        self._fields = []

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field."""
        self._fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The end of the fields."""
        major, _, minor = self._parser.get_http_version().partition(".")
        method = self._parser.get_method().decode("latin-1")
        self.events.append(Head(method, self._url, (int(major), int(minor or 0)), self._fields))

    def on_body(self, octets: bytes) -> None:
        """A piece of content."""
        self.events.append(Text(octets))

    def on_message_complete(self) -> None:
        """The end of the request."""
        self._open = False
        self.events.append(End())


class H11Parser:
    """h11, in plain Python. It is more tolerant than we are: the head is checked before it sees it."""

    _FORBIDDEN: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]|\0|^[^\r\n]*  |\n[^:\r\n]*[ \t]:", re.ASCII)
    _CHUNK_LINE: Final = re.compile(rb"(?<!\r)\n")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._buffer = b""
        self._h11: Any = None

    @property
    def is_between_requests(self) -> bool:
        """Whether no octet of a further request has arrived."""
        return self._h11 is None and not self._buffer

    def feed(self, data: bytes) -> list[Event]:
        """See Parser.feed."""
        self.events = []
        self._buffer += data
        try:
            while self._step():
                pass
        except h11.RemoteProtocolError as error:
            raise HttpError(400, str(error), close=True) from None
        return self.events

    def _step(self) -> bool:
        if self._h11 is None:
            self._buffer = self._buffer.lstrip(b"\r\n")
            end = self._buffer.find(b"\r\n\r\n")
            head = self._buffer[: end + 4] if end >= 0 else self._buffer
            if self._FORBIDDEN.search(head.removesuffix(b"\r")):
                raise HttpError(400, "white space or a control character where none may be", close=True)
            if end < 0:
                return False
            self._check_version(head)
            self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        self._h11.receive_data(self._buffer)
        self._buffer = b""
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                return False
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return False
            self._take(event)
            if isinstance(event, h11.EndOfMessage):
                self._buffer = self._h11.trailing_data[0]
                self._h11 = None
                return bool(self._buffer)

    def _check_version(self, head: bytes) -> None:
        line = head.partition(b"\r\n")[0]
        version = re.search(rb" HTTP/(\d)\.(\d)\Z", line)
        if version and version[1] != b"1":
            raise HttpError(505, "this server speaks HTTP/1.0 and HTTP/1.1", close=True)

    def _take(self, event: Any) -> None:
        if isinstance(event, h11.Request):
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
            major, _, minor = event.http_version.decode().partition(".")
            head = Head(event.method.decode("latin-1"), event.target, (int(major), int(minor)), fields)
            self.events.append(head)
        elif isinstance(event, h11.Data):
            self.events.append(Text(bytes(event.data)))
        elif isinstance(event, h11.EndOfMessage):
            self.events.append(End())


PARSERS: Final[dict[str, Callable[[], Parser]]] = {}
try:
    import httptools

    PARSERS["httptools"] = HttptoolsParser
except ImportError:
    pass
try:
    import h11

    PARSERS["h11"] = H11Parser
except ImportError:
    pass
_MAKE: Final[Callable[[], Parser]] = PARSERS.get("httptools") or PARSERS["h11"]
