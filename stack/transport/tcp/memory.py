"""What all connections of a host hold together: octets written, arrived, and waiting for a gap to close.

A connection's buffers bound what it can make us hold; ten thousand of them need a bound of the host's own. What is
held is counted where it is held. From three quarters of the limit on, no buffer grows, and no window is opened further
than has been promised. At the limit what arrived out of order is dropped, the oldest first: the peer still has it,
whatever our SACK option said (RFC 2018 section 8). What then arrives in order is dropped, too, as if it had been lost
on the way, and applications can write no more. But a connection may always hold RESERVE octets each way, so that all
get on, however slowly.
"""

from typing import Final, Protocol

from stack.counters import Counters

RESERVE: Final = 4096


class Droppable(Protocol):
    """Who holds octets that can be dropped."""

    def drop_out_of_order(self) -> None:
        """Forget what waits for a gap to close."""


class Memory:
    """`used` octets of at most `limit`, but for the reserves of connections; who holds octets changes `used`."""

    __slots__ = ("_counters", "_gaps", "_tight", "limit", "used")

    def __init__(self, limit: int, counters: Counters) -> None:
        self._counters = counters
        self.limit = limit
        self.used = 0
        self._tight = limit - limit // 4
        self._gaps: dict[Droppable, None] = {}  # the oldest first

    @property
    def is_tight(self) -> bool:
        """Whether there is so little left that nobody may have more than has been promised."""
        return self.used >= self._tight

    def room(self, held: int) -> int:
        """How many octets one may add who holds `held`."""
        return max(self.limit - self.used, RESERVE - held, 0)

    def make_room(self, octets: int) -> bool:
        """Drop what arrived out of order, the oldest first, until there is room for `octets`; False: there is none."""
        while self.used + octets > self.limit and self._gaps:
            self._counters["TcpExtOfoPruned"] += 1
            next(iter(self._gaps)).drop_out_of_order()
        return self.used + octets <= self.limit

    def hold_gap(self, holder: Droppable, octets: int) -> None:
        """`holder` has taken `octets` more for what arrived out of order."""
        self.used += octets
        self._gaps.setdefault(holder)

    def close_gap(self, holder: Droppable, octets: int) -> None:
        """`holder` has given back the `octets` that it took."""
        self.used -= octets
        self._gaps.pop(holder, None)
