"""A TCP connection of ours as an asyncio transport, with the order of calls and the rules of asyncio's own.

Theory. What asyncio promises a protocol is only partly written down; the rest is what programs have come to need of
_SelectorSocketTransport, and is followed here: connection_made(), then who waits for the transport is woken, then
reading begins, each by call_soon(); an end that arrives with data is told a turn later; eof_received() that returns
nothing closes; writes after close() are ignored; abort() drops what TCP has not taken and sends the rest in order. The
names with an underscore that asyncio's TLS and sendfile use of a transport are part of that. tests/differential
compares all of it with asyncio on the kernel.

While reading is paused, or the transport is closing, nothing is read from the connection: its buffer fills, the window
closes, and the peer has to wait. That is all the back-pressure there is, and all that is needed.
"""

import asyncio
import contextvars
import logging
import os
from asyncio import constants, transports
from collections.abc import Callable
from typing import Any, Final, Protocol

from stack.aio.faces import StreamFace
from stack.clock import Instant
from stack.events import CLOSED, WRITABLE
from stack.host import Host
from stack.octets import Octets
from stack.transport.tcp.connection import Connection

_READ_SIZE: Final = 256 << 10
_LOG_AT: Final = constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES

logger = logging.getLogger("asyncio")


class Attachable(Protocol):
    """A server, which wants to know how many transports it has."""

    def attach(self, transport: "StreamTransport") -> None:
        """There is one more."""

    def detach(self, transport: "StreamTransport") -> None:
        """It is over."""


class StreamTransport(transports._FlowControlMixin, transports.Transport):
    """`connection` of `host`, which is established, in the hands of `protocol`.

    `waiter` is resolved once connection_made() was called. `now` is the underlay's clock.
    """

    _loop: asyncio.AbstractEventLoop  # these three are the mixin's
    _maybe_pause_protocol: Callable[[], None]
    _maybe_resume_protocol: Callable[[], None]

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        connection: Connection,
        protocol: asyncio.BaseProtocol,
        now: Callable[[], Instant],
        waiter: "asyncio.Future[None] | None" = None,
        server: Attachable | None = None,
    ) -> None:
        face = StreamFace(connection, now)
        extra = {"socket": face, "sockname": face.getsockname(), "peername": face.getpeername()}
        super().__init__(extra, loop)
        self._host = host
        self._connection = connection
        self._face = face
        self._now = now
        self._server = server
        self._buffer = bytearray()  # written, and not yet taken by TCP
        self._is_sending_file = False
        self._room: asyncio.Future[None] | None = None  # send_file() waits for it
        self._is_reading = False  # who waits for the transport was woken, and whoever was to be called before
        self._is_paused = False
        self._closing = False
        self._eof = False  # write_eof() was called
        self._at_end = False  # eof_received() was called
        self._lost = 0  # connection_lost() is on its way; then, writes that were ignored
        self._context = contextvars.copy_context()
        self.set_protocol(protocol)
        connection.nodelay = True
        connection.handler = self._on_event
        if server is not None:
            server.attach(self)
        loop.call_soon(self._protocol.connection_made, self)
        if waiter is not None:
            loop.call_soon(_wake, waiter)
        loop.call_soon(self._read_soon)

    def __repr__(self) -> str:
        state = " closing" if self._closing else ""
        return f"<{type(self).__name__} {self._connection}{state} buffered={len(self._buffer)}>"

    # What the protocol and its libraries ask

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Go on with `protocol`, of whichever of the two kinds."""
        self._protocol: Any = protocol
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        """Whether close() or abort() was called, or the connection has ended."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether what arrives is handed to the protocol."""
        return not self._closing and not self._is_paused

    def pause_reading(self) -> None:
        """Leave what arrives to TCP, whose window closes when it is too much."""
        if self.is_reading():
            self._is_paused = True

    def resume_reading(self) -> None:
        """Go on, beginning with what has arrived meanwhile."""
        if not self._closing and self._is_paused:
            self._is_paused = False
            self._is_reading = False
            self._at_end = False  # it is told again: perhaps to another protocol, as by start_tls()
            self._loop.call_soon(self._read_soon)

    def write(self, data: Octets) -> None:
        """Send `data`, after what was written before."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._is_sending_file:
            raise RuntimeError("unable to write; sendfile is in progress")
        if not data:
            return
        if self._lost:
            if self._lost >= _LOG_AT:
                logger.warning("socket.send() raised exception.")
            self._lost += 1
            return
        if not self._buffer:
            try:
                data = self._hand_over(data)
            except OSError as error:
                self._fatal_error(error, "Fatal write error on stack transport")
                return
            if not data:
                return
        self._buffer += data
        self._maybe_pause_protocol()

    def get_write_buffer_size(self) -> int:
        """Octets that TCP has not yet taken."""
        return len(self._buffer)

    def can_write_eof(self) -> bool:
        """Yes."""
        return True

    def write_eof(self) -> None:
        """Send a FIN behind what was written; reading goes on. Raises OSError."""
        if self._closing or self._eof:
            return
        self._eof = True
        if not self._buffer:
            self._host.shutdown(self._connection, self._now())

    async def send_file(self, descriptor: int, offset: int, count: int | None) -> int:
        """Send `count` octets of a file, or all, behind what was written; returns how many. Nothing can be written
        meanwhile. Raises OSError, also ConnectionError when the transport is closed.
        """
        if self._is_sending_file:
            raise RuntimeError("sendfile is in progress already")
        self._is_sending_file = True
        sent = 0
        try:
            while self._buffer:
                await self._wait_for_room()
            while count is None or sent < count:
                limit = _READ_SIZE if count is None else min(count - sent, _READ_SIZE)
                piece = memoryview(os.pread(descriptor, limit, offset + sent))
                if not piece:
                    break
                while piece:
                    taken = self._host.write(self._connection, piece, self._now())
                    sent += taken
                    piece = piece[taken:]
                    if piece:
                        await self._wait_for_room()
        finally:
            self._is_sending_file = False
        return sent

    async def _wait_for_room(self) -> None:
        self._room = self._loop.create_future()
        await self._room

    def close(self) -> None:
        """Read no more, send what was written, and end."""
        if self._closing:
            return
        self._closing = True
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """End without sending what TCP has not taken; what it has is delivered."""
        self._force_close(None)

    # What asyncio's TLS asks besides

    def _force_close(self, error: BaseException | None) -> None:
        if self._lost:
            return
        self._buffer.clear()
        self._closing = True
        self._lose(error)

    # What happens

    def _on_event(self, kinds: int, now: Instant) -> None:
        # As asyncio's readers do, in the context in which the transport was made.
        try:
            self._context.run(self._react, kinds, now)
        except (SystemExit, KeyboardInterrupt) as error:
            self._loop.call_soon(throw, error)

    def _react(self, kinds: int, now: Instant) -> None:
        if kinds & (WRITABLE | CLOSED):
            if self._buffer:
                self._write_on()
            if self._room is not None:
                _wake(self._room)
        if self._is_reading and not self._is_paused:
            self._read(now)

    def _read_soon(self) -> None:
        """Read behind everything that is to be called already: as in asyncio, where a selector comes in between."""
        self._loop.call_soon(self._start_reading, context=self._context)

    def _start_reading(self) -> None:
        self._is_reading = True
        self._read(self._now())

    def _read(self, now: Instant) -> None:
        """Hand the protocol everything that has arrived, unless it pauses.

        An end that has arrived, too, is told in the loop's next turn, after what the protocol has led to by
        call_soon(): so a request is answered although its client has shut down behind it.
        """
        connection = self._connection
        if not self.is_reading() or self._at_end:
            return
        if not connection.readable:
            self._read_end()
            return
        while connection.readable and not self._closing and not self._is_paused:
            self._read_some(now)
        if not connection.readable and (connection.at_end_of_stream or connection.error is not None):
            self._read_soon()

    def _read_some(self, now: Instant) -> None:
        """There is something."""
        host, connection, protocol = self._host, self._connection, self._protocol
        call = "data_received"
        try:
            if self._is_buffered:
                call = "get_buffer"
                buffer = _buffer_of(protocol)
                count = host.read_into(connection, buffer, now)
                call = "buffer_updated"
                protocol.buffer_updated(count)
            else:
                protocol.data_received(host.read(connection, _READ_SIZE, now))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, f"Fatal error: protocol.{call}() call failed.")

    def _read_end(self) -> None:
        """There is nothing, and there may never be."""
        connection = self._connection
        if not connection.at_end_of_stream and connection.error is None:
            return
        call = "get_buffer"
        stays_open = False
        try:
            if self._is_buffered:
                _buffer_of(self._protocol)  # asyncio asks for it before it finds that there is nothing for it
            if connection.at_end_of_stream:
                self._at_end = True
                call = "eof_received"
                stays_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, f"Fatal error: protocol.{call}() call failed.")
            return
        if not self._at_end:
            assert connection.error is not None
            self._fatal_error(connection.error, "Fatal read error on stack transport")
        elif not stays_open:
            self.close()

    def _hand_over(self, data: Octets) -> Octets:
        """Have TCP take what it will of `data`; returns the rest. Raises OSError."""
        view = memoryview(data).cast("B") if isinstance(data, memoryview) else data
        taken = self._host.write(self._connection, view, self._now())
        return memoryview(view)[taken:] if taken < len(view) else b""

    def _write_on(self) -> None:
        """TCP has room again, or the connection has ended."""
        if self._lost:
            return
        try:
            with memoryview(self._buffer) as view:
                taken = self._host.write(self._connection, view, self._now())
        except OSError as error:
            self._buffer.clear()
            self._fatal_error(error, "Fatal write error on stack transport")
            return
        del self._buffer[:taken]
        self._maybe_resume_protocol()  # which may write more, and close
        if not self._buffer and not self._lost:
            if self._closing:
                self._lose(None)
            elif self._eof:
                self._host.shutdown(self._connection, self._now())

    # The end

    def _fatal_error(self, error: BaseException, message: str = "Fatal error on transport") -> None:
        if isinstance(error, OSError):
            if self._loop.get_debug():
                logger.debug("%r: %s", self, message, exc_info=True)
        else:
            self._loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            )
        self._force_close(error)

    def _lose(self, error: BaseException | None) -> None:
        self._lost += 1
        if self._room is not None and not self._room.done():
            self._room.set_exception(error or ConnectionError("the transport was closed"))
        self._loop.call_soon(self._call_connection_lost, error)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._connection.handler = None
            self._host.close(self._connection, self._now(), self._face.linger())
            self._protocol = None
            server, self._server = self._server, None
            if server is not None:
                server.detach(self)


def _buffer_of(protocol: Any) -> memoryview:
    """What the protocol wants to be filled, octet by octet."""
    buffer = memoryview(protocol.get_buffer(-1)).cast("B")
    if not len(buffer):
        raise RuntimeError("get_buffer() returned an empty buffer")
    return buffer


def throw(error: BaseException) -> None:
    """Raise `error`: for call_soon(), of what is to come out of the loop, not out of the middle of a host's events."""
    raise error


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
