"""Ephemeral ports (RFC 6056, algorithm 1: simple port randomization)."""

import errno
from collections.abc import Callable

from stack.transport.flow import RandomSource


def ephemeral_port(port_range: tuple[int, int], random: RandomSource, is_free: Callable[[int], bool]) -> int:
    """A port of `port_range` (both ends included) that `is_free`. Raises OSError(EADDRNOTAVAIL)."""
    low, high = port_range
    count = high - low + 1
    start = random.getrandbits(32) % count
    for step in range(count):
        port = low + (start + step) % count
        if is_free(port):
            return port
    raise OSError(errno.EADDRNOTAVAIL, f"all ephemeral ports from {low} to {high} are in use")
