"""The HTTP server: a listener, and what all connections share."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from stack.addresses import show_ipv4
from stack.application.http.config import HttpConfig
from stack.application.http.connection import HttpConnection
from stack.application.http.dates import WallClock
from stack.application.http.messages import Handler, Refusal, Request, Response
from stack.application.http.reading import Head, HeadReader, make_head_reader
from stack.application.http.reading.framing import Framing, framing_of
from stack.application.http.targets import Target, parse_target
from stack.clock import Instant
from stack.host import Host
from stack.transport.tcp.listener import Listener

logger = logging.getLogger(__name__)

_REMEMBERED: Final = 256
_REMEMBERED_LENGTH: Final = 1024


@dataclass(slots=True)
class Totals:
    """What a server has done since it was made, and how many connections it has."""

    open_connections: int = 0
    connections: int = 0
    refused_connections: int = 0
    requests: int = 0
    octets_sent: int = 0


class HttpServer:
    """Serves `handler` on `host` from start() to stop(); everything happens in the host's events."""

    def __init__(self, host: Host, handler: Handler, config: HttpConfig, head_reader: HeadReader | None = None) -> None:
        self.host = host
        self.handler = handler
        self.config = config
        self.head_reader = head_reader or make_head_reader()
        self.clock = WallClock(config.wall_clock_offset)
        self.totals = Totals()
        self.held = 0
        """Octets that connections hold while they wait: for the rest of a request, or for room in TCP."""
        self.is_stopping = False
        self.logs_requests = False
        self._listener: Listener | None = None
        self._connections: dict[HttpConnection, None] = {}
        self._remember = lru_cache(maxsize=_REMEMBERED)(self._understand)

    def start(self, now: Instant) -> None:
        """Listen. Raises OSError."""
        self.logs_requests = logger.isEnabledFor(logging.DEBUG)
        self._listener = self.host.listen(self.config.port, now)
        self._listener.handler = self._on_listener

    def stop(self, now: Instant) -> None:
        """Accept no more; close what is idle at once, and the rest when it has been answered."""
        self.is_stopping = True
        if self._listener is not None:
            self.host.close_listener(self._listener, now)
            self._listener = None
        for connection in list(self._connections):
            connection.stop(now)

    def understand(self, octets: bytes) -> tuple[Head, Framing, Target]:
        """What a header section says, from the request line to the empty line. Raises Refusal.

        Clients send the same octets again and again, and to read them again would be half of the work that a small
        request makes. So what short ones say is remembered, to a bound of 256 KiB of octets.
        """
        return self._remember(octets) if len(octets) <= _REMEMBERED_LENGTH else self._understand(octets)

    def _understand(self, octets: bytes) -> tuple[Head, Framing, Target]:
        head = self.head_reader.read(octets)
        if len(head.fields) > self.config.max_fields:
            raise Refusal(431, f"A request has at most {self.config.max_fields} header fields here.")
        return head, framing_of(head), parse_target(head.method, head.target)

    def log(self, request: Request, response: Response) -> None:
        """Log that `request` gets `response`, whose length is -1 when it is not known beforehand."""
        key = request.connection.key
        fields = {
            "client": f"{show_ipv4(key.remote_addr)}:{key.remote_port}",
            "method": request.method,
            "target": request.target,
            "status": response.status,
            "length": -1 if response.length is None else response.length,
        }
        logger.debug("request", extra={"fields": fields})

    def unavailable(self, why: str) -> Refusal:
        """What to answer to a request too many."""
        return Refusal(503, why, [("Retry-After", str(self.config.retry_after))])

    def forget(self, connection: HttpConnection) -> None:
        """`connection` is over."""
        if connection in self._connections:
            del self._connections[connection]
            self.totals.open_connections -= 1

    def _on_listener(self, kinds: int, now: Instant) -> None:
        assert self._listener is not None  # stop() takes the handler away
        config, totals = self.config, self.totals
        while (connection := self.host.accept(self._listener)) is not None:
            if totals.open_connections >= config.max_connections + config.max_refusals:
                totals.refused_connections += 1
                self.host.abort(connection, now)
                continue
            served = HttpConnection(self, connection, now)
            self._connections[served] = None
            totals.open_connections += 1
            totals.connections += 1
            if totals.open_connections > config.max_connections:
                totals.refused_connections += 1
                served.refuse(self.unavailable("The server has too many connections."), now)
