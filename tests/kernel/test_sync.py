"""Blocking programs on the stack, over a TAP, with the Linux kernel at the other end."""

import signal
import sys
from pathlib import Path

import pytest
import trustme

from tests.kernel.conftest import URL, Namespace, environment, wait_for
from tests.kernel.test_programs import COMMAND, ENVIRONMENT

pytestmark = pytest.mark.kernel

PEER = """
import http.server, socket, socketserver, ssl, struct, sys, threading

class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log_message = lambda *_: None
    def do_GET(self):
        self.answer(self.path.encode() * 10_000)
    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-From", self.client_address[0])
        self.end_headers()
        self.wfile.write(body)

class Silent(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(1)

class Resets(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()

class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data[::-1], self.client_address)

class Redis(socketserver.StreamRequestHandler):
    def handle(self):
        while header := self.rfile.readline():
            words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2] for _ in range(int(header[1:]))]
            self.wfile.write({b"PING": b"+PONG\\r\\n", b"GET": b"-ERR no\\r\\n"}.get(words[0], b"+OK\\r\\n"))

secure = http.server.ThreadingHTTPServer(("10.77.0.1", 443), Web)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("key")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
servers = [
    http.server.ThreadingHTTPServer(("10.77.0.1", 8000), Web), secure,
    socketserver.ThreadingTCPServer(("10.77.0.1", 1), Silent),
    socketserver.ThreadingTCPServer(("10.77.0.1", 2), Resets),
    socketserver.ThreadingTCPServer(("10.77.0.1", 3), Redis),
    socketserver.UDPServer(("10.77.0.1", 7), Echo),
]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
print("ready", flush=True)
"""

CLIENT = """
import errno, http.client, os, socket, sys, threading, time
import anyio, redis, requests, trio, urllib3
import stack.sockets, stack.sockets.trio

def trying(call):
    try:
        return call()
    except (OSError, redis.RedisError) as error:
        return type(error).__name__, getattr(error, "errno", None)

with stack.sockets.patch(hosts={"web.test": "10.77.0.1"}) as net:
    print("ready", flush=True)
    sys.stdin.readline()  # until the kernel's side of the device has servers
    with requests.Session() as session:
        for _ in range(3):
            answer = session.get("http://web.test:8000/hello", timeout=9)
            print(answer.content == b"/hello" * 10_000, answer.headers["X-From"])
        body = os.urandom(3_000_000)
        print(session.post("http://web.test:8000/", body, timeout=9).content == body)
        print(session.get("https://web.test/tls", timeout=9, verify="ca").content == b"/tls" * 10_000)
        print(session.post("https://web.test/", body, timeout=9, verify="ca").content == body)
    with urllib3.PoolManager() as pool:
        print(pool.request("GET", "http://10.77.0.1:8000/a").data == b"/a" * 10_000)
    connection = http.client.HTTPConnection("10.77.0.1", 8000, timeout=9)
    connection.request("GET", "/b")
    print(connection.getresponse().read() == b"/b" * 10_000)
    connection.close()
    print("refused", trying(lambda: socket.create_connection(("10.77.0.1", 9), 9)))
    print("nobody", trying(lambda: socket.create_connection(("10.77.0.99", 9), 9)))
    with socket.create_connection(("10.77.0.1", 1), 9) as silent:
        silent.settimeout(0.1)
        print("silent", trying(lambda: silent.recv(1)))
    def reset():  # which may come before connect() has returned
        with socket.create_connection(("10.77.0.1", 2), 9) as connection:
            return connection.recv(1)

    print("reset", trying(reset))
    with socket.socket(type=socket.SOCK_DGRAM) as asker:
        asker.settimeout(9)
        asker.sendto(b"stack", ("10.77.0.1", 7))
        print(asker.recvfrom(100))
        asker.connect(("10.77.0.1", 9))
        asker.send(b"anybody?")
        print("udp", trying(lambda: asker.recv(1)))
    with net.create_connection(("web.test", 8000), 9) as direct:
        direct.sendall(b"GET /d HTTP/1.0\\r\\n\\r\\n")
        with direct.makefile("rb") as file:
            print(file.read().endswith(b"/d" * 10_000))
    udp = net.socket(type=socket.SOCK_DGRAM)
    udp.settimeout(9)
    udp.sendto(b"12345", ("10.77.0.1", 7))
    print(udp.recv(100))
    udp.close()
    with redis.Redis("web.test", 3, protocol=2, socket_timeout=9, retry=None) as database:
        print(database.ping(), trying(lambda: database.get("x")))

    async def main():
        with stack.sockets.trio.installed(net):
            async with await trio.open_tcp_stream("web.test", 8000) as stream:
                await stream.send_all(b"GET /t HTTP/1.0\\r\\n\\r\\n")
                await stream.send_eof()
                print(b"".join([data async for data in stream]).endswith(b"/t" * 10_000))
            async with await anyio.create_connected_udp_socket("10.77.0.1", 7) as asker:
                await asker.send(b"anyio")
                print(await asker.receive())
            async with await anyio.connect_tcp("10.77.0.1", 8000) as stream:
                await stream.send(b"GET /y HTTP/1.0\\r\\n\\r\\n")
                print(b"".join([data async for data in stream]).endswith(b"/y" * 10_000))

    trio.run(main)
print([thread.name for thread in threading.enumerate()], "tap0" in dict(socket.if_nameindex()).values())
"""
SAID = """
True 10.77.0.2
True 10.77.0.2
True 10.77.0.2
True
True
True
True
True
refused ('ConnectionRefusedError', 111)
nobody ('OSError', 113)
silent ('TimeoutError', None)
reset ('ConnectionResetError', 104)
(b'kcats', ('10.77.0.1', 7))
udp ('ConnectionRefusedError', 111)
True
b'54321'
True ('ResponseError', None)
True
b'oiyna'
True
""".strip().splitlines()


def test_clients(namespace: Namespace, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("web.test").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "key"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    for name, source in (("peer.py", PEER), ("client.py", CLIENT)):
        (tmp_path / name).write_text(source)
    options = {"cwd": tmp_path, "env": ENVIRONMENT, "stdout": -1, "text": True}
    client = namespace.start(sys.executable, "client.py", stdin=-1, stderr=-1, **options)
    assert client.stdout.readline() == "ready\n", client.stderr.read()
    peer = namespace.start(sys.executable, "peer.py", **options)
    assert peer.stdout.readline() == "ready\n"
    out, err = client.communicate("go\n", timeout=60)
    assert (out.splitlines()[:-1], err) == (SAID, "")
    assert out.splitlines()[-1] == "['MainThread'] False"
    assert "tap0" not in namespace.devices()


SERVER = """
import http.server, os, socket, socketserver, sys

class Handler(http.server.BaseHTTPRequestHandler):
    log_message = lambda *_: None
    def do_GET(self):
        body = f"{self.client_address[0]} {os.getpid() == parent}\\n".encode() * 100_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

class Forking(socketserver.ForkingMixIn, http.server.HTTPServer):
    pass

parent = os.getpid()
kind = Forking if sys.argv[1] == "forking" else http.server.ThreadingHTTPServer
with kind(("", 80), Handler) as server:
    print("ready", flush=True)
    server.serve_forever()
"""


@pytest.mark.parametrize(("kind", "is_parent"), [("forking", False), ("threading", True)])
def test_servers(namespace: Namespace, tmp_path: Path, kind: str, is_parent: bool) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    server = namespace.start(
        *COMMAND, "run", "--", "python", "server.py", kind, cwd=tmp_path, env=ENVIRONMENT, stdout=-1, stderr=-1,
        text=True,
    )  # fmt: skip
    assert server.stdout.readline() == "ready\n", server.stderr.read()
    for _ in range(3):
        body = namespace.run("curl", "-sS", "--max-time", "5", URL).stdout
        assert body == f"10.77.0.1 {is_parent}\n" * 100_000
    assert namespace.run("curl", "-sS", "--max-time", "5", "http://127.0.0.1/", check=False).returncode == 7
    server.send_signal(signal.SIGINT)
    _, err = server.communicate(timeout=10)
    assert server.returncode == 130 and "10.77.0.2/24 is the stack" in err and "Traceback" not in err
    assert "tap0" not in namespace.devices()


WSGI = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REMOTE_ADDR']} {os.getpid() == os.getpgrp()}\\n".encode() * 10_000]
"""


@pytest.mark.parametrize(
    "command",
    ["gunicorn -w 2 -b 10.77.0.2:80 app:app", "gunicorn -w 2 --threads 4 -b 0.0.0.0:80 app:app",
     "waitress-serve --listen=10.77.0.2:80 app:app"],
)  # fmt: skip
def test_wsgi_servers(namespace: Namespace, tmp_path: Path, command: str) -> None:
    (tmp_path / "app.py").write_text(WSGI)
    env = ENVIRONMENT | {"HOME": str(tmp_path)}
    with (tmp_path / "log").open("w") as log:
        server = namespace.start(
            *COMMAND, "run", "--", *command.split(), cwd=tmp_path, env=env, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        said = (tmp_path / "log").read_text
        wait_for(lambda: said().count("Booting worker") == 2 or "Serving on" in said(), "the server to be ready")
        for _ in range(4):
            is_parent = not command.startswith("gunicorn")
            body = namespace.run("curl", "-sS", "--max-time", "5", URL).stdout
            assert body == f"10.77.0.1 {is_parent}\n" * 10_000
        server.terminate()
        assert server.wait(20) == 0, said()
    assert "Traceback" not in said() and "tap0" not in namespace.devices()


ENDS = """
import os, signal, socket, sys, threading
import stack.sockets

how = sys.argv[1]
context = stack.sockets.patch()
net = context.__enter__()
connection = socket.create_connection(("10.77.0.1", 7000), 9)
connection.sendall(bytes(3_000_000))
if how == "thread":
    threading.Thread(target=connection.recv, args=(1,), daemon=True).start()
else:
    connection.close()
if how == "raise":
    raise RuntimeError("a bug")
if how == "fork":
    child = os.fork()
    if not child:
        sys.exit(0)  # by way of every `finally` and atexit
    assert os.waitpid(child, 0)[1] == 0 and "tap0" in dict(socket.if_nameindex()).values()
    socket.create_connection(("10.77.0.1", 7000), 9).close()
if how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("how", "code"), [("exit", 0), ("thread", 0), ("raise", 1), ("fork", 0), ("kill", -9)])
def test_a_program_that_just_ends(namespace: Namespace, tmp_path: Path, how: str, code: int) -> None:
    """Nothing is left of it; what it has sent and closed arrives, unless it was killed."""
    (tmp_path / "ends.py").write_text(ENDS)
    with (tmp_path / "taken").open("wb") as taken:
        namespace.start("ncat", "--listen", "--keep-open", "--recv-only", "7000", stdout=taken)
        wait_for(lambda: ":7000" in namespace.run("ss", "-ltn").stdout, "ncat")
        command = (sys.executable, "ends.py", how)
        done = namespace.run(*command, cwd=tmp_path, env=ENVIRONMENT, check=False, timeout=30)
        assert done.returncode == code and ("a bug" in done.stderr) == (how == "raise"), done
        assert "tap0" not in namespace.devices()
        if how != "kill":
            wait_for(lambda: (tmp_path / "taken").stat().st_size == 3_000_000, "what was sent")


MIXED = """
import asyncio, socket, urllib.request

def fetch():
    return urllib.request.urlopen("http://10.77.0.1:8000/mixed.py", timeout=9).read() == open("mixed.py", "rb").read()

async def main():
    print(fetch())  # in the loop's own thread
    print(await asyncio.gather(*(asyncio.to_thread(fetch) for _ in range(5))))
    reader, writer = await asyncio.open_connection("10.77.0.1", 8000)
    print(fetch())
    writer.write(b"GET /mixed.py HTTP/1.0\\r\\n\\r\\n")
    print((await reader.read()).endswith(open("mixed.py", "rb").read()))
    writer.close()
    await writer.wait_closed()

print(fetch())
asyncio.run(main())
print(fetch())
"""


def test_blocking_calls_and_an_event_loop(namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "mixed.py").write_text(MIXED)
    web = (sys.executable, "-m", "http.server", "8000")
    peer = namespace.start(*web, cwd=tmp_path, env=environment(), stdout=-3, stderr=-3)
    wait_for(lambda: "8000" in namespace.run("ss", "-ltn").stdout, "the kernel's server")
    command = (*COMMAND, "run", "--", "python", "mixed.py")
    done = namespace.run(*command, cwd=tmp_path, env=ENVIRONMENT, check=False, timeout=30)
    assert done.stdout == "True\nTrue\n[True, True, True, True, True]\nTrue\nTrue\nTrue\n", done
    assert done.returncode == 0 and "Traceback" not in done.stderr and peer.poll() is None
    assert "tap0" not in namespace.devices()
