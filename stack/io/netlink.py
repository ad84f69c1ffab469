"""The kernel's side of a TAP device, by rtnetlink: its addresses, MTU and state, and what the machine's networks are.

Everything set here is undone: on a device that we created it goes with the device, on one that was made beforehand
by KernelSide.undo(). The only importer of pyroute2.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from pyroute2 import IPRoute, NetlinkError

from stack.addresses import Ipv4Address, MacAddress, Network, ipv4, show_ipv4, show_mac
from stack.errors import DeviceError
from stack.io.signals import fork, ignore_in_child

_IFF_UP: Final = 1
_SIOCGIFFLAGS: Final = 0x8913
_IFREQ: Final = struct.Struct("16sH22x")  # name and flags
_RTN_LOCAL: Final = 2  # a route to one of the machine's own addresses, ...
_RTN_BROADCAST: Final = 3  # ... and one to a broadcast address: both only mirror an address
_RTMGRP_LINK: Final = 1


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """A network that the machine reaches already: through `device`, because of `what` (an address or a route)."""

    network: Network
    device: str
    what: str


def neighborhoods() -> list[Neighborhood]:
    """Every IPv4 network of the machine's addresses and routes, but for the default route."""
    with IPRoute() as netlink:
        names = {link["index"]: str(link.get("IFLA_IFNAME")) for link in netlink.get_links()}
        found = []
        for address in netlink.get_addr(family=socket.AF_INET):
            local = str(address.get("IFA_LOCAL") or address.get("IFA_ADDRESS"))
            network = Network.of(ipv4(local), address["prefixlen"])
            found.append(Neighborhood(network, names.get(address["index"], "?"), f"the address {local}"))
        for route in netlink.get_routes(family=socket.AF_INET):
            if route["type"] in (_RTN_LOCAL, _RTN_BROADCAST) or not route["dst_len"]:
                continue
            network = Network.of(ipv4(str(route.get("RTA_DST"))), route["dst_len"])
            found.append(Neighborhood(network, names.get(route.get("RTA_OIF"), "(none)"), f"a route to {network}"))
    return found


def check_subnet_is_free(network: Network, device: str, *, chosen_by_user: bool) -> None:
    """Raise DeviceError when another device than `device` has `network`, or a part of it.

    A wider route, such as a VPN's 10.0.0.0/8, is in the way only of the default: who names a subnet within it wants
    the more specific route.
    """
    others = [neighborhood for neighborhood in neighborhoods() if neighborhood.device != device]
    for other in others:
        inside = other.network.address in network and other.network.prefix_length >= network.prefix_length
        if inside or (not chosen_by_user and network.address in other.network):
            host, stack = _free_addresses([neighborhood.network for neighborhood in others])
            raise DeviceError(
                f"the network {network} is in use: device {other.device!r} has {other.what}."
                f" Choose another, for example: --host-address {host} --address {stack}"
            )


def _free_addresses(taken: list[Network]) -> tuple[str, str]:
    """Two addresses of a private /24 (RFC 1918) that overlaps none of `taken`."""
    for network in _candidates():
        if not any(network.address in other or other.address in network for other in taken):
            return f"{show_ipv4(network.address + 1)}/24", f"{show_ipv4(network.address + 2)}/24"
    return "192.0.2.1/24", "192.0.2.2/24"  # TEST-NET-1 of RFC 5737: nobody can have it


def _candidates() -> Iterator[Network]:
    for second in range(78, 256):
        yield Network.of(10 << 24 | second << 16, 24)
    for third in range(1, 256):
        yield Network.of(192 << 24 | 168 << 16 | third << 8, 24)


class KernelSide:
    """The kernel's end of the TAP `device`. A context manager that undoes what it did and closes."""

    def __init__(self, device: str, *, persistent: bool) -> None:
        self.device = device
        self.persistent = persistent
        self._netlink: Any = IPRoute()
        self._index = int(self._netlink.link_lookup(ifname=device)[0])
        self._undo: list[Callable[[Any], None]] = []
        self._undoer: tuple[int, int] | None = None

    def configure(self, mac: MacAddress, address: Ipv4Address, prefix_length: int, mtu: int) -> None:
        """Give the device its address and MTU and bring it up. Raises DeviceError.

        A device made beforehand keeps what is right already, so that a user without privileges can be handed one.
        """
        text = show_ipv4(address)
        try:
            if not self.persistent:
                self._be_quiet()
                self._netlink.link("set", index=self._index, address=show_mac(mac))
            self._set_mtu(mtu)
            self._add_address(text, prefix_length)
            self._bring_up()
        except NetlinkError as error:
            reason = os.strerror(error.code)
            if error.code not in (errno.EPERM, errno.EACCES):
                raise DeviceError(f"cannot configure TAP {self.device!r}: {reason}") from None
            raise DeviceError(
                f"cannot configure TAP {self.device!r}: {reason}. Prepare it once as root:"
                f" sudo ip addr add {text}/{prefix_length} dev {self.device};"
                f" sudo ip link set {self.device} mtu {mtu} up"
            ) from None

    def _be_quiet(self) -> None:
        """Keep the kernel from greeting us with router solicitations: nobody speaks IPv6 here."""
        with suppress(OSError), open(f"/proc/sys/net/ipv6/conf/{self.device}/disable_ipv6", "w") as switch:
            switch.write("1")

    def _set_mtu(self, mtu: int) -> None:
        index, before = self._index, int(self._link().get("IFLA_MTU"))
        if before != mtu:
            self._netlink.link("set", index=index, mtu=mtu)
            self._undo.append(lambda netlink: netlink.link("set", index=index, mtu=before))

    def _add_address(self, text: str, prefix_length: int) -> None:
        index = self._index
        for present in self._netlink.get_addr(family=socket.AF_INET, index=index):
            if present.get("IFA_LOCAL") == text and present["prefixlen"] == prefix_length:
                return
        self._netlink.addr("add", index=index, address=text, prefixlen=prefix_length)
        self._undo.append(lambda netlink: netlink.addr("del", index=index, address=text, prefixlen=prefix_length))

    def _bring_up(self) -> None:
        index = self._index
        if not self._link()["flags"] & _IFF_UP:
            self._netlink.link("set", index=index, state="up")
            self._undo.append(lambda netlink: netlink.link("set", index=index, state="down"))

    def trouble(self) -> str | None:
        """What has become of the device, as the end of "TAP 'tap0' ...": None while it is there and up.

        An event loop asks while it runs, and pyroute2 would run another one: so by netdevice(7), not by rtnetlink.
        """
        try:
            request = _IFREQ.pack(socket.if_indextoname(self._index).encode(), 0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
                _, flags = _IFREQ.unpack(fcntl.ioctl(asked.fileno(), _SIOCGIFFLAGS, request))
        except OSError:
            return "was deleted"
        return None if flags & _IFF_UP else "was set down"

    def _link(self) -> Any:
        return self._netlink.get_links(self._index)[0]

    def delegate_undo(self) -> None:
        """To be called before privileges are dropped: a child process keeps them, and uses them only in undo()."""
        if not self.persistent or not self._undo:
            return
        ours, theirs = os.pipe()
        child = fork()
        if child == 0:
            _undo_at_end_of_file(ours, theirs, self._undo)
        os.close(ours)
        self._undoer = (child, theirs)

    def undo(self) -> None:
        """Leave a device that was made beforehand as it was found; harmless when it is gone."""
        steps, self._undo = self._undo, []
        if self._undoer:
            child, pipe = self._undoer
            self._undoer = None
            os.close(pipe)
            os.waitpid(child, 0)
        elif self.persistent:
            _run_undo(self._netlink, steps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()
        self._netlink.close()


def _undo_at_end_of_file(ours: int, theirs: int, steps: list[Callable[[Any], None]]) -> None:
    """The child process: wait until the parent has closed the pipe or died, undo, end. Never returns."""
    try:
        os.setsid()  # out of reach of the terminal, which is the parent's
        ignore_in_child()
        os.close(theirs)
        os.read(ours, 1)
        with IPRoute() as netlink:
            _run_undo(netlink, steps)
    finally:
        os._exit(0)


def _run_undo(netlink: Any, steps: list[Callable[[Any], None]]) -> None:
    for step in reversed(steps):
        with suppress(NetlinkError):
            step(netlink)


class LinkChanges:
    """A file descriptor that is readable when some network device of the machine has changed."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, _RTMGRP_LINK))

    def fileno(self) -> int:
        """The file descriptor, for a selector."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Forget the changes so far."""
        for _ in range(1000):
            try:
                self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                continue  # ENOBUFS: some were lost, and who asks looks at the device anyway

    def close(self) -> None:
        """Close the file descriptor."""
        self._socket.close()
