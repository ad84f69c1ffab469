"""When a subnet counts as in use. The kernel's answers are made up here; the real ones are in tests/kernel."""

import pytest

from stack.addresses import network
from stack.errors import DeviceError
from stack.io import netlink
from stack.io.netlink import Neighborhood, check_subnet_is_free

DEFAULT = network("10.77.0.0/24")


def machine_with(monkeypatch: pytest.MonkeyPatch, *present: str) -> None:
    known = [Neighborhood(network(text), "eth0", f"a route to {text}") for text in present]
    monkeypatch.setattr(netlink, "neighborhoods", lambda: known)


@pytest.mark.parametrize("present", ["10.77.0.0/24", "10.77.0.128/25", "10.77.0.9/32"])
@pytest.mark.parametrize("chosen", [False, True])
def test_the_subnet_or_a_part_of_it(monkeypatch: pytest.MonkeyPatch, present: str, chosen: bool) -> None:
    machine_with(monkeypatch, "127.0.0.0/8", present)
    with pytest.raises(DeviceError) as caught:
        check_subnet_is_free(DEFAULT, "tap0", chosen_by_user=chosen)
    assert str(caught.value) == (
        f"the network 10.77.0.0/24 is in use: device 'eth0' has a route to {present}."
        " Choose another, for example: --host-address 10.78.0.1/24 --address 10.78.0.2/24"
    )


def test_a_wider_route_is_in_the_way_of_the_default_only(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, "10.0.0.0/8")
    with pytest.raises(DeviceError, match=r"--address 192\.168\.1\.2/24"):
        check_subnet_is_free(DEFAULT, "tap0", chosen_by_user=False)
    check_subnet_is_free(DEFAULT, "tap0", chosen_by_user=True)


def test_other_networks_and_our_own_device_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, "10.76.0.0/16", "192.168.0.0/16", "10.77.1.0/24")
    check_subnet_is_free(DEFAULT, "tap0", chosen_by_user=False)
    machine_with(monkeypatch, "10.77.0.0/24")
    check_subnet_is_free(DEFAULT, "eth0", chosen_by_user=False)


def test_a_suggestion_there_always_is(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, "10.0.0.0/8", "192.168.0.0/16")
    with pytest.raises(DeviceError, match=r"--address 192\.0\.2\.2/24"):
        check_subnet_is_free(DEFAULT, "tap0", chosen_by_user=False)
