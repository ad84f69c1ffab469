"""Programs of Python's ecosystem on the stack over a TAP: `tapstack serve MODULE:NAME`, `run` and `fetch`."""

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.kernel.conftest import ROOT, URL, Namespace, Serve, environment, wait_for

pytestmark = pytest.mark.kernel

APPLICATIONS = """
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"12")]})
        await send({"type": "http.response.body", "body": f"asgi {scope['client'][0]:.7}".encode()})


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "12")])
    return [f"wsgi {environ['REMOTE_ADDR']:.7}".encode()]
"""


COMMAND = (sys.executable, "-m", "stack.cli.main")
ENVIRONMENT = environment() | {"PYTHONPATH": str(ROOT)}

CLIENT = """
import asyncio, sys

async def main():
    reader, writer = await asyncio.open_connection("10.77.0.1", int(sys.argv[1]))
    print(await reader.read(), writer.get_extra_info("sockname")[0])
    writer.close()
    await writer.wait_closed()

asyncio.run(main())
asyncio.run(main())
sys.exit(7)
"""

WEB = """
import http.server, ssl, sys

class Quiet(http.server.SimpleHTTPRequestHandler):
    log_message = lambda *_: None

server = http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Quiet)
if len(sys.argv) > 2:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.fixture
def applications(tmp_path: Path) -> Path:
    (tmp_path / "apps.py").write_text(APPLICATIONS)
    return tmp_path


def test_an_asgi_application(namespace: Namespace, serve: Serve, applications: Path) -> None:
    server = serve("apps:asgi", "--verbose", directory=applications)
    assert namespace.run("curl", "-sS", "--max-time", "5", URL).stdout == "asgi 10.77.0"
    assert "serves       the application apps:asgi" in server.log
    wait_for(lambda: server.statistics()["requests"] == 1, "the request to be counted")
    server.stop(within=3)
    assert "stopped after" in server.log and "1 request on 1 connection," in server.log
    assert "tap0" not in namespace.devices()


def test_a_wsgi_application(namespace: Namespace, serve: Serve, applications: Path) -> None:
    serve("apps:wsgi", directory=applications)
    assert namespace.run("curl", "-sS", "--max-time", "5", URL).stdout == "wsgi 10.77.0"


def test_the_stock_uvicorn(namespace: Namespace, applications: Path) -> None:
    with (applications / "log").open("w+") as log:
        program = namespace.start(
            *COMMAND, "run", "--", "uvicorn", "--host", "10.77.0.2", "--port", "80", "apps:asgi",
            cwd=applications, env=ENVIRONMENT, stdout=log, stderr=log,
        )  # fmt: skip
        wait_for(lambda: "Uvicorn running" in (applications / "log").read_text(), "uvicorn to be ready")
        assert namespace.run("curl", "-sS", "--max-time", "5", URL).stdout == "asgi 10.77.0"
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0
    said = (applications / "log").read_text()
    assert "tapstack: 10.77.0.2/24 is the stack, 10.77.0.1/24 this machine, on tap0" in said and "Traceback" not in said
    assert "tap0" not in namespace.devices()


SOCKETS_OF_ITS_OWN = """
import asyncio, socket
import anyio

class Capitals(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, address):
        self.transport.sendto(data.upper(), address)

async def answer(stream):
    async with stream:
        await stream.receive()
        await stream.send(b"HTTP/1.0 200 OK\\r\\n\\r\\nasgi 10.77.0")

async def main():
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("10.77.0.2", 7))
    bound.setblocking(False)
    await asyncio.get_running_loop().create_datagram_endpoint(Capitals, sock=bound)
    async with await anyio.create_tcp_listener(local_host="10.77.0.2", local_port=80) as listener:
        await listener.serve(answer)

anyio.run(main)
"""
ASK = """
import socket

client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(5)
client.sendto(b"hello", ("10.77.0.2", 7))
print(client.recv(100))
"""
SERVERS_THAT_BIND_BY_THEMSELVES = {
    "hypercorn": ("hypercorn", "--workers", "0", "--bind", "10.77.0.2:80", "apps:asgi"),
    "anyio": ("program.py",),
}


@pytest.mark.parametrize("name", SERVERS_THAT_BIND_BY_THEMSELVES)
def test_servers_that_bind_by_themselves(namespace: Namespace, applications: Path, name: str) -> None:
    (applications / "program.py").write_text(SOCKETS_OF_ITS_OWN)
    with (applications / "log").open("w+") as log:
        command = (*COMMAND, "run", "--", *SERVERS_THAT_BIND_BY_THEMSELVES[name])
        program = namespace.start(*command, cwd=applications, env=ENVIRONMENT, stdout=log, stderr=log)
        curl = ("curl", "-sS", "--max-time", "5", URL)
        wait_for(lambda: not namespace.run(*curl, check=False).returncode, "the server")
        assert namespace.run(*curl).stdout == "asgi 10.77.0"
        if name == "anyio":
            assert namespace.run(sys.executable, "-c", ASK).stdout == "b'HELLO'\n"
        program.send_signal(signal.SIGINT)
        program.wait(10)
    assert "tap0" not in namespace.devices()


@pytest.mark.parametrize("factory", ["loop_factory", "uvloop_factory"])
def test_the_stock_uvicorn_with_a_loop_of_ours(namespace: Namespace, applications: Path, factory: str) -> None:
    with (applications / "log").open("w+") as log:
        program = namespace.start(
            sys.executable, "-m", "uvicorn", "--loop", f"stack.aio:{factory}", "--host", "10.77.0.2", "--port", "80",
            "apps:asgi", cwd=applications, env=ENVIRONMENT, stdout=log, stderr=log,
        )  # fmt: skip
        wait_for(lambda: "Uvicorn running" in (applications / "log").read_text(), "uvicorn to be ready")
        for _ in range(2):
            assert namespace.run("curl", "-sS", "--max-time", "5", URL).stdout == "asgi 10.77.0"
        program.send_signal(signal.SIGINT)
        program.wait(10)
    said = (applications / "log").read_text()
    assert "Application shutdown complete" in said and "Traceback" not in said
    assert "tap0" not in namespace.devices()


@pytest.mark.parametrize("factory", ["loop_factory", "uvloop_factory"])
def test_a_device_that_is_set_down_while_a_loop_runs(namespace: Namespace, applications: Path, factory: str) -> None:
    with (applications / "log").open("w+") as log:
        program = namespace.start(
            sys.executable, "-m", "uvicorn", "--loop", f"stack.aio:{factory}", "--host", "10.77.0.2", "--port", "80",
            "apps:asgi", cwd=applications, env=ENVIRONMENT, stdout=log, stderr=log,
        )  # fmt: skip
        wait_for(lambda: "Uvicorn running" in (applications / "log").read_text(), "uvicorn to be ready")
        namespace.run("ip", "link", "set", "tap0", "txqueuelen", "600")  # which is no trouble
        assert namespace.run("curl", "-sS", "--max-time", "5", URL).stdout == "asgi 10.77.0"
        assert "Exception" not in (applications / "log").read_text()
        namespace.run("ip", "link", "set", "tap0", "down")
        assert program.wait(10) == 1
    assert "stack.errors.DeviceError: TAP 'tap0' was set down while it was in use" in (applications / "log").read_text()


def test_a_loop_of_ours_is_told_by_a_file_where_it_is(namespace: Namespace, applications: Path) -> None:
    (applications / "there.toml").write_text('address = "192.0.2.2/24"\nhost-address = "192.0.2.1/24"\ntap = "tap7"\n')
    with (applications / "log").open("w+") as log:
        program = namespace.start(
            sys.executable, "-m", "uvicorn", "--loop", "stack.aio:loop_factory", "--host", "192.0.2.2", "--port", "80",
            "apps:asgi", cwd=applications, env=ENVIRONMENT | {"TAPSTACK_CONFIG": "there.toml"}, stdout=log, stderr=log,
        )  # fmt: skip
        wait_for(lambda: "Uvicorn running" in (applications / "log").read_text(), "uvicorn to be ready")
        assert namespace.run("curl", "-sS", "--max-time", "5", "http://192.0.2.2/").stdout == "asgi 192.0.2"
        assert "tap7" in namespace.devices()
        program.send_signal(signal.SIGINT)
        program.wait(10)
    assert "tap7" not in namespace.devices()


LOOPS = """
import asyncio, ssl, sys
import stack.aio

async def answer(reader, writer):
    writer.write(await reader.readexactly(5))
    await writer.drain()
    await writer.start_tls(server)
    writer.write((await reader.readexactly(5)).upper())
    writer.close()

class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, address):
        self.transport.sendto(data[::-1], address)

class Ask(asyncio.DatagramProtocol):
    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()
    def datagram_received(self, data, address):
        self.answer.set_result(data)

async def main():
    loop = asyncio.get_running_loop()
    at = "10.77.0.2", 700
    await loop.create_datagram_endpoint(Echo, at)
    async with await asyncio.start_server(answer, *at), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*at)
        writer.write(b"first")
        print(await reader.readexactly(5))
        await writer.start_tls(client, server_hostname="web.test")
        writer.write(b"later")
        print(await reader.read())
        writer.close()
        transport, protocol = await loop.create_datagram_endpoint(Ask, remote_addr=at)
        transport.sendto(b"over")
        print(await protocol.answer)
        transport.close()
        began = loop.time()
        try:
            await asyncio.wait_for(asyncio.open_connection("10.77.0.77", 7), 0.2)
        except TimeoutError:
            print("nobody", 0.1 < loop.time() - began < 2)
        try:
            await asyncio.open_connection("10.77.0.2", 701)
        except ConnectionRefusedError:
            print("refused")
        with open(__file__, "rb") as file:
            taken = loop.create_future()
            async def take(reader, writer):
                taken.set_result(await reader.read())
                writer.close()
            async with await asyncio.start_server(take, "10.77.0.2", 702):
                reader, writer = await asyncio.open_connection("10.77.0.2", 702)
                await loop.sendfile(writer.transport, file)
                writer.close()
                print(await taken == open(__file__, "rb").read())

server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server.load_cert_chain("key")
client = ssl.create_default_context(cafile="ca")
with asyncio.Runner(loop_factory=getattr(stack.aio, sys.argv[1])) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("factory", ["loop_factory", "uvloop_factory"])
def test_a_host_that_talks_to_itself(namespace: Namespace, tmp_path: Path, factory: str) -> None:
    authority = trustme.CA()
    authority.issue_cert("web.test").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "key"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    (tmp_path / "loops.py").write_text(LOOPS)
    done = namespace.run(sys.executable, "loops.py", factory, cwd=tmp_path, env=ENVIRONMENT, check=False, timeout=30)
    said = ["b'first'", "b'LATER'", "b'revo'", "nobody True", "refused", "True"]
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (said, "", 0)
    assert "tap0" not in namespace.devices()


def test_a_program_with_two_loops_one_after_the_other(namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    namespace.start("ncat", "--listen", "--keep-open", "--exec", "/bin/echo hello", "7000")
    command = (*COMMAND, "run", "--", "python", "client.py", "7000")
    done = namespace.run(*command, cwd=tmp_path, env=ENVIRONMENT, check=False, timeout=20)
    assert done.stdout == "b'hello\\n' 10.77.0.2\n" * 2, done
    assert done.returncode == 7 and "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_ended(namespace: Namespace, tmp_path: Path, number: int) -> None:
    (tmp_path / "sleeper.py").write_text("import asyncio\nprint('here', flush=True)\nasyncio.run(asyncio.sleep(60))\n")
    with (tmp_path / "log").open("w") as log:
        command = (*COMMAND, "run", "--", "sleeper.py")
        program = namespace.start(*command, cwd=tmp_path, env=ENVIRONMENT, stdout=log, stderr=log)
        wait_for(lambda: "here" in (tmp_path / "log").read_text(), "the program")
        program.send_signal(number)
        assert program.wait(10) == 128 + number
    assert "tap0" not in namespace.devices()


@dataclass(frozen=True, slots=True)
class Web:
    """The kernel's side serves `folder`, on 8000 by HTTP and on 8443 by HTTPS with a certificate for web.test."""

    namespace: Namespace
    folder: Path

    def fetch(self, *arguments: str) -> Any:
        command = (*COMMAND, "fetch", "--hosts", "web.test=10.77.0.1,other.test=10.77.0.1", *arguments)
        return self.namespace.run(*command, cwd=self.folder, env=ENVIRONMENT, check=False, timeout=20)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder, namespace = tmp_path_factory.mktemp("web"), Namespace()
    try:
        authority = trustme.CA()
        authority.issue_cert("web.test").private_key_and_cert_chain_pem.write_to_path(str(folder / "key"))
        authority.cert_pem.write_to_path(str(folder / "ca"))
        (folder / "index.html").write_text("hello " * 50_000)
        (folder / "web.py").write_text(WEB)
        for port, arguments in (("8000", []), ("8443", ["key"])):
            namespace.start(sys.executable, "web.py", port, *arguments, cwd=folder)
            look = ("ncat", "-z", "127.0.0.1", port)
            wait_for(lambda look=look: not namespace.run(*look, check=False).returncode, "the web server")
        yield Web(namespace, folder)
    finally:
        namespace.close()


def test_fetch_over_tls_and_what_it_shows(web: Web) -> None:
    done = web.fetch("-v", "--cacert", "ca", "--output", "out", "https://web.test:8443/")
    assert done.returncode == 0, done
    assert (web.folder / "out").read_text() == "hello " * 50_000 and done.stdout == ""
    told = done.stderr
    marks = (
        "who has 10.77.0.1? tell 10.77.0.2", "< ARP", "> SYN  ", "< SYN ACK", "to 10.77.0.1:8443", "* TLS: TLSv1.3",
        "* HTTP/1.0 200 OK", "* Content-Length: 300000",
    )  # fmt: skip
    at = [told.index(mark) for mark in marks]
    assert at == sorted(at), told
    phases = [line.split()[0] for line in told.splitlines() if " ms" in line]
    assert phases == ["name", "connect", "TLS", "first", "total"]
    assert "200 OK, 300,000 octets" in told and "\x1b" not in told


ENDS = (
    ("web.test:8000/index.html", 0, "200 OK, 300,000 octets"),
    ("--insecure https://other.test:8443/", 0, "200 OK, 300,000 octets"),
    ("--fail http://web.test:8000/nothing", 22, "404 File not found"),
    ("http://web.test:8000/nothing", 0, "404 File not found"),
    ("--cacert ca https://other.test:8443/", 60, "certificate is not valid for 'other.test'"),
    ("https://web.test:8443/", 60, "tapstack: web.test: unable to get local issuer certificate"),
    ("https://web.test:8000/", 35, "tapstack: web.test:8000: TLS: "),
    ("http://web.test:8443/", 56, "tapstack: web.test:8443: "),
    ("http://web.test:81/", 7, "tapstack: 10.77.0.1, port 81: Connection refused"),
    ("http://10.77.0.77/ --max-time 0.5", 28, "tapstack: 10.77.0.77: not done after 0.5 s"),
    ("http://web.test:8000/ -o /no/such/place", 23, "cannot write /no/such/place: No such file"),
)
# All in one process: to start it takes longer than what is tried.
ALL_OF_THEM = """
import contextlib, io, json, os, shlex, sys
from stack.cli.main import main

out = sys.stdout
sys.stdout = open(os.devnull, "w")
for line in sys.stdin:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(["fetch", "--hosts", "web.test=10.77.0.1,other.test=10.77.0.1", *shlex.split(line)])
    print(json.dumps([code, said.getvalue()]), file=out)
"""


def test_how_a_fetch_ends(web: Web) -> None:
    lines = "".join(f"{arguments}\n" for arguments, _, _ in ENDS)
    done = web.namespace.run(sys.executable, "-c", ALL_OF_THEM, cwd=web.folder, env=ENVIRONMENT, input=lines)
    for (arguments, code, said), line in zip(ENDS, done.stdout.splitlines(), strict=True):
        ended, told = json.loads(line)
        assert ended == code and said in told, (arguments, ended, told)
    assert done.stderr == "" and "tap0" not in web.namespace.devices()
