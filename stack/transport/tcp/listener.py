"""A listener: the LISTEN state, as an object of its own, with a bounded backlog (RFC 9293 3.9.1.1)."""

from typing import TYPE_CHECKING

from stack.addresses import UNSPECIFIED, Ipv4Address
from stack.clock import Instant
from stack.config import TcpConfig
from stack.events import ACCEPTABLE, CLOSED, END_OF_STREAM, READABLE, Handler
from stack.transport.tcp.states import State

if TYPE_CHECKING:
    from stack.transport.tcp.connection import Connection
    from stack.transport.tcp.protocol import Tcp


class Listener:
    """Takes connections for one port of one address, or of all of them (UNSPECIFIED).

    `backlog` bounds the connections that are half open or not yet accepted; what comes beyond it is not answered,
    so that the peer tries again.
    """

    __slots__ = (
        "_accepted",
        "_half_open",
        "_tcp",
        "address",
        "backlog",
        "config",
        "handler",
        "is_closed",
        "pending_events",
        "port",
    )

    def __init__(self, tcp: "Tcp", address: Ipv4Address, port: int, backlog: int, config: TcpConfig) -> None:
        self._tcp = tcp
        self.address = address
        self.port = port
        self.backlog = backlog
        self.config = config
        self.handler: Handler | None = None
        self.pending_events = 0
        self.is_closed = False
        self._half_open: dict[Connection, None] = {}
        self._accepted: dict[Connection, None] = {}

    @property
    def is_full(self) -> bool:
        """Whether the backlog has no room for one more."""
        return len(self._half_open) + len(self._accepted) >= self.backlog

    @property
    def acceptable(self) -> int:
        """Connections that wait to be accepted."""
        return len(self._accepted)

    def add(self, connection: "Connection") -> None:
        """A SYN has arrived."""
        connection.listener = self
        self._half_open[connection] = None

    def on_established(self, connection: "Connection") -> None:
        """The handshake is complete."""
        del self._half_open[connection]
        self._accepted[connection] = None
        self._tcp.events.post(self, ACCEPTABLE)

    def forget(self, connection: "Connection") -> None:
        """The connection is over before anybody accepted it."""
        self._half_open.pop(connection, None)
        self._accepted.pop(connection, None)

    def accept(self) -> "Connection | None":
        """The oldest established connection that nobody has accepted yet."""
        if not self._accepted:
            return None
        connection = next(iter(self._accepted))
        del self._accepted[connection]
        connection.listener = None
        kinds = READABLE if connection.readable else 0
        if connection.receiver.has_finished:
            kinds |= END_OF_STREAM
        if connection.state is State.TIME_WAIT:
            kinds |= CLOSED
        if kinds:
            connection.post(kinds)
        return connection

    def close(self, now: Instant) -> None:
        """Stop listening; connections that nobody has accepted are reset."""
        if self.is_closed:
            return
        self.is_closed = True
        self.handler = None
        self._tcp.remove_listener(self)
        for connection in [*self._half_open, *self._accepted]:
            connection.abort(now)

    def __repr__(self) -> str:
        where = "*" if self.address == UNSPECIFIED else self.address
        return f"<Listener {where}:{self.port}>"
