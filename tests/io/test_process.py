"""Signals, the service manager, and whom to become."""

import os
import resource
import signal
import socket
import subprocess
import sys

import pytest

from stack.errors import DeviceError
from stack.io import privileges
from stack.io.privileges import sudo_user
from stack.io.sdnotify import notify
from stack.io.signals import TO_ALL, Signals, ends_by_exception, fork, ignore_in_child


def test_signals_are_read_in_order_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Signals((signal.SIGUSR1, signal.SIGUSR2)) as signals:
        assert signals.take() == []
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signals.take() == [signal.SIGUSR2, signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.parametrize(
    ("limits", "soft"),
    [("64:2000", 2000), ("64:", 65536), ("3000:3000", 3000), ("64:100000", 65536)],
)
def test_as_many_files_as_may_be(limits: str, soft: int) -> None:
    code = "import resource; from stack.io.descriptors import allow_many; allow_many()"
    code += "; print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    if soft == 65536 and resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 100_000:
        limits, soft = "64:", resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = ["prlimit", f"--nofile={limits}", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout.split()[0]) == soft


def test_nohup_means_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals((signal.SIGHUP, signal.SIGUSR1)) as signals, ends_by_exception():
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert signals.take() == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heeds_sighup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_program_ends_through_every_finally(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as caught, ends_by_exception():
        os.kill(os.getpid(), number)
    assert caught.value.code == 128 + number
    assert signal.getsignal(number) is before


@pytest.mark.usefixtures("heeds_sighup")
def test_a_child_heeds_no_signals_and_tells_the_parent_of_none() -> None:
    with Signals(TO_ALL) as signals:
        child = fork()
        if child == 0:
            try:
                for number in TO_ALL:
                    os.kill(os.getpid(), number)
                ignore_in_child()
                for number in TO_ALL:
                    os.kill(os.getpid(), number)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert signals.take() == []
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signals.take() == [signal.SIGUSR1]


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
    for nobody in ("4294967295", "99999999999", "9" * 5000, "\u00b2", "-1"):  # the first means "as it is" to the kernel
        with pytest.raises(DeviceError, match="nobody's number"):
            sudo_user({"SUDO_UID": nobody, "SUDO_GID": "1000"})
        with pytest.raises(DeviceError, match="nobody's number"):
            sudo_user({"SUDO_UID": "1000", "SUDO_GID": nobody})
    monkeypatch.setattr(privileges.os, "geteuid", lambda: 1000)
    assert sudo_user({"SUDO_UID": "54321", "SUDO_GID": "54322"}) is None
