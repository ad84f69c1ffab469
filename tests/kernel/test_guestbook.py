"""The example of docs/examples: an application with a database, and static files beside its pages, on the stack."""

import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.kernel.conftest import HOST_ADDRESS, ROOT, URL, Namespace, Serve, environment, wait_for
from tests.libraries import databases

pytestmark = pytest.mark.kernel

GUESTBOOK = ROOT / "docs" / "examples" / "guestbook"


def code_of(namespace: Namespace, *arguments: str) -> str:
    command = ("curl", "-sS", "--max-time", "5", "--output", "/dev/null", "--write-out", "%{http_code}")
    said: str = namespace.run(*command, *arguments).stdout
    return said


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request: pytest.FixtureRequest, namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What DATABASE_URL names: a file, or a PostgreSQL on the kernel's side of the device."""
    if request.param == "SQLite":
        folder = request.getfixturevalue("tmp_path")
        folder.chmod(0o777)
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{folder}/book.sqlite")
        yield request.param
        return
    with databases.postgresql() as running:
        monkeypatch.setenv(
            "DATABASE_URL", f"postgresql://{databases.USER}:{quote(databases.PASSWORD)}@{HOST_ADDRESS}/postgres"
        )
        command = (sys.executable, "-m", "tests.libraries.databases", "0.0.0.0", str(running.path), str(running.port))
        splice = namespace.start(*command, cwd=ROOT, env=environment() | {"PYTHONPATH": str(ROOT)})
        look = ("ncat", "-z", "127.0.0.1", str(running.port))
        wait_for(lambda: not namespace.run(*look, check=False).returncode, "the way to PostgreSQL")
        yield request.param
        splice.terminate()


def test_what_was_signed_is_still_there_after_a_restart(namespace: Namespace, serve: Serve, database: str) -> None:
    server = serve("app:app", directory=GUESTBOOK)
    entry = ("--data-urlencode", "name=Ada", "--data-urlencode", "message=<b>Seven</b> layers")
    assert code_of(namespace, *entry, URL) == "303"
    assert code_of(namespace, "--data", "name=&message=x", URL) == "400"
    assert code_of(namespace, "--data", f"name=Eve&message={'x' * 501}", URL) == "400"
    assert code_of(namespace, "--data", f"name=Eve&message={'x' * 9000}", URL) == "413"
    server.stop(within=3)
    serve("app:app", directory=GUESTBOOK)
    page = namespace.run("curl", "-sS", "--max-time", "5", URL).stdout
    assert "1 entry" in page and "&lt;b&gt;Seven&lt;/b&gt; layers" in page and "You are 10.77.0.1" in page
    assert f"the entries are in {database}" in page
    assert code_of(namespace, f"{URL}static/style.css") == "200"
    assert code_of(namespace, f"{URL}static/../app.py", "--path-as-is") == "404"
