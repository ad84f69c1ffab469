"""`tapstack serve --workers N`: N processes, each with a queue of the device and a host of the same address.

The kernel hands a connection's frames always to the same queue, so a connection is one worker's from its SYN to its
end. The queues stay open in the supervisor, so that the kernel does not deal connections anew when a worker dies; its
own are lost, and the next worker resets them when their clients send something.
"""

import json
import os
from collections.abc import Callable, Sequence

from stack.cli.service import Service
from stack.counters import Counters
from stack.errors import DeviceError
from stack.io.configuration import ServeSettings
from stack.io.engine import device_lost
from stack.io.netlink import LinkChanges
from stack.io.sharing import Sharing, mailboxes
from stack.io.tap import Tap
from stack.io.workers import READY, STATISTICS, TOTALS, Channel, Supervisor, Watchable


class Fleet:
    """The workers on `queues`; `trouble` says what has become of the device, as in Driver."""

    def __init__(self, settings: ServeSettings, queues: Sequence[Tap], trouble: Callable[[], str | None]) -> None:
        self.counters = Counters()
        """After run(): what all the workers have counted; not those that were killed."""
        self.requests = 0
        self._settings = settings
        self._queues = queues
        self._trouble = trouble
        self._boxes = mailboxes(len(queues))
        self._secret = os.urandom(32)  # one for all: who comes after a worker continues its sequence numbers (RFC 6528)
        self._supervisor = Supervisor(len(queues), self._work)

    def watch(self, source: Watchable, action: Callable[[], None]) -> None:
        """Call `action` whenever `source` is readable; it is to read it."""
        self._supervisor.watch(source, action)

    def watch_device(self, changes: LinkChanges) -> None:
        """End with an error when the device is gone or down."""

        def on_change() -> None:
            changes.drain()
            self._check_device()

        self.watch(changes, on_change)

    def stop(self) -> None:
        """End run() in order; twice: at once."""
        self._supervisor.stop()

    def log_statistics(self) -> None:
        """Have every worker log what it has counted."""
        self._supervisor.tell_statistics()

    def run(self, on_start: Callable[[], None]) -> None:
        """Serve until stop(); `on_start` is called when all do. Raises DeviceError."""
        try:
            self._supervisor.run(on_start)
        except DeviceError:
            self._check_device()  # it is the better explanation
            raise
        for report in self._supervisor.totals:
            totals = json.loads(report)
            self.requests += totals["requests"]
            for name, count in totals["counters"].items():
                self.counters[name] += count

    def _check_device(self) -> None:
        if trouble := self._trouble():
            raise device_lost(self._settings.tap, trouble)

    def _work(self, number: int, channel: Channel) -> None:
        """What one worker does."""
        sharing = Sharing(number, self._boxes)
        service = Service(self._settings, self._queues[number], self._secret, [sharing], announces=number == 0)
        driver = service.driver

        def on_request() -> None:
            if channel.receive() == STATISTICS:
                service.log_statistics()
            else:
                driver.stop()  # asked to, or left alone by the supervisor

        driver.watch(channel.fileno(), on_request)
        driver.watch(sharing.fileno(), lambda: sharing.deliver(service.host, driver.now()))
        service.run(lambda: channel.send(READY))
        totals = {"requests": service.server.totals.requests, "counters": service.host.counters.nonzero()}
        channel.send(TOTALS + json.dumps(totals).encode())
