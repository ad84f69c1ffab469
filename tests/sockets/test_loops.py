"""Event loops and blocking calls of one program, on one stack: two hosts on a pair of sockets in place of a device."""

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from stack.aio.install import installed
from stack.aio.underlay import Devices
from stack.errors import DeviceError
from stack.io.engine import Engine
from stack.sockets import Net, patch
from stack.sockets.loops import SharedLoop
from tests.sockets.conftest import CLIENT, LATE, SERVER, in_thread, make_host


class Device:
    name = "pair0"

    def __init__(self, end: socket.socket) -> None:
        self.fileno = end.fileno


class Cable:
    """A net of two hosts; `trouble` is what its devices say of themselves."""

    def __init__(self, resources: ExitStack) -> None:
        self.trouble: str | None = None
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        engines = []
        for number, (end, address) in enumerate(zip(ends, (CLIENT, SERVER), strict=True), 1):
            resources.enter_context(end).setblocking(False)
            engines.append(Engine(make_host(address, number), Device(end), trouble=lambda: self.trouble))
        self.devices = Devices(engines)
        self.net = resources.enter_context(Net(self.devices, {"server.test": SERVER}))


@pytest.fixture
def cable() -> Iterator[Cable]:
    with ExitStack() as resources:
        made = Cable(resources)
        with patch(made.net), installed(made.net.new_loop):
            yield made
    assert not made.net.bound and not made.net.splices


def ask(question: bytes = b"hello\n") -> bytes:
    """Blocks until whoever listens at port 7 has answered."""
    with socket.create_connection((SERVER, 7), LATE) as connection, connection.makefile("rb") as file:
        connection.sendall(question)
        return file.readline()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    writer.close()


def serve_echo() -> None:
    """One connection, in blocking calls."""
    with socket.create_server((SERVER, 7)) as listener, listener.accept()[0] as connection:
        connection.sendall(connection.recv(100))


def test_threads_and_a_loop(cable: Cable) -> None:
    async def main() -> list[bytes]:
        assert isinstance(asyncio.get_running_loop(), SharedLoop)
        async with await asyncio.start_server(echo, SERVER, 7), asyncio.timeout(LATE):
            return await asyncio.gather(*(asyncio.to_thread(ask, b"%d\n" % each) for each in range(5)))

    assert asyncio.run(main()) == [b"%d\n" % each for each in range(5)]


def test_a_blocking_call_in_the_loops_own_thread(cable: Cable) -> None:
    served = in_thread(serve_echo)

    async def main() -> bytes:
        while True:
            try:
                return ask()
            except ConnectionRefusedError:
                await asyncio.sleep(0.001)

    assert asyncio.run(main()) == b"hello\n"
    served.result(LATE)


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def data_received(self, data: bytes) -> None:
        self.told.append((data, threading.get_ident()))

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(None)


@pytest.mark.parametrize("is_running", [True, False])
def test_what_arrives_while_the_loops_thread_is_elsewhere_waits_for_it(cable: Cable, is_running: bool) -> None:
    recorder = Recorder()
    others = []  # to be waited for when no loop runs: until then they may need the stack

    def meanwhile(peer: socket.socket) -> None:
        peer.sendall(b"for the loop")
        peer.close()
        others.append(in_thread(serve_echo))
        while True:
            try:
                assert ask() == b"hello\n"
                break
            except ConnectionRefusedError:
                continue
        assert recorder.told == []

    async def connect(listener: socket.socket) -> socket.socket:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: recorder, SERVER, 8)
        peer, _ = listener.accept()
        if is_running:
            meanwhile(peer)
        return peer

    async def wait() -> None:
        while None not in recorder.told:
            await asyncio.sleep(0.001)

    with socket.create_server((SERVER, 8)) as listener, asyncio.Runner() as runner:
        peer = runner.run(connect(listener))
        if not is_running:
            meanwhile(peer)
        runner.run(asyncio.wait_for(wait(), LATE))
    for other in others:
        other.result(LATE)
    assert recorder.told == [(b"for the loop", threading.get_ident()), None]


def test_of_two_loops_the_second_has_sockets(cable: Cable) -> None:
    async def second() -> bytes:
        assert not isinstance(asyncio.get_running_loop(), SharedLoop)
        reader, writer = await asyncio.open_connection(SERVER, 7)
        writer.write(b"hello\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def first() -> bytes:
        async with await asyncio.start_server(echo, SERVER, 7), asyncio.timeout(LATE):
            return await asyncio.to_thread(asyncio.run, second())

    assert asyncio.run(first()) == b"hello\n"


def test_a_loop_that_is_closed_takes_only_its_own_with_it(cable: Cable) -> None:
    async def main(listener: socket.socket) -> socket.socket:
        await asyncio.get_running_loop().create_connection(Recorder, SERVER, 8)
        peer, _ = listener.accept()
        return peer

    with socket.create_server((SERVER, 8)) as listener:
        with socket.create_connection((SERVER, 8), LATE) as client, listener.accept()[0] as server:
            with asyncio.run(main(listener)) as peer:
                peer.settimeout(LATE)
                with pytest.raises(ConnectionResetError):
                    peer.recv(1)
            client.sendall(b"still there")
            assert server.recv(100) == b"still there"
        assert asyncio.run(main(listener)).close() is None  # another loop


def test_what_a_closed_loop_was_not_told_nobody_is(cable: Cable, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()

    async def main(listener: socket.socket) -> None:
        await asyncio.get_running_loop().create_connection(lambda: recorder, SERVER, 8)

    with socket.create_server((SERVER, 8)) as listener:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main(listener))
        with listener.accept()[0] as peer:
            peer.sendall(b"never read")
            served = in_thread(serve_echo)
            while True:
                try:
                    assert ask() == b"hello\n"  # by when the other has arrived, too
                    break
                except ConnectionRefusedError:
                    continue
            served.result(LATE)
            loop.close()
            asyncio.run(asyncio.sleep(0))
    assert recorder.told == [] and not caplog.records


def test_a_device_that_fails_under_a_loop(cable: Cable, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        cable.trouble = "was removed"
        cable.devices.check()
        await asyncio.sleep(LATE)

    with pytest.raises(DeviceError, match="was removed"):
        asyncio.run(main())
    with pytest.raises(OSError, match="was removed") as caught:
        cable.net.create_connection((SERVER, 7))
    assert caught.value.errno == errno.ENETDOWN


def test_a_device_that_fails_by_itself(cable: Cable, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        cable.trouble = "was removed"
        cable.devices.check()

    with socket.create_server((SERVER, 7)) as listener:
        waiting = in_thread(listener.accept)
        cable.net.call(fail)
        with pytest.raises(OSError):
            waiting.result(LATE)
        with pytest.raises(OSError) as caught:
            cable.net.call(fail)
        assert caught.value.errno == errno.ENETDOWN
    assert "was removed" in caplog.text


def test_a_thread_that_waits_for_a_loop_that_waits_for_it(
    cable: Cable, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.sockets.driver._PATIENCE", 0.01)

    async def main() -> None:
        asking = in_thread(ask)  # which nobody answers, nor can
        while not caplog.records:
            continue
        with pytest.raises(TimeoutError):
            asking.result(0.01)
        asking.add_done_callback(lambda done: done.exception())

    asyncio.run(main())
    assert "a loop's thread must not wait for threads that need the stack" in caplog.text


def test_the_loop_that_runs_cannot_close_the_stack(cable: Cable) -> None:
    async def main() -> None:
        cable.net.close()

    with pytest.raises(RuntimeError, match="cannot be closed"):
        asyncio.run(main())
