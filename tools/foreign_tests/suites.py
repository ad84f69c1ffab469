"""Where the tests come from, and what has to be changed in a copy of them: an address."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socketserver
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.foreign_tests.place import STACK

_OTHERS: Final = re.compile(r"timeout =|.*coverage\.exceptions")
_LOOPBACK: Final = "127.0.0.1"


class Missing(Exception):
    """The tests are not to be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Somebody's tests: of which `version` they are here, how a copy is made, how processes that run it are adapted.

    `copy` puts them into a folder, and returns the folder of the test files and pytest's arguments for them. `adapt` is
    called in the process, before it imports any of them.
    """

    version: Callable[[], str]
    copy: Callable[[Path], tuple[Path, list[str]]]
    adapt: Callable[[], None]


def _copy_asyncio(folder: Path) -> tuple[Path, list[str]]:
    """A package `test` that is the installed one, but for the tests of asyncio."""
    spec = importlib.util.find_spec("test")
    installed = Path(next(iter(spec.submodule_search_locations or ()))) if spec else Path()
    if not (installed / "test_asyncio").is_dir():
        raise Missing(
            f"{sys.executable} has come without its tests of asyncio. On Debian and Ubuntu:  "
            f"sudo apt-get install libpython{sys.version_info.major}.{sys.version_info.minor}-testsuite"
        )
    package = folder / "test"
    package.mkdir()
    for each in installed.iterdir():
        if each.name not in ("test_asyncio", "__pycache__"):
            (package / each.name).symlink_to(each)
    shutil.copytree(installed / "test_asyncio", package / "test_asyncio", ignore=shutil.ignore_patterns("__pycache__"))
    _rewrite(package / "test_asyncio")
    return package / "test_asyncio", ["-c", os.devnull]


def _adapt_asyncio() -> None:
    helper: Any = importlib.import_module("test.support.socket_helper")
    helper.HOST = helper.HOSTv4 = STACK
    server: Any = socketserver.TCPServer
    activate = server.server_activate

    def server_activate(self: Any) -> None:
        activate(self)
        self.server_address = self.socket.getsockname()  # which it had asked for before it listened

    server.server_activate = server_activate


def _copy_aiohttp(folder: Path) -> tuple[Path, list[str]]:
    """The tests of the aiohttp that is installed, of its source distribution, which is kept for the next time."""
    version = importlib.metadata.version("aiohttp")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tapstack"
    archive = caches / f"aiohttp-{version}.tar.gz"
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", "aiohttp", "--dest", str(caches), f"aiohttp=={version}"]
        if subprocess.run(command).returncode or not archive.exists():
            raise Missing(f"pip could not download the source distribution of aiohttp {version} (see above)")
    safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 and later have it
    with tarfile.open(archive) as file:
        file.extractall(folder, **safely)
    source = folder / f"aiohttp-{version}"
    _rewrite(source / "tests")
    # Without what is for programs that they are not run under here: pytest would have to know them.
    lines = (source / "pytest.ini").read_text().splitlines(keepends=True)
    settings = folder / "pytest.ini"
    settings.write_text("".join(line for line in lines if not _OTHERS.match(line)))
    not_by_default = "not dev_mode and not autobahn and not internal"
    return source / "tests", ["-c", str(settings), "-o", "addopts=", "-m", not_by_default, "--aiohttp-fast"]


def _adapt_aiohttp() -> None:
    from aiohttp.test_utils import BaseTestServer

    make: Any = BaseTestServer.__init__

    def init(self: BaseTestServer, *, host: str, **options: Any) -> None:
        make(self, host=STACK if host == _LOOPBACK else host, **options)

    setattr(BaseTestServer, "__init__", init)  # noqa: B010


def _rewrite(folder: Path) -> None:
    """Have this machine be at the stack's address."""
    for each in folder.rglob("*.py"):
        each.write_bytes(each.read_bytes().replace(_LOOPBACK.encode(), STACK.encode()))


BY_NAME: Final[Mapping[str, Suite]] = {
    "asyncio": Suite(platform.python_version, _copy_asyncio, _adapt_asyncio),
    "aiohttp": Suite(lambda: importlib.metadata.version("aiohttp"), _copy_aiohttp, _adapt_aiohttp),
}
