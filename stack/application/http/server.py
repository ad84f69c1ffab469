"""The HTTP server: a listener, and what all connections share."""

from dataclasses import dataclass

from stack.application.http.config import HttpConfig
from stack.application.http.messages import Handler
from stack.clock import Instant
from stack.host import Host


@dataclass(slots=True)
class Totals:
    """What the server has done since it was started."""

    connections: int = 0
    requests: int = 0
    refused_connections: int = 0
    octets_sent: int = 0


class HttpServer:
    """Serves `handler` on `host` from start() to stop()."""

    def __init__(self, host: Host, handler: Handler, config: HttpConfig) -> None:
        self.totals = Totals()
        self._host = host
        self._handler = handler
        self._config = config

    def start(self, now: Instant) -> None:
        """Listen. Raises OSError."""
        self._host.listen(self._config.port, now)

    def stop(self, now: Instant) -> None:
        """Accept no more; close what is idle at once, and the rest when it is done."""
