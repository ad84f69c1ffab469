"""One connection of the server: requests in, responses out, in order, and never more of either than there is room for.

Theory. A connection is in one phase, and _run() does what the phase allows until something is missing:

    HEAD        octets of a header section are gathered; when it is whole a request may begin
    BODY        the request's body is gathered; then it is answered
    SENDING     a response has been begun, and TCP has no room for more of it now
    LINGERING   our FIN is sent; what still arrives is thrown away until the client's FIN (RFC 9112 9.6)
    OVER        nothing is left

While a response is SENDING nothing is read, so the octets of a client that asks and asks stay in TCP, whose window
then closes: that is the back-pressure, and no queue of requests is needed. There is one timer; what it means depends
on the phase too.
"""

import logging
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from stack.application.http.messages import Body, BodyError, Headers, Refusal, Request, Response
from stack.application.http.pages import error_response
from stack.application.http.reading.body import BodyReader, make_body_reader
from stack.application.http.reading.grammar import Head, check_lengths, check_unfinished, skip_empty_lines
from stack.application.http.targets import Target
from stack.clock import SECOND, Instant
from stack.events import CLOSED
from stack.octets import Octets
from stack.transport.tcp.connection import Connection

if TYPE_CHECKING:
    from stack.application.http.server import HttpServer

logger = logging.getLogger(__name__)

_READ_SIZE: Final = 65536
_SEND_SIZE: Final = 262144
_SEND_AT_LEAST: Final = 4096
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_BODILESS: Final = frozenset({204, 205, 304})


class Phase(IntEnum):
    """What a connection is doing; see above."""

    HEAD = 0
    BODY = 1
    SENDING = 2
    LINGERING = 3
    OVER = 4


_HEAD, _BODY, _SENDING, _LINGERING, _OVER = Phase


class HttpConnection:
    """Serves `connection` from when it is accepted until it is closed."""

    __slots__ = (
        "_body", "_buffer", "_connection", "_drained", "_head", "_held", "_host", "_is_head", "_keep_alive", "_out",
        "_phase", "_searched", "_sends_chunks", "_server", "_since", "_source", "_target", "_timer", "_unsent",
    )  # fmt: skip

    def __init__(self, server: "HttpServer", connection: Connection, now: Instant) -> None:
        self._server = server
        self._host = server.host
        self._connection = connection
        self._phase = _HEAD
        self._buffer = b""  # arrived, and not yet understood
        self._searched = 0  # octets of it that are known not to end a header section
        self._since: Instant | None = None  # when the head or body that is being gathered began
        self._head: Head | None = None
        self._is_head = False
        self._target: Target | None = None
        self._body: BodyReader | None = None
        self._keep_alive = True
        self._out: Octets = b""  # made, and not yet taken by TCP
        self._source: Body | None = None  # where more of the response comes from
        self._sends_chunks = False
        self._held = 0  # octets, as the server has been told
        self._unsent = 0  # octets in TCP's buffer when the timer was armed
        self._drained = 0
        self._timer = server.host.timer(HttpConnection._on_timer, self)
        connection.nodelay = True  # responses are written whole: waiting for more (Nagle) would only delay the end
        connection.handler = self
        self._timer.arm(now + server.config.keep_alive_timeout)

    def refuse(self, refusal: Refusal, now: Instant) -> None:
        """Answer with an error, now, and end the connection."""
        self._buffer = b""
        self._body = None
        self._keep_alive = False
        self._respond(error_response(refusal), now)

    def stop(self, now: Instant) -> None:
        """The server stops: end at once if there is nothing to answer; otherwise the next response is the last."""
        if self._phase is _LINGERING or (self._phase is _HEAD and not self._buffer):
            self._release(now)

    # Events

    def __call__(self, kinds: int, now: Instant) -> None:
        """Take note of what has happened (stack.events): the connection's handler is this object itself."""
        try:
            if kinds & CLOSED:
                self._release(now)
            else:
                self._run(now)
        except OSError:  # the connection has ended under our hands
            self._release(now)
        except Exception:
            self._fail(now)

    def _on_timer(self, now: Instant) -> None:
        try:
            self._on_timeout(now)
        except OSError:
            self._release(now)
        except Exception:
            self._fail(now)

    def _fail(self, now: Instant) -> None:
        logger.exception("a mistake of the server's; connection %s is reset", self._connection.key)
        self._host.abort(self._connection, now)
        self._release(now)

    def _on_timeout(self, now: Instant) -> None:
        if self._phase is _HEAD and not self._buffer:
            self._begin_to_linger(now)  # it has been idle (RFC 9112 9.5)
        elif self._phase in (_HEAD, _BODY):
            self.refuse(Refusal(408, "The request took too long to arrive."), now)
        elif self._phase is _SENDING and self._backlog() < self._unsent:
            self._wait_for_room(now)  # slow, but it takes something
        elif self._phase is _SENDING:
            self._host.abort(self._connection, now)
            self._release(now)
        else:
            self._release(now)

    # What the phases do

    def _run(self, now: Instant) -> None:
        while True:
            phase = self._phase
            if phase is _HEAD:
                if self._buffer and self._read_head(now):
                    continue
            elif phase is _BODY:
                if self._buffer and self._read_body(now):
                    continue
            elif phase is _SENDING:
                if self._send(now):
                    continue
                return
            else:
                if phase is _LINGERING:
                    self._drain(now)
                return
            if not self._fill(now):
                return

    def _fill(self, now: Instant) -> bool:
        """Get more octets; False: there are none now."""
        if data := self._host.read(self._connection, _READ_SIZE, now):
            self._buffer = self._buffer + data if self._buffer else data
            return True
        if self._connection.at_end_of_stream:
            if self._phase is _HEAD and not self._buffer:
                self._begin_to_linger(now)
            else:  # RFC 9112 section 8: the client may still listen
                self.refuse(Refusal(400, "The request is incomplete."), now)
            return True
        self._wait_for_octets(now)
        return False

    def _wait_for_octets(self, now: Instant) -> None:
        config = self._server.config
        if self._phase is _HEAD and not self._buffer:
            self._may_hold(0)
            self._timer.arm(now + config.keep_alive_timeout)
            return
        if not self._may_hold(len(self._buffer) + (self._body.received if self._body is not None else 0)):
            self.refuse(self._server.unavailable("The server holds too many unfinished requests."), now)
            return
        if self._since is None:
            self._since = now
        if self._phase is _HEAD:
            self._timer.arm(self._since + config.header_timeout)
        elif self._body is not None:
            earned = self._body.received * SECOND // config.minimum_body_rate
            self._timer.arm(self._since + config.body_timeout + earned)

    def _may_hold(self, octets: int) -> bool:
        """Whether so many octets may wait here: all connections together are bounded, but everybody gets a little."""
        server = self._server
        server.held += octets - self._held
        self._held = octets
        return server.held <= server.config.max_held or octets <= server.config.held_unasked

    def _read_head(self, now: Instant) -> bool:
        """Take a header section from the buffer; False: it is not all there."""
        buffer = self._buffer
        if not self._searched and buffer.startswith(b"\r\n"):
            self._buffer = skip_empty_lines(buffer)
            return True
        end = buffer.find(b"\r\n\r\n", max(self._searched - 3, 0)) + 4
        try:
            if end < 4:
                self._check_unfinished()
                return False
            if end > self._server.config.max_request_line:
                check_lengths(buffer, end, self._server.config)
            octets, self._buffer = (buffer, b"") if end == len(buffer) else (buffer[:end], buffer[end:])
            self._searched = 0
            self._since = None
            self._begin_request(octets, now)
        except Refusal as refusal:
            self.refuse(refusal, now)
        return True

    def _check_unfinished(self) -> None:
        buffer = self._buffer
        if buffer == b"\r":
            return  # half of an empty line in front of a request
        check_unfinished(buffer, self._searched)
        check_lengths(buffer, len(buffer), self._server.config)
        self._searched = len(buffer)

    def _begin_request(self, octets: bytes, now: Instant) -> None:
        server = self._server
        self._is_head = octets.startswith(b"HEAD ")  # known also of a request that is refused
        self._head, framing, self._target = server.understand(octets)
        self._keep_alive = framing.keep_alive
        if not framing.length:
            self._answer(b"", now)
            return
        self._body = make_body_reader(framing.length, server.config)
        self._phase = _BODY
        # Half of it would be worse than none, which a client gets over (RFC 9110 10.1.1: it does not wait for ever).
        if framing.expects_continue and not self._buffer and self._connection.writable >= len(_CONTINUE):
            self._host.write(self._connection, _CONTINUE, now)

    def _read_body(self, now: Instant) -> bool:
        """Take octets of the body from the buffer; False: it is not all there."""
        assert self._body is not None
        octets, self._buffer = self._buffer, b""
        try:
            self._buffer = self._body.feed(octets)
        except Refusal as refusal:
            self.refuse(refusal, now)
            return True
        if not self._body.is_complete:
            return False
        body, self._body = self._body.body(), None
        self._since = None
        self._answer(body, now)
        return True

    def _answer(self, body: bytes, now: Instant) -> None:
        head, target, server = self._head, self._target, self._server
        assert head is not None and target is not None
        version = "1.1" if head.minor else "1.0"
        server.totals.requests += 1
        request = Request(
            head.method, target.text, target.path, target.query, target.host, version,
            Headers(head.fields), body, self._connection, now, server.clock.at(now), server.totals,
        )  # fmt: skip
        try:
            response = server.handler(request)
            _ = response.head
        except Refusal as refusal:
            response = error_response(refusal)
        except Exception:
            logger.exception("the handler failed on %s %s", request.method, request.target)
            response = error_response(Refusal(500, "The server has made a mistake."))
        if server.logs_requests:
            server.log(request, response)
        self._respond(response, now)

    def _respond(self, response: Response, now: Instant) -> None:
        """Begin a response; most are whole, and with TCP, when this returns."""
        head = self._head
        is_latest = head is None or head.minor > 0
        length = response.length
        # RFC 9112 6.1: no Transfer-Encoding to HTTP/1.0, whose bodies of unknown length end with the connection.
        self._sends_chunks = length is None and is_latest and response.status not in _BODILESS
        if (length is None and not is_latest) or self._server.is_stopping:
            self._keep_alive = False
        lines = [response.head, self._server.clock.date_line(now)]
        if self._sends_chunks:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        if not self._keep_alive:
            lines.append(b"Connection: close\r\n")
        elif not is_latest:
            lines.append(b"Connection: keep-alive\r\n")
        lines.append(b"\r\n")
        has_body = response.status not in _BODILESS and not self._is_head
        body = response.body
        if isinstance(body, bytes):
            if has_body:
                lines.append(body)
        elif has_body:
            self._source = body
        else:
            body.close()
        self._out = b"".join(lines)
        self._unsent = 0
        self._phase = _SENDING
        self._send(now)

    def _send(self, now: Instant) -> bool:
        """Hand TCP what it takes; False: it has no room for all of it now."""
        host, connection = self._host, self._connection
        while True:
            if out := self._out:
                taken = host.write(connection, out, now)
                self._server.totals.octets_sent += taken
                if taken < len(out):
                    self._out = memoryview(out)[taken:]
                    if not self._may_hold(len(self._out) + len(self._buffer)):
                        host.abort(connection, now)
                        self._release(now)
                        return True
                    if taken or not self._unsent:  # that the client sends something is no reason to wait longer
                        self._wait_for_room(now)
                    return False
                self._out = b""
                self._unsent = 0  # it takes something
            if self._source is None:
                break
            try:
                self._out = self._produce(self._source)
            except BodyError as error:
                # The client sees less than it was promised, and a reset is the one sign that every framing has.
                logger.warning("a response could not be finished: %s", error)
                host.abort(connection, now)
                self._release(now)
                return True
        if self._keep_alive:
            self._phase = _HEAD
            self._head = None
            self._is_head = False
        else:
            self._begin_to_linger(now)
        return True

    def _produce(self, source: Body) -> Octets:
        """More of the response, hardly more than TCP will take; b"" is its end.

        What TCP holds is bounded for all connections together; what waited here would come on top of it.
        """
        data = source.read(min(max(self._connection.writable, _SEND_AT_LEAST), _SEND_SIZE))
        if data:
            return b"%x\r\n%b\r\n" % (len(data), data) if self._sends_chunks else data
        self._source = None
        source.close()
        return _LAST_CHUNK if self._sends_chunks else b""

    def _wait_for_room(self, now: Instant) -> None:
        self._unsent = self._backlog()
        self._timer.arm(now + self._server.config.send_timeout)

    def _backlog(self) -> int:
        """Octets that the client has not yet acknowledged."""
        info = self._connection.info()
        return info.unacknowledged + info.unsent

    # The end

    def _begin_to_linger(self, now: Instant) -> None:
        """RFC 9112 9.6: close in stages, so that a reset does not overtake the response."""
        self._host.shutdown(self._connection, now)
        self._phase = _LINGERING
        self._buffer = b""
        self._may_hold(0)
        self._timer.arm(now + self._server.config.linger_timeout)

    def _drain(self, now: Instant) -> None:
        while data := self._host.read(self._connection, _READ_SIZE, now):
            self._drained += len(data)
            if self._drained > self._server.config.linger_octets:
                self._release(now)
                return
        if self._connection.at_end_of_stream:
            self._release(now)

    def _release(self, now: Instant) -> None:
        """Let go of everything; harmless a second time."""
        if self._phase is _OVER:
            return
        self._phase = _OVER
        self._timer.retire()  # or its owner, which is us, would be garbage in a ring
        self._buffer = self._out = b""
        self._may_hold(0)
        if self._source is not None:
            source, self._source = self._source, None
            source.close()
        self._connection.handler = None
        self._host.close(self._connection, now)
        self._server.forget(self)
