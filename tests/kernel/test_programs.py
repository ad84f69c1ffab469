"""Programs of Python's ecosystem on the stack over a TAP: `tapstack serve MODULE:NAME`, `run` and `fetch`."""

from pathlib import Path

import pytest

from tests.kernel.conftest import URL, Namespace, Serve, wait_for

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
