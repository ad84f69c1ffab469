"""Libraries as they come from PyPI. What runs here is theirs; of ours there is only what they are called with.

A scenario is run on every `link`: with both ends on the stack, on two hosts in virtual time, and with the kernel at one
end, either one, of a TAP in a network namespace; the stack serves with uvloop, too. What takes minutes, or a bad
network, has the virtual `world` alone.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from stack.clock import MILLISECOND
from stack.virtual.link import LinkProfile
from tests.aio.conftest import Inline, World
from tests.kernel.conftest import Namespace
from tests.libraries.links import SERVER_NAME, KernelLink, PacedWorld, VirtualLink

Link = VirtualLink | KernelLink


def _closed_after(made: World) -> Iterator[World]:
    yield made
    made.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.loop.set_default_executor(Inline())
    yield from _closed_after(made)


@pytest.fixture
def lossy_world() -> Iterator[World]:
    """As `world`, 40 ms there and back, and a tenth of the frames does not arrive."""
    yield from _closed_after(World(LinkProfile(delay=20 * MILLISECOND, loss=0.1)))


@pytest.fixture
def paced_world() -> Iterator[World]:
    """As `world`, by the machine's clock."""
    yield from _closed_after(PacedWorld())


@pytest.fixture(scope="session")
def namespace() -> Iterator[Namespace]:
    """One for all: each scenario has a device of its own in it."""
    made = Namespace()
    try:
        yield made
    finally:
        made.close()


_KERNEL_LINKS = [
    pytest.param(name, marks=pytest.mark.kernel) for name in ("stack-serves", "uvloop-serves", "kernel-serves")
]


def _link(request: pytest.FixtureRequest, world: str) -> Link:
    if request.param == "virtual":
        return VirtualLink(request.getfixturevalue(world))
    serves, namespace = request.param.removesuffix("-serves"), request.getfixturevalue("namespace")
    return KernelLink(namespace, stack_serves=serves != "kernel", uvloop=serves == "uvloop")


@pytest.fixture
def stack_serves(namespace: Namespace) -> KernelLink:
    """The link of which the server's end is on the stack, and the client's on the kernel."""
    return KernelLink(namespace, stack_serves=True)


@pytest.fixture
def any_address_can_be_bound(namespace: Namespace) -> Iterator[None]:
    """To the kernel's sockets in the namespace, too: net.ipv4.ip_nonlocal_bind (ip(7))."""
    for value in "10":
        namespace.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/ip_nonlocal_bind")
        if value == "1":
            yield


@pytest.fixture(params=["virtual", *_KERNEL_LINKS])
def link(request: pytest.FixtureRequest) -> Link:
    return _link(request, "world")


@pytest.fixture(params=["virtual", *_KERNEL_LINKS])
def paced_link(request: pytest.FixtureRequest) -> Link:
    """As `link`, for scenarios that talk to programs outside of it: nothing is in virtual time."""
    return _link(request, "paced_world")


@pytest.fixture(autouse=True)
def _as_on_a_plain_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that ask the environment for proxies find none."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@dataclass(frozen=True, slots=True)
class Certificates:
    """One for SERVER_NAME (`chain` has the key, too), and the authority's that it is checked with."""

    chain: Path
    authority: Path

    def as_files(self) -> dict[str, str]:
        """As servers' options have them."""
        return {"certfile": str(self.chain), "keyfile": str(self.chain)}

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
