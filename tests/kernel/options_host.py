"""A host of ours on tap0 that uses what a socket has options for, on public names only; a port for each.

One line when it is ready, and then a line of JSON for each thing that a test wants to know. Ends with its input.
"""

import json
import os
import random
import time

from stack.addresses import ipv4, mac
from stack.clock import MILLISECOND, Instant
from stack.config import HostConfig, InterfaceConfig, TcpConfig
from stack.events import CLOSED, END_OF_STREAM, READABLE, URGENT
from stack.host import Host
from stack.io.driver import Driver
from stack.io.netlink import KernelSide
from stack.io.tap import Tap
from stack.transport.tcp.connection import Connection

URGENT_PORT, DS_FIELD, USER_TIMEOUT, CORK, CORK_FORGOTTEN = range(7001, 7006)
PATIENCE = 500 * MILLISECOND


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


class Application:
    """One connection."""

    waiting: "Application | None" = None  # for a line on standard input

    def __init__(self, host: Host, connection: Connection) -> None:
        self._host, self._connection = host, connection
        self._text = b""
        self._began: Instant = 0
        connection.handler = self._on_event

    def _on_event(self, kinds: int, now: Instant) -> None:
        host, connection = self._host, self._connection
        port = connection.key.local_port
        if kinds & URGENT:
            tell(urgent_before=len(self._text) + connection.urgent_left)
        if kinds & READABLE:
            self._text += host.read(connection, 1 << 16, now)
            if port == USER_TIMEOUT:
                Application.waiting = self
                tell(waits=True)
            elif port in (CORK, CORK_FORGOTTEN):
                self._write_under_a_cork(port == CORK, now)
            elif port == DS_FIELD:
                tell(received=connection.info().received_dscp)
                connection.dscp = 46
                host.write(connection, b"expedited", now)
        if kinds & END_OF_STREAM and port != USER_TIMEOUT:
            if port == URGENT_PORT:
                tell(text=self._text.decode())
                host.write(connection, b"abcd", now)
                host.write(connection, b"e!", now, urgent=True)
                host.write(connection, b"fgh", now)
            host.close(connection, now)
        if kinds & CLOSED and port == USER_TIMEOUT:
            tell(error=type(connection.error).__name__, after=(now - self._began) // MILLISECOND)

    def _write_under_a_cork(self, is_pulled: bool, now: Instant) -> None:
        self._host.cork(self._connection, True, now)
        for _ in range(10):
            self._host.write(self._connection, bytes(100), now)
        if is_pulled:
            self._host.cork(self._connection, False, now)

    def write_into_the_void(self, now: Instant) -> None:
        self._began = now
        self._connection.set_user_timeout(PATIENCE, now)
        self._host.write(self._connection, b"nobody hears this", now)


def main() -> None:
    with Tap("tap0", offload=True) as tap, KernelSide("tap0", persistent=False) as kernel:
        kernel.configure(mac("02:00:00:00:00:01"), ipv4("10.77.0.1"), 24, 1500)
        interface = InterfaceConfig(mac("02:00:00:00:00:02"), ipv4("10.77.0.2"), 24, offload=tap.offload)
        config = HostConfig((interface,), tcp=TcpConfig(user_timeout_option=True))
        host = Host(config, secret=os.urandom(32), random=random.SystemRandom(), now=time.monotonic_ns())
        driver = Driver(host, tap)

        def listen(port: int) -> None:
            listener = host.listen(port, driver.now())

            def on_acceptable(kinds: int, now: Instant) -> None:
                while connection := host.accept(listener):
                    Application(host, connection)

            listener.handler = on_acceptable

        def on_line() -> None:
            if not os.read(0, 100):
                driver.stop()
            elif Application.waiting is not None:
                Application.waiting.write_into_the_void(driver.now())

        for port in (URGENT_PORT, DS_FIELD, USER_TIMEOUT, CORK, CORK_FORGOTTEN):
            listen(port)
        driver.watch(0, on_line)
        print("ready", flush=True)
        driver.run(lambda now: None)


if __name__ == "__main__":
    main()
