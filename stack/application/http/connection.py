"""One connection of the HTTP server: requests in, responses out, in order, each within its time and size."""

import logging
from collections import deque
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from stack.application.http.messages import (
    Body,
    HttpError,
    Request,
    Response,
    error_response,
    may_have_body,
    reason,
)
from stack.application.http.parsing import End, Event, Head, Text, check_head, make_parser
from stack.clock import SECOND, Duration, Instant
from stack.events import CLOSED, END_OF_STREAM, READABLE, WRITABLE
from stack.transport.tcp.connection import Connection

if TYPE_CHECKING:
    from stack.application.http.server import HttpServer

logger = logging.getLogger(__name__)

_READ_SIZE: Final = 64 << 10
_CHUNK: Final = 256 << 10
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpConnection:
    """Made for an accepted connection; gone when that is closed."""

    def __init__(self, server: "HttpServer", connection: Connection, now: Instant) -> None:
        self._server = server
        self._host = server.host
        self._tcp = connection
        self._parser = make_parser()
        self._events: deque[Event] = deque()
        self._error: HttpError | None = None  # of the parser: to be answered once everything before it is
        self._request: Request | None = None
        self._content = bytearray()
        self._head_octets = 0
        self._receiving_since: Instant = now
        self._out: bytes | memoryview = b""
        self._body: Body | None = None
        self._chunked = False
        self._close_after = False
        self._lingering = False
        self._drained = 0
        self._timer = self._host.timer(self._on_timer)
        self._arm(server.config.head_timeout, now)
        connection.application = self
        connection.handler = self._on_event

    # Events

    def _on_event(self, kinds: int, now: Instant) -> None:
        if kinds & CLOSED:
            self._release(now)
            return
        if kinds & WRITABLE:
            self._send(now)
        if kinds & (READABLE | END_OF_STREAM):
            self._receive(now)

    def _receive(self, now: Instant) -> None:
        host, tcp = self._host, self._tcp
        while not self._is_busy and not self._lingering and tcp.handler is not None:
            data = host.read(tcp, _READ_SIZE, now)
            if not data:
                break
            if self._parser.is_between_requests and self._request is None:
                self._receiving_since = now
                self._arm(self._server.config.head_timeout, now)
            self._feed(data, now)
            self._process(now)
        if self._lingering:
            self._drain(now)
        elif tcp.at_end_of_stream and not self._is_busy and tcp.handler is not None:
            self._finish(now)  # whatever was begun can never be completed

    @property
    def _is_busy(self) -> bool:
        """Whether a response is on its way out: nothing is read meanwhile, and the peer's window closes."""
        return self._body is not None or len(self._out) > 0

    def stop(self, now: Instant) -> None:
        """Close: at once if idle, else after the response."""
        self._close_after = True
        if not self._is_busy and self._request is None and not self._lingering:
            self._finish(now)

    def refuse(self, now: Instant) -> None:
        """Answer 503: there are too many of us."""
        busy = HttpError(503, "too many connections", close=True, headers=(("Retry-After", "1"),))
        self._respond(error_response(busy), None, now, close=True)

    # In

    def _feed(self, data: bytes, now: Instant) -> None:
        if not any(isinstance(event, Head) for event in self._events) and self._request is None:
            self._head_octets += len(data)
        try:
            self._events.extend(self._parser.feed(data))
        except HttpError as error:
            self._events.extend(self._parser.events)
            self._error = error
        config = self._server.config
        if self._request is None and not self._events and self._error is None:
            if self._head_octets > config.maximum_head:
                self._error = HttpError(431, f"the head is longer than {config.maximum_head} octets", close=True)

    def _process(self, now: Instant) -> None:
        while self._events and not self._is_busy and not self._lingering:
            event = self._events.popleft()
            try:
                if isinstance(event, Head):
                    self._on_head(event, now)
                elif isinstance(event, Text):
                    self._on_text(event, now)
                else:
                    self._on_end(now)
            except HttpError as error:
                self._fail(error, now)
        if self._error is not None and not self._events and not self._is_busy and not self._lingering:
            error, self._error = self._error, None
            self._fail(error, now)

    def _on_head(self, head: Head, now: Instant) -> None:
        config = self._server.config
        if len(head.target) > config.maximum_target:
            raise HttpError(414, f"the request target is longer than {config.maximum_target} octets", close=True)
        size = sum(len(name) + len(value) + 4 for name, value in head.fields)
        if len(head.fields) > config.maximum_fields or size > config.maximum_head:
            raise HttpError(431, "too many header fields, or too long ones", close=True)
        self._head_octets = 0
        check_head(head)
        headers: dict[str, str] = {}
        for name, value in head.fields:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        path, query = _split_target(head)
        self._request = Request(
            head.method, head.target.decode("latin-1"), path, query, head.version, headers, self._tcp, now
        )
        self._content.clear()
        length = headers.get("content-length", "0")
        if len(length) > 15 or int(length) > config.maximum_body:
            raise HttpError(413, f"the content is longer than {config.maximum_body} octets", close=True)
        if head.method in ("POST", "PUT", "PATCH") and not {"content-length", "transfer-encoding"} & headers.keys():
            raise HttpError(411, "a Content-Length is needed", close=True)
        expectation = headers.get("expect")
        if expectation is not None and head.version >= (1, 1):
            if expectation.lower() != "100-continue":
                raise HttpError(417, "100-continue is the only expectation known here", close=True)
            if not self._events:
                self._write(_CONTINUE, now)
        self._receiving_since = now
        self._arm(config.body_timeout, now)

    def _on_text(self, text: Text, now: Instant) -> None:
        config = self._server.config
        self._content += text.octets
        if len(self._content) > config.maximum_body:
            raise HttpError(413, f"the content is longer than {config.maximum_body} octets", close=True)
        elapsed = now - self._receiving_since
        if elapsed > config.body_timeout and len(self._content) * SECOND < elapsed * config.body_minimum_rate:
            raise HttpError(408, "the content comes too slowly", close=True)
        self._arm(config.body_timeout, now)

    def _on_end(self, now: Instant) -> None:
        request = self._request
        if request is None:
            return
        request.body = bytes(self._content)
        self._server.requests += 1
        try:
            response = self._server.handler(request)
        except HttpError as error:
            response = error_response(error)
            self._close_after = self._close_after or error.close
        except Exception:
            logger.exception("the handler failed on %s %s", request.method, request.target)
            response = error_response(HttpError(500, "something went wrong here"))
        self._respond(response, request, now, close=_wants_close(request))

    # Out

    def _respond(self, response: Response, request: Request | None, now: Instant, *, close: bool) -> None:
        self._request = None
        self._close_after = self._close_after or close or self._server.is_stopping
        body = response.body
        head_only = request is not None and request.method == "HEAD"
        with_body = may_have_body(response.status)
        length: int | None = len(body) if isinstance(body, bytes) else body.length
        old = request is not None and request.version < (1, 1)
        self._chunked = with_body and length is None and not old
        if length is None and old:
            self._close_after = True
        lines = [
            f"HTTP/1.1 {response.status} {reason(response.status)}",
            f"Date: {self._server.date(now)}",
            "Server: tapstack",
        ]
        if response.content_type is not None and with_body:
            lines.append(f"Content-Type: {response.content_type}")
        if length is not None and with_body:
            lines.append(f"Content-Length: {length}")
        if self._chunked:
            lines.append("Transfer-Encoding: chunked")
        lines.extend(f"{name}: {value}" for name, value in response.headers)
        if self._close_after:
            lines.append("Connection: close")
        elif old:
            lines.append("Connection: keep-alive")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        logger.debug(
            "request",
            extra={
                "fields": {
                    "method": request.method if request else "-",
                    "target": request.target if request else "-",
                    "status": response.status,
                    "octets": length,
                }
            },
        )
        if isinstance(body, bytes):
            self._out = head + body if with_body and not head_only else head
        elif with_body and not head_only:
            self._out = head
            self._body = body
        else:
            body.close()
            self._out = head
        self._send(now)

    def _send(self, now: Instant) -> None:
        tcp = self._tcp
        if tcp.handler is None:
            return
        while True:
            if self._out:
                taken = self._write(self._out, now)
                self._out = memoryview(self._out)[taken:] if taken < len(self._out) else b""
                if self._out:
                    self._arm(self._server.config.send_timeout, now)
                    return
            if self._body is None or not self._next_chunk(self._body, now):
                break
        if tcp.handler is not None and not self._lingering:
            self._after_response(now)

    def _next_chunk(self, body: Body, now: Instant) -> bool:
        try:
            octets = body.read(_CHUNK)
            if not octets and body.length:
                raise OSError("it became shorter while it was sent")
        except OSError as error:
            logger.warning("a response could not be completed: %s", error)
            self._host.abort(self._tcp, now)
            return False
        if body.length is not None:
            body.length -= len(octets)
        self._out = b"%x\r\n%b\r\n" % (len(octets), octets) if self._chunked else octets
        if not octets or body.length == 0:
            body.close()
            self._body = None
        return bool(self._out)

    def _after_response(self, now: Instant) -> None:
        if self._close_after:
            self._finish(now)
        elif not self._events and self._error is None:
            self._arm(self._server.config.idle_timeout, now)
            if self._tcp.readable or self._tcp.at_end_of_stream:
                self._server.host.timer(self._resume).arm(now)
        else:
            self._process(now)

    def _resume(self, now: Instant) -> None:
        """What had arrived while a response was sent: read in a turn of its own, so that pipelining cannot recurse."""
        if self._tcp.handler is not None:
            self._receive(now)

    def _write(self, data: bytes | memoryview, now: Instant) -> int:
        try:
            return self._host.write(self._tcp, data, now)
        except OSError:
            return len(data)  # the connection is over; CLOSED comes, or has come

    # The end

    def _fail(self, error: HttpError, now: Instant) -> None:
        self._events.clear()
        request, self._request = self._request, None
        self._respond(error_response(error), request, now, close=error.close)

    def _finish(self, now: Instant) -> None:
        """Close in order: FIN, then read away what the peer still sends, lest a reset destroy the response."""
        if self._lingering:
            return
        self._lingering = True
        self._close_body()
        try:
            self._host.shutdown(self._tcp, now)
        except OSError:
            return
        self._arm(self._server.config.linger, now)
        self._drain(now)

    def _drain(self, now: Instant) -> None:
        while data := self._host.read(self._tcp, _READ_SIZE, now):
            self._drained += len(data)
            if self._drained > self._server.config.linger_octets:
                self._close(now)
                return
        if self._tcp.at_end_of_stream:
            self._close(now)

    def _close(self, now: Instant) -> None:
        self._host.close(self._tcp, now)
        self._release(now)

    def _release(self, now: Instant) -> None:
        self._timer.disarm()
        self._tcp.handler = None
        self._host.close(self._tcp, now)
        self._close_body()
        self._events.clear()
        self._out = b""
        self._server.connections.pop(self, None)

    def _close_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    # Time

    def _arm(self, patience: Duration, now: Instant) -> None:
        self._timer.arm(now + patience)

    def _on_timer(self, now: Instant) -> None:
        if self._lingering:
            self._close(now)
        elif self._is_busy:
            logger.info("a client took nothing for too long; connection reset")
            self._host.abort(self._tcp, now)
            self._release(now)
        elif self._request is not None or not self._parser.is_between_requests:
            self._fail(HttpError(408, "the request took too long", close=True), now)
        else:
            self._finish(now)


def _wants_close(request: Request) -> bool:
    tokens = {token.strip().lower() for token in request.headers.get("connection", "").split(",")}
    return "close" in tokens or (request.version < (1, 1) and "keep-alive" not in tokens)


def _split_target(head: Head) -> tuple[str, str]:
    """Path and query of the target (RFC 9112 3.2): origin form, absolute form, or * for OPTIONS."""
    target = head.target.decode("latin-1")
    if head.method == "CONNECT":
        raise HttpError(501, "this is not a proxy", close=True)
    if target == "*" and head.method == "OPTIONS":
        return "*", ""
    if target[:7].lower() == "http://":
        target = "/" + target[7:].partition("/")[2]
    if not target.startswith("/"):
        raise HttpError(400, "the request target is not a path", close=True)
    path, _, query = target.partition("#")[0].partition("?")
    return unquote(path, errors="surrogateescape"), query
