"""HTTP in blocking calls: both ends on the stack, in threads of one process, on a virtual link in the machine's time.

Once on stack.sockets.Socket, which the libraries are handed, and once under patch(), of which they know nothing.
"""

import http.client
import http.server
import socket
import socketserver
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import requests.adapters
import urllib3

from stack.sockets import Net, Socket, patch
from tests.libraries.conftest import SERVER_NAME, Certificates
from tests.sockets.conftest import LATE, SERVER, SOON, Paced, net, paced

pytestmark = pytest.mark.libraries

__all__ = ["net", "paced"]
BODY = bytes(range(256)) * 8_000
URL = f"http://{SERVER_NAME}"


class Handler(http.server.BaseHTTPRequestHandler):
    """GET: what is asked for so many times; POST: what was sent; both on connections that stay open."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(self.path.encode() * 10)

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: bytes) -> None:
        if self.path == "/silence":
            self.server.silence.wait(LATE)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-From", self.client_address[0])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class OnSocket(socketserver.ThreadingMixIn, socketserver.BaseServer):
    """http.server's server, on a socket that it is handed."""

    daemon_threads = True

    def __init__(self, sock: Socket) -> None:
        super().__init__(sock.getsockname(), Handler)
        self.socket = sock
        self.server_name, self.server_port = self.server_address

    def fileno(self) -> int:
        return self.socket.fileno()

    get_request = socketserver.TCPServer.get_request
    shutdown_request = socketserver.TCPServer.shutdown_request
    close_request = socketserver.TCPServer.close_request


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    server.silence = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.silence.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join(LATE)
        server.server_close()


@contextmanager
def on_sockets(net: Net) -> Iterator[None]:
    with net.socket() as listener:
        listener.bind((SERVER, 80))
        listener.listen()
        with serving(OnSocket(listener)):
            yield


@pytest.fixture
def patched_server(net: Net) -> Iterator[None]:
    with patch(net), serving(http.server.ThreadingHTTPServer((SERVER, 80), Handler)):
        yield


# stack.sockets.Socket


def test_http_client_on_a_socket(net: Net) -> None:
    with on_sockets(net):
        connection = http.client.HTTPConnection(SERVER_NAME, timeout=LATE)
        connection._create_connection = net.create_connection  # type: ignore[attr-defined]
        for _ in range(10):
            connection.request("GET", "/hello")
            response = connection.getresponse()
            assert response.read() == b"/hello" * 10 and response.headers["X-From"] == "10.0.0.1"
        connection.request("POST", "/", BODY)
        assert connection.getresponse().read() == BODY
        connection.close()


def connections_of(net: Net) -> type[urllib3.connection.HTTPConnection]:
    class Connection(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> Any:
            try:
                return net.create_connection((self.host, self.port), self.timeout, self.source_address)
            except TimeoutError as error:
                raise urllib3.exceptions.ConnectTimeoutError(self, str(error)) from error
            except OSError as error:
                raise urllib3.exceptions.NewConnectionError(self, str(error)) from error

    return Connection


class Adapter(requests.adapters.HTTPAdapter):
    """As its documentation has it: a pool manager whose connections are ours."""

    def __init__(self, net: Net) -> None:
        self._net = net
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        net = self._net

        class Pool(urllib3.HTTPConnectionPool):
            ConnectionCls = connections_of(net)

        self.poolmanager.pool_classes_by_scheme = {"http": Pool}


def test_requests_and_urllib3_on_a_socket(paced: Paced) -> None:
    with on_sockets(paced.net), requests.Session() as session:
        session.mount("http://", Adapter(paced.net))
        for _ in range(10):
            response = session.get(f"{URL}/hello", timeout=LATE)
            assert response.content == b"/hello" * 10
        assert session.post(URL, BODY, timeout=LATE).content == BODY
        assert paced.client.counters["TcpActiveOpens"] == 1
        with pytest.raises(requests.ReadTimeout):
            session.get(f"{URL}/silence", timeout=SOON)
        with pytest.raises(requests.ConnectionError, match="refused"):
            session.get(f"{URL}:81/", timeout=LATE)


# patch()


def test_http_client(paced: Paced, patched_server: None) -> None:
    connection = http.client.HTTPConnection(SERVER_NAME, timeout=LATE)
    for _ in range(10):
        connection.request("GET", "/hello")
        assert connection.getresponse().read() == b"/hello" * 10
    connection.request("POST", "/", BODY)
    assert connection.getresponse().read() == BODY
    connection.close()
    assert paced.client.counters["TcpActiveOpens"] == 1


def test_urllib(patched_server: None) -> None:
    with urllib.request.urlopen(f"{URL}/hello", timeout=LATE) as response:
        assert response.read() == b"/hello" * 10


def test_urllib3(paced: Paced, patched_server: None) -> None:
    with urllib3.PoolManager(timeout=LATE, retries=False) as pool:
        for _ in range(10):
            assert pool.request("GET", f"{URL}/hello").data == b"/hello" * 10
        assert pool.request("POST", URL, body=BODY).data == BODY
        assert paced.client.counters["TcpActiveOpens"] == 1
        with pytest.raises(urllib3.exceptions.NewConnectionError, match="refused"):
            pool.request("GET", f"{URL}:81/")
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            pool.request("GET", f"{URL}/silence", timeout=SOON)


def test_requests(paced: Paced, patched_server: None) -> None:
    with requests.Session() as session:
        for _ in range(10):
            response = session.get(f"{URL}/hello", timeout=LATE)
            assert response.content == b"/hello" * 10 and response.headers["X-From"] == "10.0.0.1"
        assert session.post(URL, BODY, timeout=LATE).content == BODY
        with session.post(URL, BODY, stream=True, timeout=LATE) as streamed:
            assert sum(map(len, streamed.iter_content(10_000))) == len(BODY)
        assert paced.client.counters["TcpActiveOpens"] == 1
    with pytest.raises(requests.ConnectTimeout):
        requests.get("http://10.0.0.99/", timeout=0.001)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{URL}/silence", timeout=SOON)


def test_ten_threads(patched_server: None) -> None:
    answers: list[bytes] = []

    def ask(number: int) -> None:
        with requests.Session() as session:
            answers.extend(session.get(f"{URL}/{number}", timeout=LATE).content for _ in range(5))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LATE)
    assert sorted(answers) == sorted(f"/{number}".encode() * 10 for number in range(10) for _ in range(5))


def test_requests_over_tls(net: Net, certificates: Certificates) -> None:
    with patch(net):
        server = http.server.ThreadingHTTPServer((SERVER, 443), Handler)
        server.socket = certificates.server_context().wrap_socket(server.socket, server_side=True)
        with serving(server), requests.Session() as session:
            asked = {"verify": str(certificates.authority), "timeout": LATE}
            for _ in range(3):
                assert session.get(f"https://{SERVER_NAME}/hello", **asked).content == b"/hello" * 10
            assert session.post(f"https://{SERVER_NAME}/", BODY, **asked).content == BODY
            with pytest.raises(requests.exceptions.SSLError):
                requests.get(f"https://{SERVER}/", **asked)


def test_tls_by_hand(net: Net, certificates: Certificates) -> None:
    def serve(listener: socket.socket) -> None:
        with certificates.server_context().wrap_socket(listener, server_side=True) as secure:
            connection, _ = secure.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())
                connection.unwrap().close()

    with patch(net), socket.create_server((SERVER, 7)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with (
            socket.create_connection((SERVER, 7), LATE) as plain,
            certificates.client_context().wrap_socket(plain, server_hostname=SERVER_NAME) as client,
        ):
            assert client.version() == "TLSv1.3" and client.getpeername() == (SERVER, 7)
            client.sendall(b"hello")
            assert client.recv(100) == b"HELLO" and client.recv(100) == b""
            client.unwrap().close()
        thread.join(LATE)
