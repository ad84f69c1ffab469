"""Echo requests of the kernel's ping, in one piece and in fragments."""

import re

import pytest

from tests.kernel.conftest import ADDRESS, Namespace, Serve

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("size", [0, 1, 56, 1472, 1473, 4000, 65000, 65507])
def test_ping(namespace: Namespace, serve_in_each_mode: Serve, size: int) -> None:
    serve_in_each_mode()
    said = namespace.run("ping", "-c", "3", "-i", "0.2", "-W", "2", "-s", str(size), ADDRESS).stdout
    assert "3 received, 0% packet loss" in said, said


def test_a_flood_loses_nothing(namespace: Namespace, serve_in_each_mode: Serve) -> None:
    serve_in_each_mode()
    said = namespace.run("ping", "-f", "-c", "2000", "-q", ADDRESS).stdout
    assert re.search(r"2000 received, 0% packet loss", said), said


@pytest.mark.parametrize("mtu", ["576", "9000"])
def test_other_mtus(namespace: Namespace, serve_in_each_mode: Serve, mtu: str) -> None:
    serve_in_each_mode("--mtu", mtu)
    unfragmented = str(int(mtu) - 28)
    said = namespace.run("ping", "-c", "2", "-i", "0.2", "-M", "do", "-s", unfragmented, ADDRESS).stdout
    assert "2 received" in said, said
