"""Names and addresses: getaddrinfo() and getnameinfo() of the loop.

Literal addresses and the names of the hosts entries are answered at once. Everything else is asked of the DNS servers
that the stack is configured with, over the stack; without any it is for the machine's own resolver.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stack.addresses import Ipv4Address, show_ipv4
from stack.aio.territory import Territory, ipv4_of
from stack.errors import ConfigurationError

if TYPE_CHECKING:
    from stack.aio.resolver import Resolver

    _Base = asyncio.SelectorEventLoop
else:
    _Base = object

_getaddrinfo = socket.getaddrinfo  # the kernel's, whatever has been put in its place in the module


class NameCalls(_Base):
    """The part of StackCalls that is about names."""

    _territory: Territory
    _resolver: "Resolver | None" = None

    def _ask_servers(self, servers: Sequence[Ipv4Address]) -> None:
        """Resolve names by `servers` from now on. Raises ConfigurationError."""
        try:
            from stack.aio.resolver import Resolver
        except ImportError:
            raise ConfigurationError("asking DNS servers needs dnspython: pip install 'tapstack[dns]'") from None
        self._resolver = Resolver(servers, self._source_towards)

    def _source_towards(self, server: Ipv4Address) -> str:
        host = self._territory.way_to(server) or self._territory.hosts[0]
        return show_ipv4(host.source_for(server))

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """As socket.getaddrinfo(). Raises socket.gaierror."""
        flags, is_ipv6 = options.get("flags", 0), options.get("family", 0) == socket.AF_INET6
        literal = self._territory.literal(host)
        if literal is not None or (host and flags & socket.AI_NUMERICHOST):
            return literal_infos([literal or text_of(host)], port, options)
        if self._resolver is None or not host:
            return await super().getaddrinfo(host, port, **options)
        if is_localhost(text_of(host)):
            return literal_infos(["::1" if is_ipv6 else "127.0.0.1"], port, options)
        if is_ipv6 and not flags & socket.AI_V4MAPPED:
            raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
        canonical, addresses = await self._resolver.addresses(text_of(host))
        infos = literal_infos(addresses, port, options | {"flags": flags & ~socket.AI_CANONNAME})
        if flags & socket.AI_CANONNAME:
            infos[0] = (*infos[0][:3], canonical, infos[0][4])
        return infos

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """As socket.getnameinfo(). Raises socket.gaierror."""
        numeric, service = socket.getnameinfo(sockaddr, flags & ~socket.NI_NAMEREQD | socket.NI_NUMERICHOST)
        if flags & socket.NI_NUMERICHOST:
            return numeric, service
        name = self._territory.name_of(numeric)
        if name is None and self._resolver is not None:
            with suppress(socket.gaierror):
                name = await self._resolver.name_of(numeric)
        elif name is None and not self._is_of_stack(numeric):
            return await super().getnameinfo(sockaddr, flags)
        if name is None and flags & socket.NI_NAMEREQD:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return name or numeric, service

    def _is_of_stack(self, name: str) -> bool:
        address = ipv4_of(name)
        return address is not None and self._territory.holds(address)


def literal_infos(addresses: Sequence[str], port: Any, options: dict[str, Any]) -> list[Any]:
    """What socket.getaddrinfo() gives for literal addresses."""
    options = options | {"flags": options.get("flags", 0) | socket.AI_NUMERICHOST}
    return [info for address in addresses for info in _getaddrinfo(address, port, **options)]


def is_localhost(host: str) -> bool:
    """RFC 6761 6.3: nobody is to be asked for it."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def text_of(host: Any) -> str:
    """`host` as a str."""
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
