"""`tapstack serve`: an HTTP server on our own stack, from opening the device to leaving no trace of it."""

import logging
import os
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass

from stack import __version__
from stack.addresses import MacAddress, Network
from stack.application.http.config import HttpConfig
from stack.application.http.server import HttpServer
from stack.application.site import built_in_site, directory_site
from stack.cli import announce
from stack.cli.configuration import ServeSettings, check_directory
from stack.config import HostConfig, InterfaceConfig, RouteConfig
from stack.host import Host
from stack.io.capture import Capture
from stack.io.driver import Driver
from stack.io.netlink import KernelSide, LinkChanges, check_subnet_is_free
from stack.io.privileges import User, become, sudo_user
from stack.io.sdnotify import notify
from stack.io.signals import Signals
from stack.io.tap import Tap
from stack.virtual.capture import FlightRecorder

logger = logging.getLogger(__name__)


def run(settings: ServeSettings) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code. Raises DeviceError and ConfigurationError."""
    with Signals((signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)) as signals, ExitStack() as resources:
        link = _open_link(settings, resources)
        daemon = _Daemon(settings, link, resources)
        daemon.run(signals)
    return 0


@dataclass(frozen=True, slots=True)
class _Link:
    """The device, its kernel side, and who we are since it is open."""

    tap: Tap
    kernel: KernelSide
    user: User | None


def _open_link(settings: ServeSettings, resources: ExitStack) -> _Link:
    """Open and configure the device, then drop root's privileges: nothing later needs them."""
    check_subnet_is_free(settings.host_address.network, settings.tap, chosen_by_user=not settings.default_subnet)
    tap = resources.enter_context(Tap(settings.tap, offload=settings.offload == "auto"))
    kernel = resources.enter_context(KernelSide(tap.name, persistent=tap.persistent))
    host_side = settings.host_address
    kernel.configure(_mac(host_side.address), host_side.address, host_side.prefix_length, settings.mtu)
    user = sudo_user(os.environ)
    if user:
        kernel.delegate_undo()
        become(user)
        if settings.directory is not None:
            check_directory(settings.directory)
    return _Link(tap, kernel, user)


def _mac(address: int) -> MacAddress:
    """A locally administered address made of the IP address: the same after every start, so no ARP cache is wrong."""
    return MacAddress(b"\x02\x00" + address.to_bytes(4))


class _Daemon:
    """The host on its link, and what goes on around it."""

    def __init__(self, settings: ServeSettings, link: _Link, resources: ExitStack) -> None:
        self._settings = settings
        self._link = link
        self._started = time.monotonic()
        self._capture = None
        if settings.capture is not None:
            application = f"tapstack {__version__}"
            self._capture = resources.enter_context(
                closing(Capture(settings.capture, link.tap.name, os.uname().machine, application))
            )
        recorder = FlightRecorder()
        self._host = Host(
            _host_config(settings, offload=link.tap.offload),
            secret=os.urandom(32),
            random=random.SystemRandom(),
            observers=[recorder, self._capture] if self._capture else [recorder],
            now=time.monotonic_ns(),
        )
        self._server = _make_server(self._host, settings, recorder)
        self._driver = Driver(self._host, link.tap, trouble=link.kernel.trouble)
        self._changes = resources.enter_context(closing(LinkChanges()))

    def run(self, signals: Signals) -> None:
        """Serve until a signal says stop."""
        driver, settings = self._driver, self._settings
        self._server.start(driver.now())
        driver.watch(signals.fileno(), lambda: self._on_signals(signals))
        driver.watch(self._changes.fileno(), self._on_link_change)
        announce.started(settings, self._link.user, persistent=self._link.tap.persistent)
        notify("READY=1", os.environ)
        driver.run(on_stop=self._server.stop)
        requests = self._server.totals.requests
        announce.stopped(time.monotonic() - self._started, self._host.counters, requests, self._capture)

    def _on_signals(self, signals: Signals) -> None:
        for number in signals.take():
            if number == signal.SIGUSR1:
                self._log_statistics()
            else:
                notify("STOPPING=1", os.environ)
                self._driver.stop()

    def _on_link_change(self) -> None:
        self._changes.drain()
        self._driver.check_device()

    def _log_statistics(self) -> None:
        states = Counter(f"connections_{connection.state.name.lower()}" for connection in self._host.connections())
        fields = {
            "connections": states.total(),
            **states,
            "requests": self._server.totals.requests,
            "frames_refused": self._driver.frames_refused,
            **self._host.counters.nonzero(),
        }
        logger.info("statistics", extra={"fields": fields})


def _make_server(host: Host, settings: ServeSettings, recorder: FlightRecorder) -> HttpServer:
    directory = settings.directory
    site = built_in_site(host, recorder) if directory is None else directory_site(directory, host, recorder)
    config = HttpConfig(port=settings.port, wall_clock_offset=time.time_ns() - time.monotonic_ns())
    return HttpServer(host, site, config)


def _host_config(settings: ServeSettings, *, offload: bool) -> HostConfig:
    ours = settings.address
    interface = InterfaceConfig(
        _mac(ours.address), ours.address, ours.prefix_length, settings.mtu, settings.tap, offload
    )
    # The machine can forward for us, as it does for any host behind it.
    by_default = RouteConfig(Network.of(0, 0), settings.host_address.address)
    return HostConfig((interface,), (by_default,))
