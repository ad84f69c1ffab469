"""asyncio's datagram endpoints over the stack, in virtual time; the kernel's are on its loopback."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from stack.aio.datagram import BURST
from tests.aio.conftest import CLIENT, SERVER, World


class Peer(asyncio.DatagramProtocol):
    """Remembers everything; with `echo`, answers."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.got: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.calls: list[str] = []
        self.arrived = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.calls.append("made")
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(f"lost {exc}")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append((data, addr))
        self.arrived.set()
        if self.echo:
            self.transport.sendto(data.upper(), addr)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.arrived.set()

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


async def endpoint(*arguments: Any, echo: bool = False, **options: Any) -> Peer:
    _, peer = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Peer(echo=echo), *arguments, **options)
    return peer


@pytest.fixture
def kernel_socket() -> Iterator[socket.socket]:
    """On the machine's loopback; it never waits, for what is sent there has arrived."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(0)
        yield made


def test_a_server_and_a_connected_client(world: World) -> None:
    async def main() -> None:
        server = await endpoint((SERVER, 53), echo=True)
        client = await endpoint(remote_addr=("server.test", 53))
        client.transport.sendto(b"one")
        client.transport.sendto(b"two", (SERVER, 53))
        await asyncio.sleep(1)
        own = client.transport.get_extra_info("sockname")
        assert client.transport.get_extra_info("peername") == (SERVER, 53) and own[0] == CLIENT
        assert server.got == [(b"one", own), (b"two", own)]
        assert client.got == [(b"ONE", (SERVER, 53)), (b"TWO", (SERVER, 53))]
        assert server.transport.get_extra_info("sockname") == (SERVER, 53)
        assert server.transport.get_extra_info("peername") is None
        face = server.transport.get_extra_info("socket")
        assert (face.family, face.type, face.getsockname()) == (socket.AF_INET, socket.SOCK_DGRAM, (SERVER, 53))
        with pytest.raises(OSError, match="not connected"):
            face.getpeername()
        with pytest.raises(ValueError, match="Invalid address"):
            client.transport.sendto(b"x", (SERVER, 54))
        with pytest.raises(TypeError, match="bytes-like"):
            client.transport.sendto("text")
        with pytest.raises(ValueError, match="has to be told"):
            server.transport.sendto(b"x")
        server.transport.close()
        client.transport.close()
        client.transport.close()
        assert client.transport.is_closing() and client.calls == ["made"]
        await asyncio.sleep(0)
        assert client.calls == ["made", "lost None"]
        again = await endpoint((SERVER, 53))
        again.transport.abort()

    world.run(main)


def test_a_connected_endpoint_hears_its_peer_only(world: World) -> None:
    async def main() -> None:
        server = await endpoint((SERVER, 53))
        stranger = await endpoint((SERVER, 54))
        client = await endpoint((CLIENT, 7000), (SERVER, 53))
        stranger.transport.sendto(b"forged", (CLIENT, 7000))
        server.transport.sendto(b"true", (CLIENT, 7000))
        await asyncio.sleep(1)
        assert client.got == [(b"true", (SERVER, 53))]

    world.run(main)


def test_nobody_listens_there(world: World) -> None:
    async def main() -> None:
        connected = await endpoint(remote_addr=(SERVER, 9))
        unbound = await endpoint(family=socket.AF_INET)
        connected.transport.sendto(b"?")
        unbound.transport.sendto(b"?", (SERVER, 9))
        await asyncio.sleep(1)
        for peer in (connected, unbound):
            (error,) = peer.errors
            assert isinstance(error, ConnectionRefusedError) and not peer.transport.is_closing()

    world.run(main)


def test_what_arrives_before_the_protocol_is_there_waits_in_order(world: World) -> None:
    async def main() -> list[bytes]:
        client = await endpoint(remote_addr=(SERVER, 53))
        client.transport.sendto(b"arp")  # so that what follows does not wait for it
        await asyncio.sleep(1)
        making = asyncio.ensure_future(endpoint((SERVER, 53)))
        await asyncio.sleep(0)
        for number in range(3):
            client.transport.sendto(b"%d" % number)
        server = await making
        await asyncio.sleep(1)
        return [data for data, _ in server.got]

    assert world.run(main) == [b"0", b"1", b"2"]


def test_more_than_a_turn_may_send_waits_and_pauses_the_protocol(world: World) -> None:
    count = 3 * BURST // 1000

    async def main() -> None:
        server = await endpoint((SERVER, 53))
        client = await endpoint(remote_addr=(SERVER, 53))
        client.transport.sendto(b"arp")
        await asyncio.sleep(1)
        client.transport.set_write_buffer_limits(high=10_000)
        for number in range(count):
            client.transport.sendto(number.to_bytes(2) * 500)
        assert client.transport.get_write_buffer_size() > 10_000
        client.transport.close()
        assert client.calls == ["made", "pause"]
        await asyncio.sleep(1)
        assert client.calls == ["made", "pause", "resume", "lost None"]
        assert [int.from_bytes(data[:2]) for data, _ in server.got[1:]] == list(range(count))

    world.run(main)
    assert not world.client.counters["EthOutRingFull"]


def test_a_datagram_that_is_too_long_is_an_error_received(world: World) -> None:
    async def main() -> None:
        client = await endpoint(remote_addr=(SERVER, 53))
        client.transport.sendto(bytes(70_000))
        assert [error.errno for error in client.errors if isinstance(error, OSError)] == [errno.EMSGSIZE]
        client.transport.abort()

    world.run(main)


def test_a_protocol_that_fails_gets_the_next_datagram(world: World) -> None:
    class Failing(Peer):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            raise RuntimeError("oh")

    async def main() -> None:
        _, server = await asyncio.get_running_loop().create_datagram_endpoint(Failing, (SERVER, 53))
        client = await endpoint(remote_addr=(SERVER, 53))
        client.transport.sendto(b"1")
        client.transport.sendto(b"2")
        await asyncio.sleep(1)
        assert [data for data, _ in server.got] == [b"1", b"2"]

    world.run(main)
    assert [str(each["exception"]) for each in world.errors] == ["oh", "oh"]
    world.errors.clear()


@pytest.mark.parametrize("how", ["bound to any port", "not bound", "a socket", "a socket of IPv6"])
def test_an_unbound_endpoint_reaches_the_stack_and_the_kernel(
    world: World, kernel_socket: socket.socket, how: str
) -> None:
    async def main() -> None:
        server = await endpoint((SERVER, 53), echo=True)
        at = kernel_socket.getsockname()
        mapped = how == "a socket of IPv6"
        if how == "bound to any port":
            client = await endpoint(("0.0.0.0", 0))
            assert client.transport.get_extra_info("sockname")[1]
        elif how == "not bound":
            client = await endpoint(family=socket.AF_INET)
        else:
            given = socket.socket(socket.AF_INET6 if mapped else socket.AF_INET, socket.SOCK_DGRAM)
            if mapped:
                given.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            given.bind(("::", 0, 0, 0) if mapped else ("0.0.0.0", 0))
            client = await endpoint(sock=given)

        def to(address: Any) -> Any:
            return (f"::ffff:{address[0]}", address[1], 0, 0) if mapped else address

        client.transport.sendto(b"stack", to((SERVER, 53)))
        client.transport.sendto(b"kernel", to(at))
        await asyncio.sleep(1)
        data, back = kernel_socket.recvfrom(100)
        assert data == b"kernel"
        kernel_socket.sendto(b"KERNEL", back)
        await client.arrived.wait()
        await asyncio.sleep(1)
        assert sorted(client.got) == [(b"KERNEL", to(at)), (b"STACK", to((SERVER, 53)))]
        assert server.got[0][1][0] == CLIENT
        client.transport.close()
        await asyncio.sleep(1)

    world.run(main)


def test_an_endpoint_that_ends_while_the_kernels_is_being_made(world: World, kernel_socket: socket.socket) -> None:
    async def main() -> None:
        client = await endpoint(("0.0.0.0", 0))
        client.transport.sendto(b"kernel", kernel_socket.getsockname())
        await asyncio.sleep(0)
        client.transport.abort()
        await asyncio.sleep(1)
        assert client.calls[-1] == "lost None"
        with pytest.raises(BlockingIOError):
            kernel_socket.recv(100)

    world.run(main)


def test_what_is_the_stacks_never_goes_to_the_kernel(world: World) -> None:
    async def main() -> None:
        kernels = await endpoint(("127.0.0.1", 0))
        routed = await endpoint(("0.0.0.0", 0))
        kernels.transport.sendto(b"x", (SERVER, 53))
        routed.transport.sendto(b"x", ("10.0.0.77", 53))  # nobody has this one
        routed.transport.sendto(b"x", ("no.literal", 53))
        assert [error.errno for error in kernels.errors if isinstance(error, OSError)] == [errno.ENETUNREACH]
        assert [error.errno for error in routed.errors if isinstance(error, OSError)] == [errno.EDESTADDRREQ]
        with pytest.raises(OSError, match="no host's"):
            await endpoint(("10.0.0.77", 53))
        with pytest.raises(OSError, match=r"is the stack's, and 127[.]0[.]0[.]1 is not"):
            await endpoint(("127.0.0.1", 0), (SERVER, 53))
        await asyncio.sleep(10)
        assert [error.errno for error in routed.errors if isinstance(error, OSError)][1:] == [errno.EHOSTUNREACH]
        for peer in (kernels, routed):
            peer.transport.close()
        await asyncio.sleep(0)

    world.run(main)


def test_what_is_the_kernels_stays_there(world: World, kernel_socket: socket.socket) -> None:
    async def main() -> None:
        client = await endpoint(remote_addr=kernel_socket.getsockname())
        client.transport.sendto(b"connected")
        assert kernel_socket.recv(100) == b"connected"
        client.transport.close()
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="unexpected address family"):
            await endpoint()
        with pytest.raises(ValueError, match="socket modifier keyword arguments"):
            await endpoint(("0.0.0.0", 0), sock=kernel_socket)

    world.run(main)


def test_a_port_of_all_addresses_is_that_of_every_host(world: World) -> None:
    async def main() -> None:
        server = await endpoint(("0.0.0.0", 5353), echo=True)
        client = await endpoint((CLIENT, 0))
        client.transport.sendto(b"hello", (SERVER, 5353))
        await asyncio.sleep(1)
        assert client.got == [(b"HELLO", (SERVER, 5353))]
        assert server.transport.get_extra_info("sockname") == ("0.0.0.0", 5353)
        with pytest.raises(OSError, match="in use"):
            await endpoint(("0.0.0.0", 5353))

    world.run(main)


@pytest.mark.parametrize("address", [SERVER, "0.0.0.0"])
def test_a_socket_that_a_server_has_bound_hears_the_stack(world: World, address: str) -> None:
    async def main() -> None:
        given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        given.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND, for which Python has no name
        given.bind((address, 0))
        port = given.getsockname()[1]
        server = await endpoint(sock=given, echo=True)
        assert server.transport.get_extra_info("sockname") == (address, port)
        client = await endpoint((CLIENT, 0))
        client.transport.sendto(b"hello", (SERVER, port))
        await asyncio.sleep(1)
        assert client.got == [(b"HELLO", (SERVER, port))]
        server.transport.close()
        client.transport.close()
        await asyncio.sleep(0.1)
        assert given.fileno() == -1

    world.run(main)


def test_a_port_that_another_server_has_is_refused_and_an_ephemeral_one_changed(world: World) -> None:
    async def main() -> None:
        for ports in (range(1, 49152), range(49152, 65536)):
            given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            while given.getsockname()[1] not in ports:
                given.close()
                given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                given.bind(("0.0.0.0", 0))
            port = given.getsockname()[1]
            server = await endpoint(("0.0.0.0", port), echo=True)
            if port < 49152:
                with pytest.raises(OSError, match="in use"):
                    await endpoint(sock=given)
            else:
                client = await endpoint(sock=given)
                client.transport.sendto(b"hello", (SERVER, port))
                await asyncio.sleep(1)
                assert client.got == [(b"HELLO", (SERVER, port))]
                client.transport.close()
            server.transport.close()
            await asyncio.sleep(0.1)
            assert given.fileno() == -1

    world.run(main)
