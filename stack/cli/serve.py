"""`tapstack serve`: an HTTP server on our own stack, from opening the device to leaving no trace of it."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

from stack import __version__
from stack.cli import announce
from stack.cli.fleet import Fleet
from stack.cli.link import Link, open_link
from stack.cli.service import Service
from stack.io.capture import Capture
from stack.io.configuration import ServeSettings
from stack.io.descriptors import allow_many
from stack.io.netlink import LinkChanges
from stack.io.sdnotify import notify
from stack.io.signals import TO_ALL, Signals


def run(settings: ServeSettings) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; returns the exit code. Raises DeviceError and ConfigurationError."""
    with Signals(TO_ALL) as signals, ExitStack() as resources:
        link = open_link(settings, resources)
        allow_many()
        changes = resources.enter_context(closing(LinkChanges()))
        serve = _serve_alone if settings.workers == 1 else _serve_in_a_fleet
        serve(settings, link, signals, changes, resources)
    return 0


def _serve_alone(
    settings: ServeSettings, link: Link, signals: Signals, changes: LinkChanges, resources: ExitStack
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
    service.run(lambda: announce.started(settings, link))
    announce.stopped(time.monotonic() - began, service.host.counters, service.server.totals.requests, capture)


def _serve_in_a_fleet(
    settings: ServeSettings, link: Link, signals: Signals, changes: LinkChanges, resources: ExitStack
) -> None:
    fleet = Fleet(settings, link.queues, link.kernel.trouble)
    fleet.watch(signals, lambda: _heed(signals, fleet.stop, fleet.log_statistics))
    fleet.watch_device(changes)
    began = time.monotonic()
    fleet.run(lambda: announce.started(settings, link))
    announce.stopped(time.monotonic() - began, fleet.counters, fleet.requests, None)


def _heed(signals: Signals, stop: Callable[[], None], log_statistics: Callable[[], None]) -> None:
    for number in signals.take():
        if number == signal.SIGUSR1:
            log_statistics()
        else:
            notify("STOPPING=1", os.environ)
            stop()
