"""The loop, on a socket pair in place of a TAP device; the peer is a host that the same loop serves."""

import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from stack import fastpath
from stack.addresses import ipv4, mac
from stack.clock import SECOND, Instant
from stack.config import HostConfig, InterfaceConfig
from stack.errors import DeviceError
from stack.events import CLOSED, ESTABLISHED
from stack.fastpath.ring import FrameRing
from stack.host import Host
from stack.io.driver import GRACE, Driver
from stack.transport.tcp.connection import Connection

OURS, THEIRS = ipv4("10.77.0.2"), ipv4("10.77.0.1")
PORT = 80


class Device:
    name = "pair0"

    def __init__(self, end: socket.socket) -> None:
        self.fileno = end.fileno


def make_host(address: str, last: int) -> Host:
    interface = InterfaceConfig(mac(f"02:00:00:00:00:0{last}"), ipv4(address), 24)
    config = HostConfig((interface,))
    return Host(config, secret=bytes(32), random=random.Random(last), now=time.monotonic_ns())


class Pair:
    """A driven host, and a peer on the other end of its device."""

    def __init__(self, **options: Callable[[], str | None]) -> None:
        self.ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in self.ends:
            end.setblocking(False)
        self.host = make_host("10.77.0.2", 2)
        self.peer = make_host("10.77.0.1", 1)
        self.driver = Driver(self.host, Device(self.ends[0]), **options)
        self.stopped = False
        self._ring = FrameRing(1518)
        self.driver.watch(self.ends[1].fileno(), self.serve_peer)

    def serve_peer(self) -> None:
        self._ring.clear()
        if fastpath.read_frames(self.ends[1].fileno(), self._ring):
            self.peer.receive(0, self._ring, self.driver.now())
        self.peer.advance(self.driver.now())
        self.peer.dispatch(self.driver.now())
        self.flush_peer()

    def flush_peer(self) -> None:
        while frames := self.peer.take_frames():
            fastpath.write_frames(self.ends[1].fileno(), frames)
            frames.clear()

    def connect(self, on_event: Callable[[int, Instant], None]) -> Connection:
        connection = self.peer.connect(OURS, PORT, self.driver.now())
        connection.handler = on_event
        self.flush_peer()
        return connection

    def run(self, on_stop: Callable[[Instant], None] = lambda now: None) -> float:
        began = time.monotonic()
        self.driver.run(on_stop)
        return time.monotonic() - began

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_frames_and_time_go_in_and_frames_come_out(pair: Pair) -> None:
    replies = []

    def on_reply(source: int, identifier: int, sequence: int, data: bytes, now: Instant) -> None:
        replies.append((source, identifier, sequence, data))
        pair.driver.stop()

    pair.peer.on_echo_reply = on_reply
    pair.peer.ping(OURS, 7, 1, b"hello", pair.driver.now())
    pair.flush_peer()
    pair.run()
    assert replies == [(OURS, 7, 1, b"hello")]
    assert pair.driver.frames_refused == 0


def test_a_timer_fires_at_its_instant_and_not_before(pair: Pair) -> None:
    fired = []
    due = pair.driver.now() + SECOND // 50

    def on_timer(driver: Driver, now: Instant) -> None:
        fired.append(now)
        driver.stop()

    pair.host.timer(on_timer, pair.driver).arm(due)
    pair.run()
    assert len(fired) == 1 and fired[0] >= due


def test_a_failing_timer_is_logged_and_survived(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    def fail(owner: None, now: Instant) -> None:
        raise RuntimeError("a mistake in an application's timer")

    pair.host.timer(fail, None).arm(pair.driver.now())
    pair.host.timer(lambda driver, now: driver.stop(), pair.driver).arm(pair.driver.now() + 1)
    pair.run()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "a mistake in an application's timer" in caplog.text


def accept_all(pair: Pair, handler: Callable[[Connection, int, Instant], None], *, stops: int = 0) -> list[Connection]:
    """Listen on PORT; what is accepted is in the list that is returned, `handler` is its handler.

    The driver is then asked to stop `stops` times.
    """
    listener = pair.host.listen(PORT, pair.driver.now())
    accepted: list[Connection] = []

    def on_acceptable(kinds: int, now: Instant) -> None:
        while connection := pair.host.accept(listener):
            accepted.append(connection)
            connection.handler = lambda kinds, now, connection=connection: handler(connection, kinds, now)
            for _ in range(stops):
                pair.driver.stop()

    listener.handler = on_acceptable
    return accepted


def test_an_application_that_fails_loses_its_connection_only(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    def fail(connection: Connection, kinds: int, now: Instant) -> None:
        raise RuntimeError("a mistake in an application")

    accept_all(pair, fail)
    ended: list[Connection] = []

    def on_client_event(kinds: int, now: Instant) -> None:
        if kinds & ESTABLISHED:
            pair.peer.write(client, b"x", now)
        if kinds & CLOSED:
            ended.append(client)
            pair.driver.stop()

    client = pair.connect(on_client_event)
    pair.run()
    assert ended and isinstance(client.error, ConnectionResetError)
    assert caplog.text.count("Traceback") == 1 and "a mistake in an application" in caplog.text
    assert list(pair.host.connections()) == []


def test_stop_lets_connections_finish(pair: Pair) -> None:
    accepted = accept_all(pair, lambda connection, kinds, now: pair.driver.stop())
    received = []

    def on_client_event(kinds: int, now: Instant) -> None:
        if kinds & ESTABLISHED:
            pair.peer.write(client, b"hello", now)
        received.append(pair.peer.read(client, 100, now))
        if client.at_end_of_stream:
            pair.peer.close(client, now)

    def on_stop(now: Instant) -> None:
        for connection in accepted:
            assert pair.host.read(connection, 100, now) == b"hello"
            pair.host.write(connection, b"goodbye", now)
            pair.host.close(connection, now)

    client = pair.connect(on_client_event)
    assert pair.run(on_stop) < GRACE / SECOND / 2
    assert accepted and b"".join(received) == b"goodbye" and client.error is None


def test_stop_ends_what_does_not_finish(pair: Pair) -> None:
    accepted = accept_all(pair, lambda connection, kinds, now: None, stops=1)
    client = pair.connect(lambda kinds, now: None)
    taken = pair.run()
    assert GRACE / SECOND <= taken < 2
    pair.serve_peer()
    assert accepted and isinstance(client.error, ConnectionResetError)


def test_a_second_stop_does_not_wait(pair: Pair) -> None:
    accept_all(pair, lambda connection, kinds, now: None, stops=2)
    client = pair.connect(lambda kinds, now: None)
    assert pair.run() < GRACE / SECOND / 2
    pair.serve_peer()
    assert isinstance(client.error, ConnectionResetError)


def test_an_application_that_fails_to_stop_is_stopped(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    def fail(now: Instant) -> None:
        raise RuntimeError("no end")

    pair.driver.stop()
    pair.run(fail)
    assert "no end" in caplog.text


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (None, "TAP 'pair0' has failed: "),
        ("was deleted", "TAP 'pair0' was deleted while it was in use"),
    ],
)
def test_a_device_that_fails(trouble: str | None, message: str) -> None:
    reader, writer = os.pipe()

    class Broken:
        name = "pair0"

        def fileno(self) -> int:
            return writer  # it can be waited for, and not be read

    host = make_host("10.77.0.2", 2)
    driver = Driver(host, Broken(), trouble=lambda: trouble)
    os.close(reader)
    with pytest.raises(DeviceError, match=message):
        driver.run(lambda now: None)
    os.close(writer)


def test_a_device_that_is_looked_at_in_time(pair: Pair) -> None:
    pair.close()
    checked = Pair(trouble=lambda: "was set down")
    with pytest.raises(DeviceError, match="TAP 'pair0' was set down while it was in use; start again"):
        checked.driver.check_device()
    checked.close()
