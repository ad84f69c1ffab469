"""Which addresses are the stack's, and by which host they are reached. Everything else is the machine's kernel's.

The stack's are the networks of its hosts' interfaces, and those that a route is configured to, but for the default
route: that a host could send something to anywhere does not mean that all of the program's connections are its.
"""

import errno
import ipaddress
from collections.abc import Mapping, Sequence

from stack.addresses import UNSPECIFIED, Ipv4Address, show_ipv4
from stack.host import Host


class Territory:
    """The networks of `hosts`; `names` are those of addresses, as in a hosts file."""

    def __init__(self, hosts: Sequence[Host], names: Mapping[str, str]) -> None:
        self.hosts = hosts
        self._names = {name.lower(): address for name, address in names.items()}
        self._networks = [
            (network, host)
            for host in hosts
            for network in (
                *(each.network for each in host.interfaces),
                *(route.network for route in host.config.routes if route.network.prefix_length),
            )
        ]

    def literal(self, host: object) -> str | None:
        """The address that `host` stands for without anybody being asked: as it is, or by `names`."""
        if isinstance(host, bytes):
            host = host.decode("ascii", "replace")
        if not isinstance(host, str):
            return None
        host = self._names.get(host.lower(), host)
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return None
        return host

    def name_of(self, address: str) -> str | None:
        """The first of `names` that stands for `address`."""
        return next((name for name, each in self._names.items() if each == address), None)

    def holds(self, address: Ipv4Address) -> bool:
        """Whether `address` is the stack's."""
        return any(address in network for network, _ in self._networks)

    def has(self, address: Ipv4Address) -> bool:
        """Whether `address` is one of the hosts' own."""
        return any(_has(host, address) for host in self.hosts)

    def way_to(self, address: Ipv4Address, local: Ipv4Address | None = None) -> Host | None:
        """The host from which to reach `address`; None: it is not the stack's.

        With `local` it is the host that has it. Without, one of several that is not itself the destination.
        """
        if local is not None and local != UNSPECIFIED:
            return self.owner(local)
        hosts = [host for network, host in self._networks if address in network]
        return next((host for host in hosts if not _has(host, address)), hosts[0] if hosts else None)

    def owner(self, address: Ipv4Address) -> Host | None:
        """The host that has `address`; None: it is not the stack's. Raises OSError where none has it, and one could."""
        for host in self.hosts:
            if _has(host, address):
                return host
        if self.holds(address):
            raise OSError(errno.EADDRNOTAVAIL, f"{show_ipv4(address)} is in the stack's network, and no host's of it")
        return None


def ipv4_of(host: object) -> Ipv4Address | None:
    """The IPv4 address that the literal `host` is, also one that is mapped into IPv6 (RFC 4291 2.5.5.2), or None."""
    try:
        address = ipaddress.ip_address(host if isinstance(host, str) else "")
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return None if mapped is None else Ipv4Address(int(mapped))
    return Ipv4Address(int(address))


def _has(host: Host, address: Ipv4Address) -> bool:
    return any(each.address == address for each in host.interfaces)
