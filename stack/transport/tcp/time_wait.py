"""TIME-WAIT in short (RFC 9293 3.6.1): what it takes to answer the peer of a connection that nobody holds any more.

Connections rest here by the ten thousand, for 2 MSL each, and to most of them nothing ever comes. So little is kept of
them. When a segment does come, the connection is made again from that and processes it, as if it had never been away
(there is one state machine); and then it rests again.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stack.clock import Instant
from stack.transport.flow import FlowKey, Path
from stack.transport.tcp import timeouts
from stack.transport.tcp.connection import Connection
from stack.transport.tcp.sequence import MASK
from stack.transport.tcp.states import State

if TYPE_CHECKING:
    from stack.transport.tcp.protocol import Tcp


class Resting:
    """What is kept of a connection; the names are those of Connection, its Sender and its Receiver."""

    __slots__ = (
        "challenges", "challenges_since", "config", "ds_field", "edge", "linger", "max_wnd", "rcv_nxt", "sack", "shift",
        "snd_nxt", "timestamps",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self.config = connection.config
        self.snd_nxt = connection.sender.nxt
        self.max_wnd = connection.sender.max_wnd
        self.rcv_nxt = connection.receiver.nxt
        self.edge = connection.receiver.edge
        self.shift = connection.receiver.shift
        self.sack = connection.sack
        self.timestamps = connection.timestamps
        self.ds_field = connection.ds_field
        self.challenges = connection.challenges
        self.challenges_since = connection.challenges_since
        self.linger = connection.linger

    def restore(self, connection: Connection) -> None:
        """Make `connection`, which is new, what this was made of."""
        connection.state = State.TIME_WAIT
        connection.is_released = True
        sender, receiver = connection.sender, connection.receiver
        sender.iss = (self.snd_nxt - 1) & MASK
        sender.una = sender.nxt = sender.max = sender.base = self.snd_nxt
        sender.max_wnd = self.max_wnd
        sender.fin_queued = sender.fin_acked = True
        sender.board.start_at(1)  # the FIN counts
        receiver.nxt = receiver.acked = self.rcv_nxt
        receiver.edge = self.edge
        receiver.shift = self.shift
        receiver.has_finished = True
        connection.sack = self.sack
        connection.timestamps = self.timestamps
        connection.user_timeout_option = None
        connection.ds_field = self.ds_field
        connection.challenges = self.challenges
        connection.challenges_since = self.challenges_since
        connection.linger = self.linger
        if connection.linger is not None:
            connection.linger.hand_over(timeouts.on_linger, connection)


class RestingPlace:
    """The connections in TIME-WAIT that nobody holds, the one that has rested longest first."""

    def __init__(self) -> None:
        self._resting: OrderedDict[FlowKey, Resting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._resting)

    def __contains__(self, key: tuple[int, int, int, int]) -> bool:
        return key in self._resting

    def __iter__(self) -> Iterator[FlowKey]:
        return iter(self._resting)

    def put(self, connection: Connection) -> None:
        """`connection` rests, until its linger timer fires."""
        resting = self._resting[connection.key] = Resting(connection)
        if resting.linger is not None:
            resting.linger.hand_over(self._on_linger, connection.key)

    def wake(self, tcp: "Tcp", key: FlowKey, path: Path, now: Instant) -> Connection:
        """The connection of `key`, which does not rest any more."""
        resting = self._resting.pop(key)
        connection = Connection(tcp, key, path, resting.config, resting.snd_nxt, now)
        resting.restore(connection)
        return connection

    def evict(self) -> None:
        """End the one that has rested longest."""
        _, resting = self._resting.popitem(last=False)
        if resting.linger is not None:
            resting.linger.disarm()

    def _on_linger(self, key: FlowKey, _now: Instant) -> None:
        del self._resting[key]
