"""Signals, the service manager, and whom to become."""

import os
import signal
import socket

import pytest

from stack.io import privileges
from stack.io.privileges import sudo_user
from stack.io.sdnotify import notify
from stack.io.signals import Signals


def test_signals_are_read_in_order_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Signals((signal.SIGUSR1, signal.SIGUSR2)) as signals:
        assert signals.take() == []
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signals.take() == [signal.SIGUSR2, signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.parametrize("name", ["\0tapstack-test-notify", "file"])
def test_notify_reaches_the_manager(name: str, tmp_path: object) -> None:
    address = name if name.startswith("\0") else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(5)
        notify("READY=1", {"NOTIFY_SOCKET": address.replace("\0", "@")})
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}, {"NOTIFY_SOCKET": "vsock:1"}])
def test_nobody_to_notify(environment: dict[str, str]) -> None:
    notify("READY=1", environment)


def test_the_user_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges.os, "geteuid", lambda: 0)
    user = sudo_user({"SUDO_UID": "54321", "SUDO_GID": "54322"})
    assert user is not None and (user.uid, user.gid, user.groups) == (54321, 54322, (54322,))
    assert sudo_user({"SUDO_UID": "0", "SUDO_GID": "0"}) is None
    assert sudo_user({"SUDO_UID": "1000"}) is None
    assert sudo_user({}) is None
    monkeypatch.setattr(privileges.os, "geteuid", lambda: 1000)
    assert sudo_user({"SUDO_UID": "54321", "SUDO_GID": "54322"}) is None
