"""stack.sockets.Socket: what socket.socket does, on the stack."""

import errno
import gc
import select
import socket
import struct
import threading
import warnings
from collections.abc import Iterator

import pytest

from stack.sockets import Net, Socket
from tests.sockets.conftest import CLIENT, LATE, NOBODY, SERVER, SOON, Paced, in_thread

LINGER_0 = struct.pack("ii", 1, 0)
BIG = bytes(range(256)) * 12_000


@pytest.fixture
def listener(net: Net) -> Iterator[Socket]:
    with net.socket() as made:
        made.bind((SERVER, 80))
        made.listen()
        made.settimeout(LATE)
        yield made


@pytest.fixture
def pair(net: Net, listener: Socket) -> Iterator[tuple[Socket, Socket]]:
    """A connection's two ends, the client's first."""
    with net.create_connection((SERVER, 80), LATE) as client, listener.accept()[0] as server:
        server.settimeout(LATE)
        yield client, server


def test_a_connection_and_its_files(net: Net, listener: Socket) -> None:
    def serve() -> object:
        connection, address = listener.accept()
        with connection, connection.makefile("rwb") as file:
            file.write(file.readline().upper())
        return address, connection.fileno()

    served = in_thread(serve)
    with net.create_connection(("server.test", 80), timeout=LATE) as client, client.makefile("rwb") as file:
        name = client.getsockname()
        assert name[0] == CLIENT and client.getpeername() == (SERVER, 80)
        file.write(b"hello\n")
        file.flush()
        assert file.read() == b"HELLO\n"
    assert served.result(LATE) == (name, -1)


def test_a_socket_lives_as_long_as_its_files(pair: tuple[Socket, Socket]) -> None:
    client, server = pair
    file = server.makefile("wb")
    server.close()
    file.write(b"later")
    file.close()
    assert client.recv(100) == b"later" and client.recv(100) == b""


def test_one_who_does_not_read_makes_the_other_wait(paced: Paced, pair: tuple[Socket, Socket]) -> None:
    client, server = pair
    client.settimeout(SOON)
    room = 64 << 20
    with pytest.raises(TimeoutError):
        client.sendall(bytes(room))
    assert paced.client.buffered < room
    received = in_thread(lambda: sum(len(piece) for piece in iter(lambda: server.recv(1 << 20), b"")))
    client.settimeout(LATE)
    client.sendall(BIG)
    client.shutdown(socket.SHUT_WR)
    assert received.result(LATE) > len(BIG)


def test_halves_close_on_their_own(pair: tuple[Socket, Socket]) -> None:
    client, server = pair
    client.shutdown(socket.SHUT_WR)
    assert server.recv(10) == b"" and server.recv(10) == b""
    with pytest.raises(BrokenPipeError):
        client.send(b"more")
    echoed = in_thread(lambda: b"".join(iter(lambda: client.recv(100_000), b"")))
    server.sendall(BIG)
    server.shutdown(socket.SHUT_RDWR)
    assert echoed.result(LATE) == BIG


def test_looking_ahead_and_reading_into_a_buffer(pair: tuple[Socket, Socket]) -> None:
    client, server = pair
    server.sendall(b"abcdef")
    assert client.recv(3, socket.MSG_PEEK) == b"abc"
    buffer = bytearray(4)
    assert client.recv_into(buffer) >= 3 and bytes(buffer[:3]) == b"abc"
    assert client.recv_into(buffer, 2) in (1, 2)
    client.settimeout(LATE)
    with pytest.raises(BlockingIOError):
        while True:
            client.recv(1, socket.MSG_DONTWAIT)


def test_unread_octets_reset_the_connection(pair: tuple[Socket, Socket]) -> None:
    client, server = pair
    server.sendall(b"not wanted")
    assert client.recv(1, socket.MSG_PEEK)
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(1)


# What does not come


def test_nobody_listens(net: Net) -> None:
    with pytest.raises(ConnectionRefusedError):
        net.create_connection((SERVER, 81), LATE)
    with net.socket() as client:
        assert client.connect_ex((SERVER, 81)) == errno.ECONNREFUSED


def test_nobody_is_there(net: Net) -> None:
    with pytest.raises(OSError) as caught:
        net.create_connection((NOBODY, 80), LATE)
    assert caught.value.errno == errno.EHOSTUNREACH
    with net.socket() as client, pytest.raises(OSError) as caught:
        client.connect(("192.0.2.1", 80))  # not a network of the stack's
    assert caught.value.errno == errno.ENETUNREACH


def test_time_outs(net: Net, listener: Socket, pair: tuple[Socket, Socket]) -> None:
    for waits in (listener.accept, lambda: pair[0].recv(1)):
        for each in (listener, pair[0]):
            each.settimeout(SOON)
        with pytest.raises(TimeoutError, match="timed out"):
            waits()
    pair[1].sendall(b"x")
    pair[0].settimeout(LATE)
    assert pair[0].recv(1) == b"x"  # which is not lost to the call that gave up


def test_a_connect_that_times_out_is_given_up(paced: Paced) -> None:
    with paced.net.socket() as listener:
        listener.bind((SERVER, 80))
        listener.listen(1)
        clients = [paced.net.create_connection((SERVER, 80), LATE)]
        with pytest.raises(TimeoutError):  # the queue of those that wait to be accepted is full
            clients += [paced.net.create_connection((SERVER, 80), SOON) for _ in range(3)]
        for client in clients:
            client.close()


def test_reset_by_the_peer(pair: tuple[Socket, Socket]) -> None:
    client, server = pair
    waiting = in_thread(client.recv, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    server.close()
    with pytest.raises(ConnectionResetError):
        waiting.result(LATE)
    with pytest.raises(ConnectionResetError):
        client.sendall(b"x")


def test_without_blocking(net: Net, listener: Socket) -> None:
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
    with net.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
        with pytest.raises(BlockingIOError) as caught:
            client.connect((SERVER, 80))
        assert caught.value.errno == errno.EINPROGRESS and client.gettimeout() == 0
        assert select.select([listener], [], [], LATE)[0]
        server, _ = listener.accept()
        with server:
            assert select.select([client, listener], [], [], 0)[0] == []
            with pytest.raises(BlockingIOError):
                client.recv(1)
            server.sendall(b"x")
            assert select.select([client], [], [], LATE)[0] and client.recv(1) == b"x"
            assert select.select([client], [], [], 0)[0] == []
        assert select.select([client], [], [], LATE)[0] and client.recv(1) == b""


# Closing


def test_closed_is_closed(net: Net, pair: tuple[Socket, Socket]) -> None:
    client, server = pair
    client.close()
    client.close()
    assert client.fileno() == -1 and server.recv(1) == b""
    for call in (lambda: client.recv(1), lambda: client.send(b"x"), client.getsockname, lambda: client.shutdown(1)):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("call", ["recv", "accept", "recvfrom"])
def test_closed_while_another_thread_waits(net: Net, listener: Socket, pair: tuple[Socket, Socket], call: str) -> None:
    if call == "recvfrom":
        waits = net.socket(type=socket.SOCK_DGRAM)
        waits.bind((SERVER, 53))
    else:
        waits = listener if call == "accept" else pair[0]
    waits.settimeout(None)
    arguments = () if call == "accept" else (1,)
    waiting = in_thread(getattr(waits, call), *arguments)
    while not waits._bell.waiting:  # until it waits
        threading.Event().wait(0.001)
    waits.close()
    with pytest.raises(OSError) as caught:
        waiting.result(LATE)
    assert caught.value.errno == errno.EBADF


def test_what_nobody_closes_is_closed_and_told_of(net: Net, listener: Socket) -> None:
    forgotten = [net.create_connection((SERVER, 80), LATE)]
    server, _ = listener.accept()
    with server, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        forgotten.clear()
        gc.collect()
        assert server.recv(1) == b""
    assert [each.category for each in told] == [ResourceWarning]


def test_calls_end_with_the_stack(paced: Paced, listener: Socket) -> None:
    listener.settimeout(None)
    waiting = in_thread(listener.accept)
    while not listener._bell.waiting:
        threading.Event().wait(0.001)
    paced.net.close()
    paced.net.close()
    for call in (lambda: waiting.result(LATE), lambda: paced.net.create_connection((SERVER, 80))):
        with pytest.raises(OSError, match="the stack was closed") as caught:
            call()
        assert caught.value.errno == errno.ENETDOWN
    listener.close()
    paced.net.bound.clear()


# Addresses and options


def test_addresses(net: Net, listener: Socket) -> None:
    with net.socket() as other, net.socket() as free:
        for taken in ((SERVER, 80), ("", 80)):
            with pytest.raises(OSError) as caught:
                other.bind(taken)
            assert caught.value.errno == errno.EADDRINUSE
        for foreign in ("127.0.0.1", NOBODY):
            with pytest.raises(OSError) as caught:
                other.bind((foreign, 80))
            assert caught.value.errno == errno.EADDRNOTAVAIL
        other.bind(("", 0))
        free.bind((CLIENT, 0))
        assert other.getsockname()[0] == "0.0.0.0" and other.getsockname()[1] >= 49152
        assert free.getsockname()[0] == CLIENT and free.getsockname()[1] != other.getsockname()[1]
        with pytest.raises(OSError):
            other.getpeername()
        free.settimeout(LATE)
        free.connect((SERVER, 80))
        accepted, peer = listener.accept()
        assert peer == free.getsockname()
        accepted.close()
    with net.socket() as again:
        again.bind((CLIENT, peer[1]))


@pytest.mark.parametrize("arguments", [(socket.AF_INET6,), (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_UDP)])
def test_what_there_is_not(net: Net, arguments: tuple[int, ...]) -> None:
    with pytest.raises(OSError):
        net.socket(*arguments)


def test_options(pair: tuple[Socket, Socket], net: Net, listener: Socket) -> None:
    client, _ = pair
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with net.socket() as early:
        early.settimeout(LATE)
        early.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        early.connect((SERVER, 80))
        assert early._stream._connection is not None and early._stream._connection.keep_alive_timer is not None
        with listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


# UDP


@pytest.fixture
def server(net: Net) -> Iterator[Socket]:
    with net.socket(type=socket.SOCK_DGRAM) as made:
        made.bind((SERVER, 53))
        made.settimeout(LATE)
        yield made


def test_datagrams(net: Net, server: Socket) -> None:
    with net.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(LATE)
        assert client.sendto(b"hello", (SERVER, 53)) == 5
        assert server.recvfrom(3, socket.MSG_PEEK) == (b"hel", (CLIENT, client.getsockname()[1]))
        data, who = server.recvfrom(100)
        assert data == b"hello" and who == (CLIENT, client.getsockname()[1])
        server.sendmsg([b"hello", b", too"], [], 0, who)
        buffer = bytearray(20)
        assert client.recvfrom_into(buffer) == (10, (SERVER, 53)) and buffer[:10] == b"hello, too"
        client.sendto(b"", (SERVER, 53))
        assert server.recvfrom(10)[0] == b""
        with pytest.raises(OSError) as caught:
            client.sendto(bytes(65_508), (SERVER, 53))
        assert caught.value.errno == errno.EMSGSIZE
        with pytest.raises(OSError) as caught:
            client.send(b"to whom?")
        assert caught.value.errno == errno.EDESTADDRREQ


def test_a_connected_one_hears_its_peer_alone(net: Net, server: Socket) -> None:
    with net.socket(type=socket.SOCK_DGRAM) as client, net.socket(type=socket.SOCK_DGRAM) as stranger:
        client.settimeout(LATE)
        client.connect((SERVER, 53))
        assert client.getpeername() == (SERVER, 53) and client.getsockname()[0] == CLIENT
        stranger.bind((SERVER, 54))
        stranger.sendto(b"from a stranger", client.getsockname())
        client.send(b"question")
        server.sendto(b"answer", server.recvfrom(100)[1])
        assert client.recv(100) == b"answer"


def test_only_a_connected_one_is_told_that_nobody_listens(net: Net, server: Socket) -> None:
    with net.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(LATE)
        client.connect((SERVER, 9))
        client.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(1)
    with net.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(LATE)
        client.sendto(b"anybody?", (SERVER, 9))
        client.sendto(b"you?", (SERVER, 53))
        server.sendto(b"me", server.recvfrom(100)[1])
        assert client.recv(10) == b"me"


def test_time_to_live(net: Net, server: Socket) -> None:
    with net.socket(type=socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 3)
        assert client.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 3
        with pytest.raises(OSError):
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 256)
        client.sendto(b"x", (SERVER, 53))
        assert server.recv(1) == b"x"
