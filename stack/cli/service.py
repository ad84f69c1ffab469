"""The web server on its host, on one queue of the device: what one process of `tapstack serve` runs."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from stack.addresses import MacAddress, Network
from stack.application.http.config import HttpConfig
from stack.application.http.server import HttpServer
from stack.application.site import built_in_site, directory_site
from stack.cli.configuration import ServeSettings
from stack.config import ArpConfig, HostConfig, InterfaceConfig, RouteConfig
from stack.host import Host, Observer
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
            _host_config(settings, offload=tap.offload, announces=announces),
            secret=secret,
            random=random.SystemRandom(),
            observers=[recorder, *observers],
            now=time.monotonic_ns(),
        )
        self.server = _make_server(self.host, settings, recorder)
        self.driver = Driver(self.host, tap, trouble=trouble)

    def run(self, on_start: Callable[[], None]) -> None:
        """Serve until the driver is told to stop; `on_start` is called when a client could come. Raises DeviceError."""
        self.server.start(self.driver.now())
        on_start()
        self.driver.run(on_stop=self.server.stop)

    def log_statistics(self) -> None:
        """Log what has been counted."""
        states = Counter(f"connections_{connection.state.name.lower()}" for connection in self.host.connections())
        fields = {
            "connections": states.total(),
            **states,
            "requests": self.server.totals.requests,
            "frames_refused": self.driver.frames_refused,
            **self.host.counters.nonzero(),
        }
        logger.info("statistics", extra={"fields": fields})


def mac_for(address: int) -> MacAddress:
    """A locally administered address made of the IP address: the same after every start, so no ARP cache is wrong."""
    return MacAddress(b"\x02\x00" + address.to_bytes(4))


def _make_server(host: Host, settings: ServeSettings, recorder: FlightRecorder) -> HttpServer:
    directory = settings.directory
    site = built_in_site(host, recorder) if directory is None else directory_site(directory, host, recorder)
    config = HttpConfig(port=settings.port, wall_clock_offset=time.time_ns() - time.monotonic_ns())
    return HttpServer(host, site, config)


def _host_config(settings: ServeSettings, *, offload: bool, announces: bool) -> HostConfig:
    ours = settings.address
    interface = InterfaceConfig(
        mac_for(ours.address), ours.address, ours.prefix_length, settings.mtu, settings.tap, offload
    )
    # The machine can forward for us, as it does for any host behind it.
    by_default = RouteConfig(Network.of(0, 0), settings.host_address.address)
    arp = ArpConfig() if announces else ArpConfig(announce_number=0)
    return HostConfig((interface,), (by_default,), arp)
