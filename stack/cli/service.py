"""The web server on its host, on one queue of the device: what one process of `tapstack serve` runs."""

import logging
import random
import time
from collections.abc import Callable, Sequence

from stack.application.http.config import HttpConfig
from stack.application.http.server import HttpServer
from stack.application.site import built_in_site, directory_site
from stack.host import Host, Observer
from stack.io.attachment import host_config
from stack.io.configuration import ServeSettings
from stack.io.driver import Driver
from stack.io.tap import Tap
from stack.virtual.capture import FlightRecorder

logger = logging.getLogger(__name__)


class Service:
    """Host, server and loop. Of several on one device, only one `announces` the address."""

    def __init__(
        self,
        settings: ServeSettings,
        tap: Tap,
        secret: bytes,
        observers: Sequence[Observer] = (),
        *,
        announces: bool = True,
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        recorder = FlightRecorder()
        self.host = Host(
            host_config(settings, offload=tap.offload, announces=announces),
            secret=secret,
            random=random.SystemRandom(),
            observers=[recorder, *observers],
            now=time.monotonic_ns(),
        )
        self.server = _make_server(self.host, settings, recorder)
        self.driver = Driver(self.host, tap, trouble=trouble, loops=settings.workers)

    def run(self, on_start: Callable[[], None]) -> None:
        """Serve until the driver is told to stop; `on_start` is called when a client could come. Raises DeviceError."""
        self.server.start(self.driver.now())
        on_start()
        self.driver.run(on_stop=self.server.stop)

    def log_statistics(self) -> None:
        """Log what has been counted."""
        log_statistics(self.host, self.server.totals.requests, self.driver.frames_refused)


def log_statistics(host: Host, requests: int, frames_refused: int) -> None:
    """Log what `host` has counted, and its server."""
    states = host.states()
    fields = {
        "connections": states.total(),
        **{f"connections_{state.name.lower()}": count for state, count in states.items()},
        "requests": requests,
        "frames_refused": frames_refused,
        **host.counters.nonzero(),
    }
    logger.info("statistics", extra={"fields": fields})


def _make_server(host: Host, settings: ServeSettings, recorder: FlightRecorder) -> HttpServer:
    directory = settings.directory
    site = built_in_site(host, recorder) if directory is None else directory_site(directory, host, recorder)
    config = HttpConfig(port=settings.port, wall_clock_offset=time.time_ns() - time.monotonic_ns())
    return HttpServer(host, site, config)
