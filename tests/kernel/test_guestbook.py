"""The example of docs/examples: an application with a database, and static files beside its pages, on the stack."""

from pathlib import Path

import pytest

from tests.kernel.conftest import ROOT, URL, Namespace, Serve

pytestmark = pytest.mark.kernel

GUESTBOOK = ROOT / "docs" / "examples" / "guestbook"


def code_of(namespace: Namespace, *arguments: str) -> str:
    command = ("curl", "-sS", "--max-time", "5", "--output", "/dev/null", "--write-out", "%{http_code}")
    said: str = namespace.run(*command, *arguments).stdout
    return said


def test_what_was_signed_is_still_there_after_a_restart(
    namespace: Namespace, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/book.sqlite")
    tmp_path.chmod(0o777)
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
    assert code_of(namespace, f"{URL}static/style.css") == "200"
    assert code_of(namespace, f"{URL}static/../app.py", "--path-as-is") == "404"
