"""asyncio's datagram transport on UDP sockets of ours, of the kernel's, or of both.

UDP has no back-pressure, but a device has: what an endpoint may send in one turn of the loop is bounded (BURST), so
that it does not overrun the ring of frames to send. What goes beyond waits here, and the protocol is told to pause.
"""

import asyncio
import contextvars
import logging
from asyncio import constants, transports
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from stack.aio.faces import DatagramFace
from stack.aio.stream import throw
from stack.octets import Octets

BURST: Final = 64 << 10  # octets that one endpoint sends in one turn
_OVERHEAD: Final = 256  # what a datagram counts besides its octets: frames are bounded too, not only octets
_LOG_AT: Final = constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES

Address = tuple[Any, ...]

logger = logging.getLogger("asyncio")


class Outlet(Protocol):
    """Where a transport's datagrams go to, and come from: see stack.aio.outlets."""

    def begin(self, transport: "DatagramTransport") -> None:
        """Hand `transport` what has arrived, and what arrives from now on."""

    def send(self, data: bytes, address: Address, *, broadcast: bool) -> bool:
        """Send `data`, if need be to all; False: not now, transport.resume() will be called when to try again.

        Raises OSError.
        """

    def close(self) -> None:
        """Send and deliver nothing more."""


class DatagramTransport(transports._FlowControlMixin, transports.DatagramTransport):
    """`outlet` in the hands of `protocol`; `waiter` is resolved once connection_made() was called.

    `peername` is None where there is no one peer, and sendto() has to name one.
    """

    _loop: asyncio.AbstractEventLoop  # these three are the mixin's
    _maybe_pause_protocol: Callable[[], None]
    _maybe_resume_protocol: Callable[[], None]

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outlet: Outlet,
        protocol: asyncio.BaseProtocol,
        face: DatagramFace,
        peername: Address | None,
        waiter: "asyncio.Future[None]",
    ) -> None:
        super().__init__({"socket": face, "sockname": face.getsockname(), "peername": peername}, loop)
        self._outlet = outlet
        self._face = face
        self._protocol: Any = protocol
        self._peername = peername
        self._buffer: deque[tuple[bytes, Address]] = deque()
        self._buffered = 0
        self._sent = 0  # in this turn
        self._blocked = False  # the outlet will call resume()
        self._closing = False
        self._lost = 0  # connection_lost() is on its way; then, datagrams that were ignored
        self._context = contextvars.copy_context()
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._begin)
        loop.call_soon(_wake, waiter)

    def __repr__(self) -> str:
        ends = f"{self.get_extra_info('sockname')} -> {self._peername or 'any'}"
        return f"<{type(self).__name__} {ends}{' closing' if self._closing else ''} buffered={self._buffered}>"

    # What the protocol and its libraries ask

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Go on with `protocol`."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        """Whether close() or abort() was called."""
        return self._closing

    def get_write_buffer_size(self) -> int:
        """Octets that wait for the next turn."""
        return self._buffered

    def sendto(self, data: Octets, addr: Address | None = None) -> None:  # type: ignore[override]
        """Send a datagram to `addr`, or to the one peer. What goes wrong is error_received()'s."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._peername is not None and addr is not None and tuple(addr[:2]) != self._peername[:2]:
            raise ValueError(f"Invalid address: must be None or {self._peername}")
        to = self._peername or addr
        if to is None:
            raise ValueError("Invalid address: an endpoint without remote_addr has to be told where to send to")
        if self._lost:
            if self._lost >= _LOG_AT:
                logger.warning("socket.send() raised exception.")
            self._lost += 1
            return
        if not self._buffer and self._send(bytes(data), to):
            return
        self._buffer.append((bytes(data), to))
        self._buffered += len(data)
        self._maybe_pause_protocol()

    def close(self) -> None:
        """Receive nothing more, send what waits, and end."""
        if self._closing:
            return
        self._closing = True
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """End, without what waits."""
        if self._lost:
            return
        self._closing = True
        self._buffer.clear()
        self._buffered = 0
        self._lose(None)

    # What the outlet tells

    def deliver(self, data: bytes, address: Address) -> None:
        """A datagram has arrived."""
        if not self._closing:
            self._call(self._protocol.datagram_received, data, address)

    def report(self, error: OSError) -> None:
        """Something that was sent has not arrived, or could not be sent."""
        if not self._lost:
            self._call(self._protocol.error_received, error)

    def resume(self) -> None:
        """What the outlet did not take it may take now."""
        self._blocked = False
        self._send_on()

    # What happens

    def _begin(self) -> None:
        if not self._closing:
            self._outlet.begin(self)

    def _call(self, method: Callable[..., None], *arguments: object) -> None:
        """As asyncio's readers do: in our context, and one datagram's failure is not the next one's."""
        try:
            self._context.run(method, *arguments)
        except (SystemExit, KeyboardInterrupt) as error:
            self._loop.call_soon(throw, error)
        except BaseException as error:
            message = f"Fatal error: protocol.{method.__name__}() call failed."
            self._loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            )

    def _send(self, data: bytes, address: Address) -> bool:
        """Have the outlet send a datagram, if the turn has room for it; False: it has to wait."""
        if self._blocked or self._sent >= BURST:
            return False
        try:
            taken = self._outlet.send(data, address, broadcast=self._face.may_broadcast())
        except OSError as error:
            self.report(error)
            return True
        if not taken:
            self._blocked = True
            return False
        if not self._sent:
            self._loop.call_soon(self._next_turn)
        self._sent += len(data) + _OVERHEAD
        return True

    def _next_turn(self) -> None:
        self._sent = 0
        self._send_on()

    def _send_on(self) -> None:
        while self._buffer and not self._lost:
            if not self._send(*self._buffer[0]):
                return
            if self._buffer:  # error_received() may have aborted
                data, _ = self._buffer.popleft()
                self._buffered -= len(data)
        if not self._lost:
            self._maybe_resume_protocol()  # which may send more
            if self._closing and not self._buffer:
                self._lose(None)

    def _lose(self, error: BaseException | None) -> None:
        self._lost += 1
        self._outlet.close()
        self._loop.call_soon(self._call_connection_lost, error)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._protocol = None


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
