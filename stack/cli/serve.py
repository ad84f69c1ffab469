"""`tapstack serve`: an HTTP server on our own stack, from opening the device to leaving no trace of it."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass

from stack import __version__
from stack.cli import announce
from stack.cli.fleet import Fleet
from stack.cli.service import Service
from stack.io.attachment import open_device
from stack.io.capture import Capture
from stack.io.configuration import ServeSettings, check_directory
from stack.io.netlink import KernelSide, LinkChanges
from stack.io.privileges import User, become, sudo_user
from stack.io.sdnotify import notify
from stack.io.signals import Signals
from stack.io.tap import Tap


def run(settings: ServeSettings) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code. Raises DeviceError and ConfigurationError."""
    with Signals((signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)) as signals, ExitStack() as resources:
        link = _open_link(settings, resources)
        changes = resources.enter_context(closing(LinkChanges()))
        serve = _serve_alone if settings.workers == 1 else _serve_in_a_fleet
        serve(settings, link, signals, changes, resources)
    return 0


@dataclass(frozen=True, slots=True)
class _Link:
    """The device, a queue of it for each worker, its kernel side, and who we are since it is open."""

    queues: list[Tap]
    kernel: KernelSide
    user: User | None


def _open_link(settings: ServeSettings, resources: ExitStack) -> _Link:
    """Open and configure the device, then drop root's privileges: nothing later needs them."""
    queues, kernel = open_device(settings, resources)
    user = sudo_user(os.environ)
    if user:
        kernel.delegate_undo()
        become(user)
        if settings.directory is not None:
            check_directory(settings.directory)
    return _Link(queues, kernel, user)


def _serve_alone(
    settings: ServeSettings, link: _Link, signals: Signals, changes: LinkChanges, resources: ExitStack
) -> None:
    capture = None
    if settings.capture is not None:
        application = f"tapstack {__version__}"
        capture = resources.enter_context(
            closing(Capture(settings.capture, settings.tap, os.uname().machine, application))
        )
    observers = [capture] if capture else []
    service = Service(settings, link.queues[0], os.urandom(32), observers, trouble=link.kernel.trouble)
    driver = service.driver

    def on_link_change() -> None:
        changes.drain()
        driver.check_device()

    driver.watch(signals.fileno(), lambda: _heed(signals, driver.stop, service.log_statistics))
    driver.watch(changes.fileno(), on_link_change)
    began = time.monotonic()
    service.run(lambda: _announce(settings, link))
    announce.stopped(time.monotonic() - began, service.host.counters, service.server.totals.requests, capture)


def _serve_in_a_fleet(
    settings: ServeSettings, link: _Link, signals: Signals, changes: LinkChanges, resources: ExitStack
) -> None:
    fleet = Fleet(settings, link.queues, link.kernel.trouble)
    fleet.watch(signals, lambda: _heed(signals, fleet.stop, fleet.log_statistics))
    fleet.watch_device(changes)
    began = time.monotonic()
    fleet.run(lambda: _announce(settings, link))
    announce.stopped(time.monotonic() - began, fleet.counters, fleet.requests, None)


def _announce(settings: ServeSettings, link: _Link) -> None:
    announce.started(settings, link.user, persistent=link.queues[0].persistent)
    notify("READY=1", os.environ)


def _heed(signals: Signals, stop: Callable[[], None], log_statistics: Callable[[], None]) -> None:
    for number in signals.take():
        if number == signal.SIGUSR1:
            log_statistics()
        else:
            notify("STOPPING=1", os.environ)
            stop()
