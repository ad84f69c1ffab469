"""Every TCP test gets a bench; those that ask for `isn` run at several initial sequence numbers of the peer."""

import pytest

from stack.config import TcpConfig
from tests.tcp.harness import Bench, start_for

# The peer's wraps within ten thousand octets, at its first octet of text, and where a signed comparison turns.
ISNS = (-10001, -1, (1 << 31) - 2)


@pytest.fixture(params=ISNS, ids=["wraps-later", "wraps-at-once", "sign"])
def isn(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(params=[(-1, -10001), (-10001, -1)], ids=["ours-wraps-at-once", "ours-wraps-later"])
def wrapping(request: pytest.FixtureRequest) -> tuple[Bench, int]:
    """A bench whose passive connections have an ISS just below 2**32, and the peer's ISN."""
    iss, isn = request.param
    return Bench(TcpConfig(), start=start_for(iss)), isn
