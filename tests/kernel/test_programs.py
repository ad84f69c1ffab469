"""Programs of Python's ecosystem on the stack over a TAP: `tapstack serve MODULE:NAME`, `run` and `fetch`."""

import signal
import sys
from pathlib import Path

import pytest

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


@pytest.fixture
def applications(tmp_path: Path) -> Path:
    (tmp_path / "apps.py").write_text(APPLICATIONS)
    return tmp_path


def test_an_asgi_application(namespace: Namespace, serve: Serve, applications: Path) -> None:
    server = serve("apps:asgi", "--verbose", directory=applications)
    assert namespace.run("curl", "-sS", "--max-time", "5", URL).stdout == "asgi 10.77.0"
    assert "serves       the application apps:asgi" in server.log
    wait_for(lambda: server.statistics()["requests"] == "1", "the request to be counted")
    server.stop(within=3)
    assert "stopped after" in server.log and "1 requests on 1 connections" in server.log
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
