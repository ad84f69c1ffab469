"""A stack for code that blocks: hosts, the thread that drives them, and the socket module's calls on them."""

import asyncio
import atexit
import errno
import functools
import os
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from stack.addresses import UNSPECIFIED, Ipv4Address
from stack.aio.attached import AttachedStack, settings_of
from stack.aio.paced import PacedNetwork
from stack.aio.territory import Territory, ipv4_of
from stack.aio.underlay import Devices, Underlay
from stack.host import Host
from stack.io.attachment import open_device
from stack.sockets.driver import Driver
from stack.sockets.loops import SharedLoop
from stack.sockets.names import Names
from stack.sockets.socket import Socket
from stack.virtual.network import Network

if TYPE_CHECKING:
    from stack.sockets.splice import Splice

_Result = TypeVar("_Result")
Address = tuple[Any, ...]
_DEFAULT_TIMEOUT: Any = socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]  # what http.client hands on


class Net:
    """What belongs to the stack's networks, for every thread of this process; a context manager.

    Made by attached(), on_device() or in_memory(). Names are those of `names`, then of the DNS servers, if any.
    """

    def __init__(
        self,
        underlay: Underlay,
        names: Mapping[str, str],
        dns_servers: Sequence[Ipv4Address] = (),
        abandon: Callable[[], None] = lambda: None,
    ) -> None:
        self.territory = Territory(underlay.hosts, names)
        self.names = Names(self, dns_servers)
        self.bound: set[tuple[Host, Ipv4Address, int]] = set()
        """Where TCP sockets are bound; the hosts' thread's."""
        self.splices: dict[int, Splice] = {}
        """File descriptors that are spliced to the stack, by their numbers; changed by the hosts' thread alone."""
        self.unconnected: set[int] = set()
        """The numbers of those of TCP that are bound, or listen."""
        self.starved: list[Splice] = []
        """Listeners for whose connections there are no file descriptors."""
        self.failures: dict[int, int] = {}
        """The errno of those of them that have failed, until somebody has been told."""
        self._hosts_entries = names
        self._dns_servers = dns_servers
        self._devices = underlay if isinstance(underlay, Devices) else None
        self._loop: SharedLoop | None = None
        self._abandon = abandon
        self.driver = Driver(underlay, self._devices.engines if self._devices else (), self)
        self.call = self.driver.call
        self.now = underlay.now
        atexit.register(self.close)

    @classmethod
    def attached(cls, **options: Any) -> "Net":
        """On a TAP device, which close() lets go of. Raises ConfigurationError and DeviceError.

        Options are those of `tapstack serve`; for defaults see stack.aio.
        """
        settings = settings_of(options)
        with ExitStack() as resources:
            queues, kernel = open_device(settings, resources)
            stack = AttachedStack(settings, queues[0], kernel, resources)
            net, devices = cls._on(stack)
            devices.own(stack.keep())
        return net

    @classmethod
    def on_device(cls, stack: AttachedStack) -> "Net":
        """On the device that `stack` is on, whose resources are somebody else's."""
        return cls._on(stack)[0]

    @classmethod
    def _on(cls, stack: AttachedStack) -> "tuple[Net, Devices]":
        devices = Devices([stack.engine])
        settings = stack.settings
        net = cls(devices, settings.hosts, settings.dns_servers, stack.abandon)

        def on_change(events: int) -> None:
            stack.changes.drain()
            devices.check()

        net.call(functools.partial(net.driver.watch, stack.changes.fileno(), select.EPOLLIN, on_change))
        return net, devices

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """An event loop on this stack, for a program whose sockets are patched.

        One at a time has the hosts in it. Any other is asyncio's own, whose sockets then are as the program's are.
        """
        if self._devices is None or (self._loop is not None and not self._loop.is_closed()):
            return asyncio.SelectorEventLoop()
        self._loop = SharedLoop(self._devices, self.driver, self._hosts_entries, self._dns_servers)
        return self._loop

    @classmethod
    def in_memory(cls, network: Network, names: Mapping[str, str] | None = None) -> "Net":
        """On the hosts of `network`, whose time then goes on with the machine's."""
        return cls(PacedNetwork(network), names or {})

    def close(self) -> None:
        """Let what was closed be delivered, end the rest, let go of the device; harmless when done twice."""
        atexit.unregister(self.close)
        self.driver.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # What the socket module has

    def socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0) -> Socket:
        """As socket.socket(): a socket of the stack's, blocking, or with the default timeout."""
        return Socket(self, family, type, proto)

    def create_connection(
        self,
        address: Address,
        timeout: Any = _DEFAULT_TIMEOUT,
        source_address: Address | None = None,
    ) -> Socket:
        """As socket.create_connection(). Raises the last address's OSError."""
        failure: OSError = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        for *_, resolved in self.names.getaddrinfo(address[0], address[1], socket.AF_INET, socket.SOCK_STREAM):
            sock = self.socket()
            try:
                if timeout is not _DEFAULT_TIMEOUT:
                    sock.settimeout(timeout)
                if source_address:
                    sock.bind(source_address)
                sock.connect(resolved)
                return sock
            except OSError as error:
                failure = error
                sock.close()
        raise failure

    def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """As socket.getaddrinfo(). Raises socket.gaierror."""
        return self.names.getaddrinfo(host, port, **options)

    # What is the stack's

    def number(self, host: object) -> Ipv4Address | None:
        """The IPv4 address that `host` stands for without anybody being asked; None: none."""
        return UNSPECIFIED if host in ("", b"") else ipv4_of(self.territory.literal(host))

    def places(self, address: Ipv4Address) -> dict[Host, Ipv4Address]:
        """Where to bind for `address`, on all hosts for UNSPECIFIED. Raises OSError(EADDRNOTAVAIL)."""
        if address == UNSPECIFIED:
            return dict.fromkeys(self.territory.hosts, UNSPECIFIED)
        owner = self.territory.owner(address)
        if owner is None:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return {owner: address}

    # What the driver tells

    def finish(self) -> bool:
        """See Owner."""
        for splice in list(self.splices.values()):
            splice.finish()
        return not self.splices

    def ended(self, reason: OSError) -> None:
        """See Owner."""
        for splice in list(self.splices.values()):
            splice.end(reason)

    def abandon(self) -> None:
        """See Owner."""
        atexit.unregister(self.close)
        for splice in self.splices.values():
            splice.abandon()
        self._abandon()
