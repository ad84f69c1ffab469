"""Libraries as they come from PyPI. What runs here is theirs; of ours there is only what they are called with.

In virtual time both ends are on the stack: on two hosts, with a link between them. tests/libraries/test_tap_*.py has
the kernel at the other end.
"""

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from stack.clock import MILLISECOND
from stack.virtual.link import LinkProfile
from tests.aio.conftest import World, world

__all__ = ["world"]

SERVER_NAME = "server.test"


class _Inline(ThreadPoolExecutor):
    """Threads that take no time: virtual time does not wait for real ones."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments, **options))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def lossy_world() -> Iterator[World]:
    """As `world`, 40 ms there and back, and a tenth of the frames does not arrive."""
    made = World(LinkProfile(delay=20 * MILLISECOND, loss=0.1))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _as_on_a_plain_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that ask the environment for proxies find none."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    if "world" in request.fixturenames:
        made: World = request.getfixturevalue("world")
        made.loop.set_default_executor(_Inline())


@dataclass(frozen=True, slots=True)
class Certificates:
    """One for SERVER_NAME (`chain` has the key, too), and the authority's that it is checked with."""

    chain: Path
    authority: Path

    def client_context(self) -> ssl.SSLContext:
        """As `ssl.create_default_context()` makes it."""
        return ssl.create_default_context(cafile=str(self.authority))

    def server_context(self) -> ssl.SSLContext:
        """With the certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(str(self.chain))
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    made = Certificates(folder / "chain.pem", folder / "authority.pem")
    authority.issue_cert(SERVER_NAME).private_key_and_cert_chain_pem.write_to_path(str(made.chain))
    authority.cert_pem.write_to_path(str(made.authority))
    return made
