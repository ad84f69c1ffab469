"""Which function is what kind of application, and what is none."""

from pathlib import Path

import pytest

from stack.cli.application import load_application
from stack.errors import ConfigurationError

MODULE = """
class Asgi:
    async def __call__(self, scope, receive, send): ...

class Wsgi:
    def __call__(self, environ, start_response): ...

async def asgi(scope, receive, send): ...
def returns_a_coroutine(scope, receive, send): return asgi(scope, receive, send)
def wsgi(environ, start_response): ...
def factory(): ...
a, w, thing = Asgi(), Wsgi(), 1
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"applications_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize(
    ("name", "interface", "kind"),
    [
        ("asgi", "auto", "function"),
        ("returns_a_coroutine", "auto", "function"),
        ("a", "auto", "Asgi"),
        ("wsgi", "auto", "WSGIMiddleware"),
        ("w", "auto", "WSGIMiddleware"),
        ("factory", "wsgi", "WSGIMiddleware"),
        ("w", "asgi", "Wsgi"),
    ],
)
def test_what_it_is_is_seen_by_its_parameters(module: str, name: str, interface: str, kind: str) -> None:
    assert type(load_application(f"{module}:{name}", interface)).__name__ == kind


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("thing", "cannot be called: int is not an application"),
        ("factory", "factory() takes neither ASGI's three parameters nor WSGI's two; see --interface"),
        ("nothing", 'Attribute "nothing" not found in module'),
    ],
)
def test_what_is_no_application(module: str, name: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_application(f"{module}:{name}", "auto")
    assert message in str(caught.value)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="Could not import module"):
        load_application("no_such_module:app", "auto")
