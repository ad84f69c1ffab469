"""Names and addresses for code that blocks: what stack.aio.names is for event loops, in the caller's own thread."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stack.addresses import Ipv4Address, show_ipv4
from stack.aio.names import is_localhost, literal_infos, text_of
from stack.aio.territory import ipv4_of
from stack.errors import ConfigurationError

if TYPE_CHECKING:
    from stack.aio.resolver import BlockingResolver
    from stack.sockets.net import Net
    from stack.sockets.socket import Socket

# The kernel's resolver, whatever has been put in its place in the module.
_getaddrinfo = socket.getaddrinfo
_getnameinfo = socket.getnameinfo


class Names:
    """Asks the hosts entries of `net`, then `servers`, over the stack; without any, the machine's own resolver."""

    def __init__(self, net: "Net", servers: Sequence[Ipv4Address]) -> None:
        self._net = net
        self._resolver = self._ask_servers(servers) if servers else None

    def getaddrinfo(self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        """As socket.getaddrinfo(). Raises socket.gaierror."""
        options = {"family": family, "type": type, "proto": proto, "flags": flags}
        literal = self._net.territory.literal(host)
        if literal is not None or (host and flags & socket.AI_NUMERICHOST):
            return literal_infos([literal or text_of(host)], port, options)
        if self._resolver is None or not host:
            return _getaddrinfo(host, port, **options)
        if is_localhost(text_of(host)):
            return literal_infos(["::1" if family == socket.AF_INET6 else "127.0.0.1"], port, options)
        if family == socket.AF_INET6 and not flags & socket.AI_V4MAPPED:
            raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
        canonical, addresses = self._resolver.addresses(text_of(host))
        infos = literal_infos(addresses, port, options | {"flags": flags & ~socket.AI_CANONNAME})
        if flags & socket.AI_CANONNAME:
            infos[0] = (*infos[0][:3], canonical, infos[0][4])
        return infos

    def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        """As socket.getnameinfo(). Raises socket.gaierror."""
        numeric, service = _getnameinfo(sockaddr, flags & ~socket.NI_NAMEREQD | socket.NI_NUMERICHOST)
        if flags & socket.NI_NUMERICHOST:
            return numeric, service
        name = self._net.territory.name_of(numeric)
        address = ipv4_of(numeric)
        if name is None and self._resolver is not None:
            with suppress(socket.gaierror):
                name = self._resolver.name_of(numeric)
        elif name is None and (address is None or not self._net.territory.holds(address)):
            return _getnameinfo(sockaddr, flags)
        if name is None and flags & socket.NI_NAMEREQD:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return name or numeric, service

    def gethostbyname(self, hostname: Any) -> str:
        """As socket.gethostbyname(). Raises socket.gaierror."""
        found: str = self.getaddrinfo(hostname, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
        return found

    def gethostbyname_ex(self, hostname: Any) -> tuple[str, list[str], list[str]]:
        """As socket.gethostbyname_ex(). Raises socket.gaierror."""
        flags = socket.AI_CANONNAME
        infos = self.getaddrinfo(hostname, None, socket.AF_INET, socket.SOCK_STREAM, flags=flags)
        return infos[0][3] or text_of(hostname), [], [info[4][0] for info in infos]

    def gethostbyaddr(self, ip_address: Any) -> tuple[str, list[str], list[str]]:
        """As socket.gethostbyaddr(). Raises socket.gaierror (a herror, with the kernel's), where there is no name."""
        address = self.gethostbyname(ip_address)
        name, _ = self.getnameinfo((address, 0), socket.NI_NAMEREQD)
        return name, [], [address]

    def _ask_servers(self, servers: Sequence[Ipv4Address]) -> "BlockingResolver":
        try:
            from stack.aio.resolver import BlockingResolver
        except ImportError:
            raise ConfigurationError("asking DNS servers needs dnspython: pip install 'tapstack[dns]'") from None
        return BlockingResolver(servers, self._socket_towards)

    def _socket_towards(self, type: int, server: Ipv4Address) -> "Socket":
        """A socket to ask `server` with, whether or not that belongs to the stack's networks."""
        territory = self._net.territory
        sock = self._net.socket(type=type)
        host = territory.way_to(server) or territory.hosts[0]
        sock.bind((show_ipv4(host.source_for(server)), 0))
        return sock
