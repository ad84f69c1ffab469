"""The supervisor of worker processes, in a process of its own: it forks, which a test runner with threads must not."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BEGIN = """
import os, select, signal, sys, time
from stack.errors import DeviceError
from stack.io import workers
from stack.io.signals import Signals
from stack.io.workers import READY, STATISTICS, STOP, TOTALS, Supervisor

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""


def run(program: str, code: int = 0) -> tuple[list[str], str]:
    """The lines that `program` prints, and what is on standard error."""
    command = [sys.executable, "-c", BEGIN + program]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_they_start_report_and_stop() -> None:
    lines, _ = run("""
def work(number, channel):
    channel.send(READY)
    while channel.receive() != STOP:
        pass
    channel.send(TOTALS + b"of %d" % number)

supervisor = Supervisor(3, work)
def on_ready():
    say("ready")
    supervisor.stop()
supervisor.run(on_ready)
say(*sorted(supervisor.totals))
say(os.system("test -z \\"$(ps -o pid= --ppid %d | grep -v $$)\\"" % os.getpid()))
""")
    assert lines[:2] == ["ready", "b'of 0' b'of 1' b'of 2'"]


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os._exit(3)", "with exit code 3"),
        ("os.kill(os.getpid(), 9)", "by signal 9"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_who_ends_is_replaced(end: str, how: str) -> None:
    lines, errors = run(f"""
import logging, tempfile
logging.basicConfig()
first = tempfile.NamedTemporaryFile(delete=False).name
def work(number, channel):
    if number == 1 and os.path.exists(first):
        os.unlink(first)
        {end}
    channel.send(READY)
    channel.receive()

supervisor = Supervisor(2, work)
supervisor.run(lambda: (say("ready"), supervisor.stop()))
""")
    assert lines == ["ready"]
    assert how in errors and "another takes its place" in errors


def test_they_are_not_replaced_for_ever() -> None:
    lines, _ = run("""
def work(number, channel):
    say("begins")
    os._exit(0)

try:
    Supervisor(1, work).run(lambda: None)
except DeviceError as error:
    say(error)
""")
    assert lines == ["begins"] * 6 + ["worker 0 has ended with exit code 0, after 5 others within 60 s: giving up"]


def test_trouble_with_the_device_ends_all() -> None:
    lines, _ = run("""
def work(number, channel):
    channel.send(READY)
    if number == 1:
        raise DeviceError("the device is gone")
    channel.receive()
    say("asked to stop")

try:
    Supervisor(2, work).run(lambda: None)
except DeviceError as error:
    say(error)
""")
    assert lines == ["asked to stop", "the device is gone"]


def test_who_does_not_stop_is_killed() -> None:
    lines, _ = run("""
workers.STOP_WITHIN = 100_000_000
def work(number, channel):
    channel.send(READY)
    if number == 0:
        channel.receive()
    else:
        time.sleep(60)

supervisor = Supervisor(2, work)
supervisor.run(supervisor.stop)
say("ended")
""")
    assert lines == ["ended"]


def test_signals_to_all_of_them_are_the_supervisors() -> None:
    """As Ctrl-C sends them, to the process group: the worker is asked to stop once, and not a second time by signal."""
    lines, _ = run("""
os.setpgrp()
def work(number, channel):
    channel.send(READY)
    while (request := channel.receive()) != STOP:
        say(request)
    say("stop", select.select([channel], [], [], 0.3)[0])

with Signals((signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)) as signals:
    supervisor = Supervisor(1, work)
    def heed():
        for number in signals.take():
            supervisor.tell_statistics() if number == signal.SIGUSR1 else supervisor.stop()
    def on_ready():
        os.killpg(0, signal.SIGUSR1)
        os.killpg(0, signal.SIGINT)
    supervisor.watch(signals, heed)
    supervisor.run(on_ready)
""")
    assert lines == ["b'statistics'", "stop []"]


def test_they_end_with_the_supervisor() -> None:
    program = """
def work(number, channel):
    channel.send(READY)
    say("left alone", channel.receive())

Supervisor(2, work).run(lambda: os.kill(os.getpid(), 9))
"""
    lines, _ = run(program, code=-9)
    assert lines == ["left alone b''"] * 2
