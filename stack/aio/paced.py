"""A network of hosts in memory, whose time passes as fast as the machine's: for programs that wait for real."""

import time
from collections.abc import Sequence
from typing import TypeVar

from stack.aio.underlay import NetworkInMemory, Poll
from stack.clock import SECOND, Instant
from stack.virtual.network import Network

_Events = TypeVar("_Events")


class PacedNetwork(NetworkInMemory):
    """An underlay (stack.aio.underlay): what is due on `network` happens in its turns, on the machine's clock.

    Links delay and lose as they do in virtual time, but a run is not repeated octet for octet.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._began = time.monotonic_ns() - network.now

    def turn(self, poll: Poll[_Events], timeout: float | None) -> Sequence[_Events]:
        """Send what is to be sent, wait for the next thing to happen, let everything happen that is due."""
        network = self._network
        if self._dispatch():
            timeout = 0
        at = network.settle()
        if at is not None:
            left = max(0, at - self._elapsed()) / SECOND
            timeout = left if timeout is None else min(left, timeout)
        ready = poll(timeout)
        network.run(max(network.now, self._elapsed()))
        return ready

    def _elapsed(self) -> Instant:
        return time.monotonic_ns() - self._began
