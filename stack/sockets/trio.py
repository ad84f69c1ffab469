"""trio on the stack, by trio's own hooks: trio.socket.set_custom_socket_factory and set_custom_hostname_resolver.

    async def main():
        with stack.sockets.trio.installed(net):
            stream = await trio.open_tcp_stream("10.77.0.1", 80)

Its sockets have spliced file descriptors (stack.sockets.splice), for which trio waits as for any other. Under patch()
nothing of this is needed: there trio's sockets are the stack's as all others are.
"""

import os
import select
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar

import trio
import trio.abc

from stack.sockets.methods import socket_class
from stack.sockets.net import Net

_Result = TypeVar("_Result")
_Address = Any


@contextmanager
def installed(net: Net) -> Iterator[None]:
    """Until its end, in this run of trio: sockets and names are those of `net` where they belong to it."""
    hooks = Hooks(net)
    factory = trio.socket.set_custom_socket_factory(hooks)
    resolver = trio.socket.set_custom_hostname_resolver(hooks)
    try:
        yield
    finally:
        trio.socket.set_custom_socket_factory(factory)
        trio.socket.set_custom_hostname_resolver(resolver)


class Hooks(trio.abc.SocketFactory, trio.abc.HostnameResolver):
    """What trio asks for sockets and names."""

    def __init__(self, net: Net) -> None:
        self._names = net.names
        self._make = socket_class(net)

    def socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0) -> "Socket":
        """A socket, of the kernel's as yet."""
        return Socket(self._make(family, type, proto))

    async def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        """As socket.getaddrinfo(), in a thread."""
        ask = self._names.getaddrinfo
        return await trio.to_thread.run_sync(ask, host, port, family, type, proto, flags, abandon_on_cancel=True)

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        """As socket.getnameinfo(), in a thread."""
        return await trio.to_thread.run_sync(self._names.getnameinfo, sockaddr, flags, abandon_on_cancel=True)


def _forwarded(name: str) -> Any:
    def forward(self: "Socket", *arguments: Any) -> Any:
        return getattr(self._sock, name)(*arguments)

    forward.__name__ = name
    return forward


def _awaited(name: str, wait: Callable[[Any], Awaitable[None]]) -> Any:
    async def call(self: "Socket", *arguments: Any) -> Any:
        method = getattr(self._sock, name)
        return await self._wait(wait, lambda: method(*arguments))

    call.__name__ = name
    return call


class Socket(trio.socket.SocketType):
    """`sock`, which does not block, and trio's waiting for it."""

    detach = _forwarded("detach")
    fileno = _forwarded("fileno")
    getpeername = _forwarded("getpeername")
    getsockname = _forwarded("getsockname")
    getsockopt = _forwarded("getsockopt")
    setsockopt = _forwarded("setsockopt")
    listen = _forwarded("listen")
    get_inheritable = _forwarded("get_inheritable")
    set_inheritable = _forwarded("set_inheritable")
    recv = _awaited("recv", trio.lowlevel.wait_readable)
    recv_into = _awaited("recv_into", trio.lowlevel.wait_readable)
    recvfrom = _awaited("recvfrom", trio.lowlevel.wait_readable)
    recvfrom_into = _awaited("recvfrom_into", trio.lowlevel.wait_readable)
    recvmsg = _awaited("recvmsg", trio.lowlevel.wait_readable)
    recvmsg_into = _awaited("recvmsg_into", trio.lowlevel.wait_readable)
    send = _awaited("send", trio.lowlevel.wait_writable)

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock  # anyio knows it by this name, as in trio's own
        self._did_shutdown_SHUT_WR = False
        sock.setblocking(False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._sock!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def family(self) -> socket.AddressFamily:
        """As socket.socket's."""
        return self._sock.family

    @property
    def type(self) -> socket.SocketKind:
        """As socket.socket's."""
        return self._sock.type

    @property
    def proto(self) -> int:
        """As socket.socket's."""
        return self._sock.proto

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # trio's name
        """Whether writing has been shut down."""
        return self._did_shutdown_SHUT_WR

    def dup(self) -> "Socket":
        """As socket.socket's."""
        kind = type(self._sock)
        return Socket(kind(self.family, self.type, self.proto, fileno=os.dup(self._sock.fileno())))

    def close(self) -> None:
        """As socket.socket's; who waits for it is told."""
        if self._sock.fileno() != -1:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def shutdown(self, flag: int) -> None:
        """As socket.socket's."""
        self._sock.shutdown(flag)
        self._did_shutdown_SHUT_WR |= flag != socket.SHUT_RD

    def is_readable(self) -> bool:
        """Whether there is something to be received."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    async def wait_writable(self) -> None:
        """Wait until something can be sent."""
        await trio.lowlevel.wait_writable(self._sock)

    async def bind(self, address: _Address) -> None:
        """As socket.socket's."""
        address = await self._resolve(address, local=True)
        await trio.lowlevel.checkpoint()
        self._sock.bind(address)

    async def connect(self, address: _Address) -> None:
        """As socket.socket's; the socket is closed if that is cancelled."""
        try:
            address = await self._resolve(address, local=False)
            await trio.lowlevel.checkpoint_if_cancelled()
            try:
                self._sock.connect(address)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return
        except trio.Cancelled:
            self._sock.close()
            raise
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, f"Error connecting to {address!r}: {os.strerror(number)}")

    async def accept(self) -> tuple["Socket", _Address]:
        """As socket.socket's."""
        kind: Any = type(self._sock)
        fileno, address = await self._wait(trio.lowlevel.wait_readable, lambda: kind._accept(self._sock))
        return Socket(kind(self.family, self.type, self.proto, fileno=fileno)), address

    async def sendto(self, data: Any, *arguments: Any) -> int:
        """As socket.socket's."""
        flags = arguments[0] if len(arguments) > 1 else 0
        to = await self._resolve(arguments[-1], local=False)
        return await self._wait(trio.lowlevel.wait_writable, lambda: self._sock.sendto(data, flags, to))

    async def sendmsg(self, buffers: Any, ancdata: Any = (), flags: int = 0, address: _Address = None) -> int:
        """As socket.socket's."""
        to = [] if address is None else [await self._resolve(address, local=False)]
        call = lambda: self._sock.sendmsg(buffers, ancdata, flags, *to)  # noqa: E731
        return await self._wait(trio.lowlevel.wait_writable, call)

    async def _wait(self, wait: Callable[[Any], Awaitable[None]], call: Callable[[], _Result]) -> _Result:
        """What `call` gives as soon as it does not block."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            result = call()
        except BlockingIOError:
            pass
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return result
        while True:
            await wait(self._sock)
            try:
                return call()
            except BlockingIOError:
                continue

    async def _resolve(self, address: _Address, *, local: bool) -> _Address:
        """`address`, with an address in the place of a name. Raises socket.gaierror."""
        if self.family not in _NAMED or not isinstance(address, tuple):
            return address
        host, port = address[:2]
        flags = socket.AI_PASSIVE if local else 0
        infos = await trio.socket.getaddrinfo(host or None, port, self.family, self.type, self.proto, flags)
        return (*infos[0][4][:2], *address[2:])


_NAMED: Final = (socket.AF_INET, socket.AF_INET6)
