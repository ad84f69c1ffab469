"""What the user is told when a TAP device cannot be had. Devices themselves: tests/kernel."""

import errno
import os

import pytest

from stack.errors import ConfigurationError, DeviceError
from stack.io import tap
from stack.io.tap import Tap, check_name


@pytest.mark.parametrize("name", ["tap0", "a", "tapstack-service", "x.y", "täp0"])
def test_names_that_linux_takes(name: str) -> None:
    assert check_name(name[:15]) == name[:15]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "tap%d", "a:1", "tap\n", "all", "default", "sixteen-octets-x", "é" * 8]
)
def test_names_that_linux_refuses(name: str) -> None:
    with pytest.raises(ConfigurationError, match="TAP name"):
        check_name(name)


def open_fails(monkeypatch: pytest.MonkeyPatch, code: int) -> str:
    def fail(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tap.os, "open", fail)
    with pytest.raises(DeviceError) as caught:
        Tap("tap0")
    return str(caught.value)


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENODEV])
def test_a_missing_driver_is_to_be_loaded(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    message = open_fails(monkeypatch, code)
    assert message.startswith(f"cannot open /dev/net/tun: {os.strerror(code)}. ")
    assert "sudo modprobe tun" in message and "--device /dev/net/tun" in message


def test_an_unreadable_device_node(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sudo chmod 0666 /dev/net/tun" in open_fails(monkeypatch, errno.EACCES)


def test_a_container_without_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--cap-add NET_ADMIN" in open_fails(monkeypatch, errno.EPERM)


def attach_fails(monkeypatch: pytest.MonkeyPatch, code: int) -> str:
    def fail(*arguments: object) -> bytes:
        raise OSError(code, os.strerror(code))

    opened = os.open("/dev/null", os.O_RDWR)
    monkeypatch.setattr(tap.os, "open", lambda *arguments: opened)
    monkeypatch.setattr(tap.fcntl, "ioctl", fail)
    with pytest.raises(DeviceError) as caught:
        Tap("tap0")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened)
    return str(caught.value)


def test_without_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attach_fails(monkeypatch, errno.EPERM) == (
        "cannot open TAP 'tap0': Operation not permitted. Opening one needs CAP_NET_ADMIN, or a device made for you:"
        " sudo ip tuntap add tap0 mode tap user $USER"
    )


def test_held_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Another program holds it" in attach_fails(monkeypatch, errno.EBUSY)


def test_not_a_tap(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is not a TAP device" in attach_fails(monkeypatch, errno.EINVAL)
