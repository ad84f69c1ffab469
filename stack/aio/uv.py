"""uvloop's event loop with the stack in it.

libuv does not let anybody stand between the loop and its wait, as stack.aio.selector does with asyncio's own. So the
loop watches the devices as it watches any file descriptor, has a timer of its own for the next of the hosts' timers,
and whoever calls into a host, which begins with asking what time it is, has what comes of it sent at the turn's end.
"""

import asyncio
from asyncio import sslproto
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

import uvloop

from stack.addresses import Ipv4Address
from stack.aio.loop import StackCalls
from stack.aio.stream import StreamTransport
from stack.aio.underlay import Devices
from stack.clock import Instant
from stack.errors import DeviceError
from stack.io.engine import Engine

_OURS: Final = (StreamTransport, sslproto._SSLProtocolTransport)  # uvloop has a TLS transport of its own


class WatchedDevices(Devices):
    """Hosts on devices that a loop watches, once watch() was called, until unwatch()."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        super().__init__(engines)
        self.failure: DeviceError | None = None
        """Why the loop has been stopped, if it has."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_awaited = False  # _send_soon() is on its way
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0  # the timer, in the loop's time

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be part of `loop`."""
        self._loop = loop
        for fileno in self.filenos():
            loop.add_reader(fileno, self._on_readable)

    def unwatch(self) -> None:
        """Be part of no loop any more."""
        loop, self._loop = self._loop, None
        if loop is not None:
            for fileno in self.filenos():
                loop.remove_reader(fileno)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def now(self) -> Instant:
        """See Devices."""
        self._wake()
        return super().now()

    def check(self) -> None:
        """See Devices."""
        super().check()
        self._wake()

    def _wake(self) -> None:
        if not self._is_awaited and self._loop is not None:
            self._is_awaited = True
            self._loop.call_soon(self._on_end_of_turn)

    def _on_readable(self) -> None:
        """The devices have frames, or else a timer of a host is due."""
        try:
            with self._no_longer_if_it_fails():
                self._take()
        except DeviceError as error:
            self._fail(error)
        self._wake()

    def _on_end_of_turn(self) -> None:
        self._is_awaited = False
        try:
            with self._no_longer_if_it_fails():
                self._send()
        except DeviceError as error:
            self._fail(error)
        self._keep_time()

    def _keep_time(self) -> None:
        """See to it that the timer fires in time; too early does no harm, and is less work."""
        left, loop = self._time_left(), self._loop
        if left is None or loop is None:
            return
        at = loop.time() + left
        if self._timer is not None:
            if self._fires_at <= at:
                return
            self._timer.cancel()
        self._fires_at = at
        self._timer = loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._on_readable()

    def _fail(self, error: DeviceError) -> None:
        loop = self._loop
        self.unwatch()
        self.failure = error
        if loop is not None:
            loop.stop()


class UvLoop(StackCalls, uvloop.Loop):  # type: ignore[misc]  # for mypy, StackCalls is of a selector loop
    """uvloop's loop, with the stack among what it watches."""

    def __init__(
        self, underlay: WatchedDevices, names: Mapping[str, str], dns_servers: Sequence[Ipv4Address] = ()
    ) -> None:
        self._settle_in(underlay, names, dns_servers)
        super().__init__()
        self._watched = underlay
        underlay.watch(self)

    def run_forever(self) -> None:
        """See AbstractEventLoop. Raises DeviceError, once: then the loop has no stack any more."""
        super().run_forever()
        failure, self._watched.failure = self._watched.failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """See StackCalls."""
        if not self.is_running():
            self._watched.unwatch()
        super().close()

    # uvloop's versions of these know no transports but its own.

    async def start_tls(self, transport: Any, *arguments: Any, **options: Any) -> Any:
        """As asyncio's."""
        if isinstance(transport, _OURS):
            return await asyncio.BaseEventLoop.start_tls(self, transport, *arguments, **options)
        return await super().start_tls(transport, *arguments, **options)

    async def sendfile(
        self, transport: Any, file: IO[bytes], offset: int = 0, count: int | None = None, *, fallback: bool = True
    ) -> int:
        """As asyncio's."""
        if isinstance(transport, _OURS):
            send = asyncio.BaseEventLoop.sendfile
            return await send(self, transport, file, offset, count, fallback=fallback)
        return await super().sendfile(transport, file, offset, count, fallback=fallback)

    _sendfile_fallback = asyncio.BaseEventLoop._sendfile_fallback  # type: ignore[attr-defined]
