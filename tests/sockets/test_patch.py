"""patch(): the standard library's sockets, whose file descriptors are spliced to the stack."""

import errno
import os
import select
import selectors
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from stack.sockets import Net, patch
from stack.sockets.stream_splice import StreamSplice
from tests.sockets.conftest import CLIENT, LATE, NOBODY, SERVER, SOON, Paced, in_thread

LINGER_0 = struct.pack("ii", 1, 0)
BIG = bytes(range(256)) * 12_000
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def patched(paced: Paced) -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    was = dict(vars(socket.socket)), dict(vars(socket))
    with patch(paced.net):
        yield
    assert was == (dict(vars(socket.socket)), dict(vars(socket)))
    paced.net.close()
    assert not paced.net.splices
    # Those of the stack are closed by now, and those of the program were: 3 are the driver's.
    assert len(os.listdir("/proc/self/fd")) == before - 3


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((SERVER, 80)) as made:
        made.settimeout(LATE)
        yield made


@pytest.fixture
def pair(listener: socket.socket) -> Iterator[Pair]:
    """A connection's two ends, the client's first."""
    with socket.create_connection((SERVER, 80), LATE) as client, listener.accept()[0] as server:
        server.settimeout(LATE)
        yield client, server


def receive_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(100_000), b""))


def test_names_and_files(listener: socket.socket) -> None:
    client = socket.create_connection(("server.test", 80), LATE)
    server, address = listener.accept()
    assert type(server) is socket.socket and server.family == socket.AF_INET
    assert address == client.getsockname() == server.getpeername() and address[0] == CLIENT
    assert client.getpeername() == server.getsockname() == listener.getsockname() == (SERVER, 80)
    with client, server, client.makefile("rwb") as file, server.makefile("rwb") as other:
        file.write(b"hello\n")
        file.flush()
        assert other.readline() == b"hello\n"


def test_octets_both_ways_and_halves_that_close_on_their_own(pair: Pair) -> None:
    client, server = pair
    there, back = in_thread(receive_all, server), in_thread(receive_all, client)
    for each in pair:
        each.sendall(BIG)
        each.shutdown(socket.SHUT_WR)
    assert there.result(LATE) == BIG and back.result(LATE) == BIG


def test_half_a_connection_goes_on(pair: Pair) -> None:
    client, server = pair
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    rest = in_thread(receive_all, client)
    server.sendall(BIG)
    server.close()
    assert rest.result(LATE) == BIG


def test_one_who_does_not_read_makes_the_other_wait(paced: Paced, pair: Pair) -> None:
    client, server = pair
    client.settimeout(SOON)
    room = 64 << 20
    with pytest.raises(TimeoutError):
        client.sendall(bytes(room))
    assert paced.client.buffered < room
    received = in_thread(lambda: len(receive_all(server)))
    client.settimeout(LATE)
    client.sendall(BIG)
    client.close()
    assert received.result(LATE) > len(BIG)


def test_a_close_delivers_what_was_sent(pair: Pair) -> None:
    client, server = pair
    client.sendall(BIG[:200_000])
    client.close()
    assert receive_all(server) == BIG[:200_000]


# Resets


@pytest.mark.parametrize("read", [lambda sock: sock.recv(1), lambda sock: os.read(sock.fileno(), 1)])
def test_a_reset_is_one_for_python_and_for_c(pair: Pair, read: Callable[[socket.socket], bytes]) -> None:
    client, server = pair
    client.setblocking(True)
    waiting = in_thread(read, client)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    server.close()
    with pytest.raises(ConnectionResetError):
        waiting.result(LATE)


def test_a_reset_is_told_once(pair: Pair) -> None:
    client, server = pair
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    server.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert client.recv(1) == b""
    with pytest.raises(BrokenPipeError):
        client.send(b"x")


def test_a_reset_after_the_end_of_what_was_sent(pair: Pair) -> None:
    client, server = pair
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    server.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_reset_does_not_touch_who_has_the_number_now(pair: Pair) -> None:
    client, server = pair
    number = client.fileno()
    one, other = socket.socketpair()
    with client.dup() as copy, one, other:
        client.close()
        os.dup2(one.fileno(), number)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        server.close()
        with pytest.raises(ConnectionResetError):
            copy.recv(1)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)
        os.close(number)


def test_what_was_sent_is_read_before_the_reset(pair: Pair) -> None:
    client, server = pair
    server.sendall(b"hello")
    assert client.recv(5, socket.MSG_PEEK | socket.MSG_WAITALL) == b"hello"
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    server.close()
    assert client.recv(5) == b"hello"
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_unread_octets_reset_the_connection(pair: Pair) -> None:
    client, server = pair
    server.sendall(b"not wanted")
    assert select.select([client], [], [], LATE)[0]
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(1)


# What does not come


def test_nobody_listens_and_nobody_is_there() -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((SERVER, 81), LATE)
    with pytest.raises(OSError) as caught:
        socket.create_connection((NOBODY, 81), LATE)
    assert caught.value.errno == errno.EHOSTUNREACH
    with socket.socket() as client:
        assert client.connect_ex((SERVER, 81)) == errno.ECONNREFUSED
        with socket.create_server((SERVER, 81)):
            client.connect((SERVER, 81))  # the same socket, once more
            assert client.connect_ex((SERVER, 81)) == errno.EISCONN


def test_time_outs(listener: socket.socket, pair: Pair) -> None:
    for each, call in ((listener, "accept"), (pair[0], "recv")):
        each.settimeout(SOON)
        with pytest.raises(TimeoutError):
            getattr(each, call)(*([1] if call == "recv" else []))


@pytest.mark.parametrize(("port", "result"), [(80, 0), (81, errno.ECONNREFUSED)])
def test_connecting_without_blocking(listener: socket.socket, port: int, result: int) -> None:
    with socket.socket() as client, selectors.DefaultSelector() as selector:
        client.setblocking(False)
        assert client.connect_ex((SERVER, port)) == errno.EINPROGRESS
        selector.register(client, selectors.EVENT_WRITE)
        assert selector.select(LATE)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == result
        if result == 0:
            client.sendall(b"first")
            with listener.accept()[0] as server:
                assert server.recv(5) == b"first"


def test_a_connection_is_not_writable_before_it_is_open(paced: Paced) -> None:
    with socket.socket() as client:
        client.setblocking(False)
        assert client.connect_ex((NOBODY, 80)) == errno.EINPROGRESS
        assert select.select([], [client], [], 0)[1] == []
        assert client.connect_ex((NOBODY, 80)) == errno.EALREADY
        assert select.select([], [client], [], LATE)[1]
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EHOSTUNREACH


def test_a_listener_is_no_connection(listener: socket.socket) -> None:
    with socket.create_connection((SERVER, 80), LATE):
        assert select.select([listener], [], [], LATE)[0]
        for call, number in (
            (listener.getpeername, errno.ENOTCONN),
            (lambda: listener.recv(1), errno.ENOTCONN),
            (lambda: listener.send(b"x"), errno.EPIPE),
            (lambda: listener.sendall(b"x"), errno.EPIPE),
        ):
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno == number
        listener.accept()[0].close()


def test_accepting_without_blocking(listener: socket.socket) -> None:
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
    with socket.create_connection((SERVER, 80), LATE):
        assert select.select([listener], [], [], LATE)[0]
        listener.accept()[0].close()


def test_closed_is_closed(pair: Pair) -> None:
    client, server = pair
    client.close()
    client.close()
    assert server.recv(1) == b""
    for call in (
        lambda: client.recv(1),
        lambda: client.send(b"x"),
        client.getsockname,
        lambda: client.connect(("", 1)),
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF


def test_connections_that_nobody_accepts_end_with_the_listener(paced: Paced) -> None:
    listener = socket.create_server((SERVER, 80), backlog=20)
    clients = [socket.create_connection((SERVER, 80), LATE) for _ in range(12)]
    listener.close()
    for client in clients:
        with client:
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                continue


def test_the_backlog_bounds_those_that_wait() -> None:
    with socket.create_server((SERVER, 80), backlog=1):
        clients = [socket.create_connection((SERVER, 80), LATE)]
        with pytest.raises(TimeoutError):
            for _ in range(20):  # a few are on their way to the program already
                clients.append(socket.create_connection((SERVER, 80), SOON))
    for client in clients:
        client.close()


def test_the_stack_ends_while_a_program_waits(paced: Paced, pair: Pair) -> None:
    paced.net.close()
    assert pair[0].recv(1) == b""
    with pytest.raises(OSError) as caught:
        socket.create_connection((SERVER, 80))
    assert caught.value.errno == errno.ENETDOWN


def test_no_file_descriptors_for_a_connection(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    first = socket.create_connection((SERVER, 80), LATE)
    accepted, _ = listener.accept()
    client = socket.socket()
    client.settimeout(LATE)
    client.bind((CLIENT, 0))  # its splice is made here
    with monkeypatch.context() as patches:
        patches.setattr("_socket.socketpair", refuse)
        client.connect((SERVER, 80))
        while not caplog.records:
            continue
    first.close()  # now there are some
    accepted.close()
    with client, listener.accept()[0] as server:
        server.sendall(b"x")
        assert client.recv(1) == b"x"
    assert "a connection waits to be accepted: no file descriptor" in caplog.text


def test_a_splice_that_fails_takes_nothing_with_it(
    pair: Pair, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: StreamSplice) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patches:
        patches.setattr(StreamSplice, "_carry", fail)
        pair[0].sendall(b"x")
        with pytest.raises(OSError) as caught:
            pair[0].recv(1)
        assert caught.value.errno == errno.EIO and "has failed" in caplog.text
    with socket.create_connection((SERVER, 80), LATE) as client, listener.accept()[0] as server:
        client.sendall(b"x")
        assert server.recv(1) == b"x"


# Whose it is


def test_what_is_not_the_stacks_is_the_kernels() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        name = listener.getsockname()
        with socket.create_connection(name, LATE) as client, listener.accept()[0] as server:
            server.sendall(b"x")
            assert client.recv(1) == b"x" and client.getpeername() == name
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # which the kernel has free afterwards
    with socket.socket() as client:
        client.bind(("", port))  # which is the stack's, until it turns out not to be
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client.connect(listener.getsockname())
            assert client.getsockname() == ("127.0.0.1", port)


def test_bound_to_all_addresses_is_bound_on_the_stack() -> None:
    with socket.create_server(("", 80)) as listener, socket.socket() as client:
        assert listener.getsockname() == ("0.0.0.0", 80)
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        client.bind(("0.0.0.0", 0))
        client.connect((SERVER, 80))
        with listener.accept()[0] as server:
            assert server.getpeername() == client.getsockname()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", 80), LATE)
    with pytest.raises(OSError) as caught:
        socket.create_server((NOBODY, 80))
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize(
    ("family", "kind", "to"),
    [
        (socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:" + SERVER, 80)),
        (socket.AF_INET6, socket.SOCK_DGRAM, ("::ffff:" + SERVER, 80)),
        (socket.AF_INET, socket.SOCK_DGRAM, (SERVER, 80)),
        (socket.AF_INET, socket.SOCK_STREAM, (SERVER, 80)),
    ],
)
def test_an_address_of_the_stacks_never_goes_to_the_kernel(family: int, kind: int, to: tuple[str, int]) -> None:
    with socket.socket(family, kind) as sock:
        if family == socket.AF_INET:
            sock.bind(("127.0.0.1", 0))
        calls = [lambda: sock.connect(to)]
        if kind == socket.SOCK_DGRAM:
            calls += [lambda: sock.sendto(b"x", to), lambda: sock.sendmsg([b"x"], [], 0, to)]
        else:
            calls += [lambda: sock.sendto(b"x", socket.MSG_FASTOPEN, to)]
        for call in calls:
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno == errno.ENETUNREACH


def test_what_is_no_port(listener: socket.socket) -> None:
    with socket.socket() as sock, socket.socket(type=socket.SOCK_DGRAM) as asker:
        calls = (
            lambda: sock.bind((SERVER, 65536)),
            lambda: sock.connect((SERVER, -1)),
            lambda: asker.sendto(b"x", (SERVER, 65536)),
            lambda: listener.listen(1 << 31),
        )
        for call in calls:
            with pytest.raises(OverflowError):
                call()
        with pytest.raises(TypeError):
            sock.connect((SERVER, "http"))
        asker.bind((SERVER, 53))
        with pytest.raises(ValueError, match="negative"):
            asker.recvfrom(-1)


def test_a_port_that_was_bound_is_not_the_next_ones(listener: socket.socket) -> None:
    """Otherwise a client that binds would meet its last connection, which rests in TIME-WAIT."""
    ports = set()
    for _ in range(20):
        with socket.socket() as client:
            client.bind((CLIENT, 0))
            ports.add(client.getsockname()[1])
    assert len(ports) > 10


def test_file_descriptors_are_not_passed_over_tcp(pair: Pair) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 0))]
    assert pair[0].sendmsg([b"one", b"two"], rights) == 6
    assert pair[1].recvmsg(100, 100)[:2] == (b"onetwo", [])


def test_ports_are_free_again_at_once(paced: Paced) -> None:
    for _ in range(20):
        with socket.create_server((SERVER, 80)):
            pass
        with socket.socket(type=socket.SOCK_DGRAM) as server:
            server.bind((SERVER, 53))
    assert not paced.net.bound


def test_options_are_the_stacks(paced: Paced, listener: socket.socket) -> None:
    with socket.socket() as client:
        client.settimeout(LATE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect((SERVER, 80))
        connection = next(iter(paced.client.connections()))
        assert connection.nodelay
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        assert not connection.nodelay
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM


def test_names(paced: Paced) -> None:
    assert socket.gethostbyname("server.test") == SERVER
    assert socket.gethostbyname_ex("server.test")[2] == [SERVER]
    assert socket.getfqdn(SERVER) == "server.test"
    assert socket.getnameinfo((SERVER, 80), 0)[0] == "server.test"
    assert socket.getaddrinfo("server.test", 80, type=socket.SOCK_STREAM)[0][4] == (SERVER, 80)
    with pytest.raises(socket.gaierror):
        socket.gethostbyaddr(NOBODY)


def test_twice_is_once_too_often(net: Net) -> None:
    with pytest.raises(RuntimeError, match="patched already"), patch(net):
        pass
    assert socket.gethostbyname("server.test") == SERVER


# What uses file descriptors


def test_copies_of_a_file_descriptor(pair: Pair) -> None:
    client, server = pair
    with client.dup() as copy, socket.socket(fileno=os.dup(client.fileno())) as other:
        client.close()
        other.settimeout(LATE)
        assert copy.getpeername() == (SERVER, 80)
        copy.sendall(b"x")
        assert server.recv(1) == b"x"
        server.sendall(b"y")
        assert other.recv(1) == b"y"
    assert server.recv(1) == b""


def test_a_child_has_what_it_inherits_and_no_stack(listener: socket.socket, pair: Pair) -> None:
    client, server = pair
    child = os.fork()
    if not child:
        try:
            accepted, peer = listener.accept()
            accepted.sendall(repr((accepted.getpeername() == peer, accepted.getsockname())).encode())
            accepted.close()
            try:
                socket.create_connection((SERVER, 80), LATE)
            except OSError as error:
                server.sendall(str(error.errno).encode())
            # A thread may have the number that the stack's had in the parent.
            in_thread(select.select, [], [], [], 0).result(LATE)
            server.sendall(b" and threads")
        finally:
            os._exit(0)
    server.close()
    with socket.create_connection((SERVER, 80), LATE) as other:
        assert receive_all(other) == repr((True, (SERVER, 80))).encode()
    assert receive_all(client) == b"%d and threads" % errno.ENETDOWN
    assert os.waitpid(child, 0)[1] == 0


def test_a_child_holds_nothing_of_the_stacks(pair: Pair) -> None:
    client, server = pair
    ready, stop = socket.socketpair(), socket.socketpair()
    child = os.fork()
    if not child:
        try:
            for each in (client, server, ready[0], stop[0]):
                each.close()
            ready[1].send(b"x")
            stop[1].recv(1)
        finally:
            os._exit(0)
    with ready[0], ready[1], stop[0], stop[1]:
        ready[1].close()
        assert ready[0].recv(1) == b"x"
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        server.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        stop[1].close()
        stop[0].close()
        assert os.waitpid(child, 0)[1] == 0


def test_tls(listener: socket.socket, tmp_path: Path) -> None:
    authority, chain = trustme.CA(), tmp_path / "chain.pem"
    authority.issue_cert("server.test").private_key_and_cert_chain_pem.write_to_path(str(chain))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(str(chain))
    asks = ssl.create_default_context()
    authority.configure_trust(asks)

    def serve() -> object:
        with context.wrap_socket(listener, server_side=True) as secure:
            connection, address = secure.accept()
            with connection:
                connection.sendall(connection.recv(100) + BIG)
                return address == connection.getpeername()

    served = in_thread(serve)
    plain = socket.socket()
    plain.settimeout(LATE)
    with asks.wrap_socket(plain, server_hostname="server.test") as client:  # before it is connected
        client.connect((SERVER, 80))
        client.sendall(b"hello")
        assert client.getpeername() == (SERVER, 80) and receive_all(client) == b"hello" + BIG
    assert served.result(LATE) is True


# UDP


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        made.bind((SERVER, 53))
        made.settimeout(LATE)
        yield made


@pytest.fixture
def asker() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        made.settimeout(LATE)
        yield made


def test_a_socket_for_the_stack_and_for_the_kernel(server: socket.socket, asker: socket.socket) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as local:
        local.settimeout(LATE)
        local.bind(("127.0.0.1", 0))
        asker.sendto(b"one", local.getsockname())  # the kernel's as yet
        data, who = local.recvfrom(100)
        local.sendto(data + b" back", who)
        assert asker.recvfrom(100) == (b"one back", local.getsockname())
        asker.sendto(b"two", (SERVER, 53))
        data, who = server.recvfrom(100)
        assert data == b"two" and who == (CLIENT, asker.getsockname()[1])
        server.sendto(b"two back", who)
        assert select.select([asker], [], [], LATE)[0]
        assert asker.recvfrom(100) == (b"two back", (SERVER, 53))
        asker.sendmsg([b"thr", b"ee"], [], 0, local.getsockname())
        data, who = local.recvfrom(100)
        local.sendto(b"three back", who)
        assert data == b"three" and asker.recvmsg(5) == (b"three", [], 0, local.getsockname())


def test_bound_to_any_port_of_all_addresses(server: socket.socket, asker: socket.socket) -> None:
    asker.bind(("", 0))
    name, port = asker.getsockname()
    assert name == "0.0.0.0" and port
    with selectors.DefaultSelector() as selector, socket.socket(type=socket.SOCK_DGRAM) as local:
        selector.register(asker, selectors.EVENT_READ)  # before it is known to whom it will send
        local.bind(("127.0.0.1", 0))
        for receiver in (server, local):
            receiver.settimeout(LATE)
            asker.sendto(b"hello", receiver.getsockname())
            data, who = receiver.recvfrom(100)
            assert data == b"hello" and who[1] == port
            receiver.sendto(b"back", who)
            assert selector.select(LATE)
            assert asker.recvfrom(100) == (b"back", receiver.getsockname())
        selector.unregister(asker)
        asker.connect(local.getsockname())
        asker.send(b"the kernel's")
        assert local.recv(100) == b"the kernel's" and asker.getsockname() == ("127.0.0.1", port)


def test_datagrams_keep_their_bounds(server: socket.socket, asker: socket.socket) -> None:
    asker.connect((SERVER, 53))
    assert asker.getpeername() == (SERVER, 53) and asker.getsockname()[0] == CLIENT
    sizes = [0, 1, 1472, 1473, 65_507, 7]
    for size in sizes:
        asker.send(bytes(size))
    assert [len(server.recv(65_535)) for _ in sizes] == sizes
    with pytest.raises(OSError) as caught:
        asker.send(bytes(65_508))
    assert caught.value.errno == errno.EMSGSIZE
    server.sendto(b"abcdef", asker.getsockname())
    buffer = bytearray(3)
    assert asker.recv_into(buffer) == 3 and buffer == b"abc"
    asker.settimeout(SOON)
    with pytest.raises(TimeoutError):
        asker.recv(1)


def test_only_a_connected_one_is_told_that_nobody_listens(server: socket.socket, asker: socket.socket) -> None:
    asker.sendto(b"x", (SERVER, 9))
    asker.sendto(b"y", (SERVER, 53))
    server.sendto(b"z", server.recvfrom(1)[1])
    assert asker.recv(1) == b"z"
    asker.connect((SERVER, 9))
    asker.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        asker.recv(1)


def test_a_flood_arrives_or_is_dropped_and_does_not_stop_anything(server: socket.socket, asker: socket.socket) -> None:
    asker.connect((SERVER, 53))
    for number in range(2000):
        asker.send(struct.pack("!I", number))
    asker.close()
    numbers = []
    server.settimeout(SOON)
    with pytest.raises(TimeoutError):
        while True:
            numbers.append(struct.unpack("!I", server.recv(4))[0])
    assert numbers == sorted(numbers) and numbers[0] == 0 and len(numbers) > 100
