"""Event loops of a program that has sockets, too: while one runs, the hosts are driven by it (stack.sockets.driver)."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from stack.addresses import Ipv4Address
from stack.aio.loop import StackLoop
from stack.aio.underlay import Devices, Poll
from stack.clock import Instant
from stack.errors import DeviceError
from stack.sockets.driver import Driver, may_be_told

_Events = TypeVar("_Events")


class Visit:
    """`devices`, which are `driver`'s, as the underlay of an event loop."""

    def __init__(self, devices: Devices, driver: Driver) -> None:
        self.hosts = devices.hosts
        self.now = devices.now
        self.filenos = devices.filenos
        self._devices = devices
        self._driver = driver

    def turn(self, poll: Poll[_Events], timeout: float | None) -> Sequence[_Events]:
        """See Underlay. Raises DeviceError: then nobody has the stack any more."""
        try:
            return self._devices.turn(poll, timeout)
        except DeviceError as error:
            self._driver.fail(error)
            raise

    def rest(self) -> None:
        """Nothing: the driver goes on."""

    def close(self) -> None:
        """End the connections that the loop has left open; those that it has closed are the driver's to finish."""

        def end() -> None:
            now: Instant = self.now()
            for host in self.hosts:
                for connection in list(host.connections()):
                    if connection.handler is not None and not may_be_told(connection):
                        connection.handler = None
                        host.abort(connection, now)
            for engine in self._devices.engines:
                engine.forget_held()

        try:
            self._driver.call(end)
        except OSError:
            return  # they have ended with the stack


class SharedLoop(StackLoop):
    """A loop that has the hosts while it runs."""

    def __init__(
        self, devices: Devices, driver: Driver, names: Mapping[str, str], dns_servers: Sequence[Ipv4Address]
    ) -> None:
        super().__init__(Visit(devices, driver), names, dns_servers)
        self._driver = driver
        self.add_reader(driver.desk(), driver.step)

    def run_forever(self) -> None:
        """See AbstractEventLoop."""
        with self._driver.held():
            super().run_forever()
