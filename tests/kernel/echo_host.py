"""A host of ours on tap0 that sends back what it gets on port 7 (RFC 862), on public names only.

echo_host.py MTU auto|off        one line when it is ready; at the end, by SIGTERM, its counters as JSON
"""

import json
import os
import random
import signal
import sys
import time

from stack.addresses import Network, ipv4, mac
from stack.clock import Instant
from stack.config import HostConfig, InterfaceConfig, RouteConfig
from stack.events import ESTABLISHED
from stack.host import Host
from stack.io.driver import Driver
from stack.io.netlink import KernelSide
from stack.io.signals import Signals
from stack.io.tap import Tap
from stack.transport.tcp.connection import Connection

PORT = 7
READ_SIZE = 1 << 18


class Echo:
    """One connection. What cannot be written is kept, and no more is read until it could."""

    def __init__(self, host: Host, connection: Connection) -> None:
        self._host = host
        self._connection = connection
        self._rest = b""
        connection.handler = self._on_event

    def _on_event(self, kinds: int, now: Instant) -> None:
        host, connection = self._host, self._connection
        if connection.error is not None:
            return
        while True:
            if not self._rest:
                self._rest = host.read(connection, READ_SIZE, now)
            if not self._rest:
                break
            self._rest = self._rest[host.write(connection, self._rest, now) :]
            if self._rest:
                return
        if connection.at_end_of_stream and not kinds & ESTABLISHED:
            host.close(connection, now)


def main(mtu: int, offload: bool) -> None:
    with (
        Signals((signal.SIGTERM,)) as signals,
        Tap("tap0", offload=offload) as tap,
        KernelSide("tap0", persistent=False) as kernel,
    ):
        kernel.configure(mac("02:00:00:00:00:01"), ipv4("10.77.0.1"), 24, mtu)
        interface = InterfaceConfig(mac("02:00:00:00:00:02"), ipv4("10.77.0.2"), 24, mtu, offload=tap.offload)
        config = HostConfig((interface,), (RouteConfig(Network.of(0, 0), ipv4("10.77.0.1")),))
        host = Host(config, secret=os.urandom(32), random=random.SystemRandom(), now=time.monotonic_ns())
        driver = Driver(host, tap)
        listener = host.listen(PORT, driver.now())

        def on_acceptable(kinds: int, now: Instant) -> None:
            while connection := host.accept(listener):
                Echo(host, connection)

        def on_signal() -> None:
            signals.take()
            driver.stop()

        listener.handler = on_acceptable
        driver.watch(signals.fileno(), on_signal)
        print("ready", flush=True)
        driver.run(lambda now: None)
        print(json.dumps({**host.counters, "refused": driver.frames_refused, "offload": tap.offload}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "auto")
