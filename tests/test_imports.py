"""The architecture, enforced: who may import whom, and how long a file or a function may get.

The rules are the table below. Everything is read with `ast`, so an import that only a type checker sees counts too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STACK = ROOT / "stack"

LAYERS = (
    ("errors", "octets", "addresses", "clock", "events", "counters", "config"),
    ("wire",),
    ("fastpath",),
    ("link", "internet", "transport"),
    ("path", "echo"),
    ("host",),
    ("virtual", "io"),
    ("aio",),
    ("sockets",),
    ("application", "pkt"),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FOUNDATION = LAYERS[0]
CORE = RANK["host"]

FORBIDDEN_IN_CORE = {
    "time": "take the time as the argument `now`",
    "datetime": "take the time as the argument `now`",
    "random": "take a RandomSource in the constructor",
    "secrets": "take a RandomSource in the constructor",
    "socket": "leave input and output to stack.io",
    "select": "leave input and output to stack.io",
    "selectors": "leave input and output to stack.io",
    "ssl": "leave input and output to stack.io",
    "subprocess": "leave input and output to stack.io",
    "os": "leave input and output to stack.io",
    "asyncio": "keep it sans I/O: events out, calls in",
    "threading": "keep it sans I/O: a host belongs to one thread",
    "multiprocessing": "keep it sans I/O: a host belongs to one thread",
    "concurrent": "keep it sans I/O: a host belongs to one thread",
    "signal": "leave the process to stack.io and stack.cli",
}
EXCEPTIONS = {("fastpath/__init__.py", "os"), ("fastpath/reference.py", "os")}
SOLE_IMPORTER = {
    "stack._native": ("fastpath/native.py", "import stack.fastpath, which picks between C and Python"),
    "dns": ("aio/resolver.py", "ask stack.aio.resolver"),
    "trio": ("sockets/trio.py", "nobody needs trio who does not ask for it"),
    "pyroute2": ("io/netlink.py", "add what you need to stack/io/netlink.py"),
}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def imports_of(source: str, path: str) -> Iterator[tuple[int, str, str | None]]:
    """(line, module, name) of every import; name is None for a plain `import module`."""
    package = ["stack", *Path(path).parent.parts]
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [base])])
            for alias in node.names:
                yield node.lineno, base, alias.name


def layer_of(parts: list[str]) -> str | None:
    """The layer of a module given as the parts behind `stack`; None is the package `stack` itself."""
    return parts[0] if parts else None


def import_faults(source: str, path: str) -> Iterator[str]:
    """A sentence for every import of the file at `path` (relative to stack/) that breaks a rule."""
    own = layer_of([part.removesuffix(".py") for part in Path(path).parts])
    own = None if own == "__init__" else own
    if own is not None and own not in RANK:
        yield f"stack/{path} belongs to no layer: give {own!r} its place in LAYERS (tests/test_imports.py)"
        return
    for line, module, name in imports_of(source, path):
        where = f"stack/{path}:{line} imports {module}{f'.{name}' if name else ''}"
        dotted = [part for part in [*module.split("."), name] if part]
        target = ".".join(dotted)
        for restricted, (importer, instead) in SOLE_IMPORTER.items():
            if path != importer and (target == restricted or f"{target}.".startswith(f"{restricted}.")):
                yield f"{where}, which only stack/{importer} may: {instead}"
        if dotted[0] == "stack":
            yield from stack_import_faults(where, own, dotted[1:], name)
        elif own is None or RANK[own] <= CORE:
            instead = FORBIDDEN_IN_CORE.get(dotted[0])
            if instead is not None and (path, dotted[0]) not in EXCEPTIONS:
                yield f"{where}, which the core (everything up to host.py) may not: {instead}"


def stack_import_faults(where: str, own: str | None, parts: list[str], name: str | None) -> Iterator[str]:
    """The faults of one import from the package itself; `parts` is what is imported, behind `stack`."""
    target = layer_of(parts)
    if target == "_native" or target == "__version__" or target is None:
        return
    if name is not None and name.startswith("_"):
        yield f"{where}, which is private there: make it public where it is, or do without it"
    if target not in RANK:
        yield f"{where}, which belongs to no layer: give {target!r} its place in LAYERS (tests/test_imports.py)"
    elif own is None:
        yield f"{where}, but stack/__init__.py imports nothing: users import the layer that they use"
    elif RANK[target] > RANK[own]:
        yield f"{where}, which is above {own}: imports run downwards only; pass the object or a callable down instead"
    elif RANK[target] == RANK[own] and target != own and own not in FOUNDATION:
        yield f"{where}, a sibling of {own}: let {LAYERS[RANK[own] + 1][0]}, which knows both, bring them together"


def size_faults(source: str, path: str) -> Iterator[str]:
    """A sentence for the file and for every function in it that is too long."""
    lines = source.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"stack/{path} has {lines} lines, more than {MAX_FILE_LINES}: one idea a file; split it by idea"
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield (
                    f"stack/{path}:{node.lineno} {node.name}() has {lines} lines, more than {MAX_FUNCTION_LINES}: "
                    f"give its steps names of their own"
                )


FILES = sorted(path.relative_to(STACK).as_posix() for path in STACK.rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_file_keeps_the_rules(path: str) -> None:
    source = (STACK / path).read_text()
    faults = [*import_faults(source, path), *size_faults(source, path)]
    assert not faults, "\n".join(faults)


def test_the_files_are_found() -> None:
    assert {"errors.py", "wire/ipv4.py", "transport/tcp/states.py"} <= set(FILES)


@pytest.mark.parametrize(
    ("path", "source", "sentence"),
    [
        ("wire/ipv4.py", "from stack.link.interface import Interface", "above wire"),
        ("wire/ipv4.py", "from ..link.interface import Interface", "above wire"),
        ("wire/ipv4.py", "from stack import fastpath", "above wire"),
        ("link/interface.py", "import stack.internet.ipv4", "a sibling of link"),
        ("transport/tcp/connection.py", "from stack.internet import icmp", "a sibling of transport"),
        ("virtual/network.py", "from stack.io.tap import Tap", "a sibling of virtual"),
        ("io/engine.py", "from stack.aio.stream import StreamTransport", "above io"),
        ("aio/stream.py", "from stack.application.http.server import HttpServer", "above aio"),
        ("transport/tcp/rtt.py", "def f():\n    from time import monotonic_ns", "as the argument `now`"),
        ("host.py", "import os.path", "the core"),
        ("clock.py", "import time", "the core"),
        ("fastpath/reference.py", "import socket", "the core"),
        ("transport/udp.py", "from stack._native import lib", "only stack/fastpath/native.py may"),
        ("transport/udp.py", "from stack import _native", "only stack/fastpath/native.py may"),
        ("io/driver.py", "from pyroute2 import IPRoute", "only stack/io/netlink.py may"),
        ("io/driver.py", "import pyroute2.netlink", "only stack/io/netlink.py may"),
        ("application/http/server.py", "from stack.host import _Secret", "private there"),
        ("application/http/server.py", "from stack.cli.main import main", "above application"),
        ("surprise/module.py", "", "belongs to no layer"),
        ("host.py", "from stack.surprise import x", "belongs to no layer"),
        ("__init__.py", "from stack.host import Host", "imports nothing"),
    ],
)
def test_a_breach_is_found_and_said(path: str, source: str, sentence: str) -> None:
    faults = list(import_faults(source, path))
    assert len(faults) == 1 and sentence in faults[0], faults


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("fastpath/__init__.py", "import os"),
        ("fastpath/native.py", "from stack._native import ffi, lib"),
        ("io/netlink.py", "from pyroute2 import IPRoute"),
        ("io/driver.py", "import time, os, select\nfrom stack.host import Host"),
        (
            "aio/underlay.py",
            "import asyncio\nfrom stack.io.engine import Engine\nfrom stack.virtual.network import Network",
        ),
        ("config.py", "from stack.addresses import Network\nfrom stack.clock import SECOND"),
        ("transport/tcp/connection.py", "from .states import State\nfrom ..udp import UdpSocket\nimport errno"),
        ("cli/main.py", "from stack.io.driver import Driver\nfrom stack import __version__"),
    ],
)
def test_what_is_allowed_passes(path: str, source: str) -> None:
    assert list(import_faults(source, path)) == []


def test_long_files_and_functions_are_found() -> None:
    long_function = "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES
    assert "f() has 61 lines" in "".join(size_faults(long_function, "wire/x.py"))
    assert "has 401 lines" in "".join(size_faults("x = 1\n" * 401, "wire/x.py"))
    assert list(size_faults("x = 1\n" * 400, "wire/x.py")) == []
