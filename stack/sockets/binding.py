"""Where a TCP socket is bound, before it listens or connects. Everything here is the hosts' thread's."""

import errno
import os
import random
from typing import TYPE_CHECKING, Final

from stack.addresses import UNSPECIFIED, Ipv4Address, show_ipv4
from stack.host import Host
from stack.transport.ports import ephemeral_port
from stack.transport.tcp.listener import Listener

if TYPE_CHECKING:
    from stack.sockets.net import Net

_RANDOM: Final = random.SystemRandom()


class Binding:
    """`port` of `address`, on all hosts for UNSPECIFIED; for port 0 an ephemeral one. Raises OSError."""

    def __init__(self, net: "Net", address: Ipv4Address, port: int) -> None:
        self._net = net
        self._places = net.places(address)
        self.address = address
        if not port:
            port = ephemeral_port(net.territory.hosts[0].config.tcp.ephemeral_ports, _RANDOM, self._is_free)
        elif not self._is_free(port):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self.port = port
        net.bound.update((host, own, port) for host, own in self._places.items())

    @property
    def name(self) -> tuple[str, int]:
        """As getsockname() has it."""
        return show_ipv4(self.address), self.port

    def _is_free(self, port: int) -> bool:
        """Nobody is bound there, nor listens: an event loop may, which binds nothing before. Raises OSError."""
        for host, own in self._places.items():
            others = [each for bound_host, each, bound in self._net.bound if bound_host is host and bound == port]
            if own in others or UNSPECIFIED in others or (others and own == UNSPECIFIED):
                return False
            try:
                listener = self._listen(host, own, port, 1)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return False
            host.close_listener(listener, self._net.now())
        return True

    def listen(self, backlog: int) -> list[tuple[Host, Listener]]:
        """Listen at every place. Raises OSError."""
        listeners: list[tuple[Host, Listener]] = []
        try:
            for host, own in self._places.items():
                listeners.append((host, self._listen(host, own, self.port, backlog)))
        except OSError:
            for host, listener in listeners:
                host.close_listener(listener, self._net.now())
            raise
        return listeners

    def _listen(self, host: Host, own: Ipv4Address, port: int, backlog: int) -> Listener:
        return host.listen(port, self._net.now(), None if own == UNSPECIFIED else own, backlog)

    def release(self) -> None:
        """Bound no longer; harmless when done twice."""
        self._net.bound.difference_update((host, own, self.port) for host, own in self._places.items())
