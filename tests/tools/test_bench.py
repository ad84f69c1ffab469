"""tools/bench: the instruments measure what they say, and nothing is left behind."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.benchmarks.__main__ import main
from tools.benchmarks.cases import Case, Figure, Outcome, measure, ratio
from tools.benchmarks.kernel_peer import Series
from tools.benchmarks.loss import jain
from tools.benchmarks.space import BenchError, compile_c, need

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parents[2]
MILLION = 1_000_000


def case(group: str, name: str, values: list[float], reference: str | None = None) -> Case:
    return Case(group, name, "Mbit/s", 1.0, lambda repetition: Figure(values[repetition], {}), reference, len(values))


def outcome(group: str, name: str, values: list[float], reference: str | None = None) -> Outcome:
    return Outcome(case(group, name, values, reference), [Figure(value, {}) for value in values])


# Figures


def test_all_cases_run_once_before_any_runs_again() -> None:
    order = []
    cases = [case("a", "one", [1, 2, 9]), case("a", "two", [4, 6])]
    outcomes = measure(cases, lambda each, repetition: order.append((each.name, repetition)))
    assert order == [("one", 0), ("two", 0), ("one", 1), ("two", 1), ("one", 2)]
    assert [each.median for each in outcomes] == [2, 5]


def test_a_ratio_is_that_of_the_medians_in_one_group() -> None:
    linux, ours = outcome("a", "Linux", [10, 20, 90]), outcome("a", "ours", [30, 5, 10], "Linux")
    other = outcome("b", "Linux", [1000])
    assert ratio(ours, [other, linux, ours]) == 0.5
    assert ratio(linux, [linux, ours]) is None
    assert ratio(ours, [other, ours]) is None
    assert ratio(ours, [outcome("a", "Linux", [0])]) is None


def test_the_middle_run_is_the_one_of_the_median() -> None:
    assert outcome("a", "ours", [30, 5, 10]).middle.value == 10


@pytest.mark.parametrize(("shares", "index"), [([5, 5], 1), ([5, 0], 0.5), ([3, 1], 0.8), ([2, 2, 2, 2], 1)])
def test_jain(shares: list[float], index: float) -> None:
    assert jain(shares) == pytest.approx(index)


def test_a_series_begins_with_the_first_octet_and_ends_with_its_time() -> None:
    series = Series(1.0)
    assert not series.add(100, 70.0)
    assert not series.add(10, 70.25)
    assert not series.add(1, 70.95)
    assert series.add(1000, 71.05)
    assert series.result()["octets"] == 111
    assert series.result()["series"] == [100, 0, 10, 0, 0, 0, 0, 0, 0, 1]


# What is missing


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(BenchError, match=r"^no-such, none-such not found: sudo apt-get install package other$"):
        need({"no-such": "package", "sh": "dash", "none-such": "other"})


def test_a_case_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: object) -> None:
    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setenv("TAPSTACK_BENCH_INSIDE", "yes")
    monkeypatch.setattr("os.nice", lambda increment: 0)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["loss", "--only", "no such case"]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == "tools/bench: no case has 'no such case' in its name\n"


# The link


class Link:
    """link.c between two socket pairs."""

    def __init__(self, program: Path, **profile: int) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        self.left, self.right = pairs[0][0], pairs[1][0]
        descriptors = [pair[1].fileno() for pair in pairs]
        default = {"rate": 10**9, "delay": MILLION, "queue": MILLION, "loss": 0, "reordering": 0, "late": 0, "seed": 1}
        numbers = [*(default | profile).values(), *descriptors]
        self.process = subprocess.Popen(
            [program, *map(str, numbers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=descriptors
        )
        for ours, theirs in pairs:
            theirs.close()
            ours.settimeout(10)

    def send(self, count: int, length: int = 100) -> None:
        for number in range(count):
            self.left.send(struct.pack("I", number).ljust(length, b"."))

    def receive(self, count: int) -> list[int]:
        return [struct.unpack_from("I", self.right.recv(2048))[0] for _ in range(count)]

    def end(self) -> dict[str, dict[str, int]]:
        """End it; what it counted."""
        counted: dict[str, dict[str, int]] = json.loads(self.process.communicate(timeout=10)[0])
        return counted

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close() if self.process.stdin else None
        self.process.stdout.close() if self.process.stdout else None
        self.left.close()
        self.right.close()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("programs")
    return {name: compile_c(f"{name}.c", folder) for name in ("link", "flow", "echo")}


@pytest.fixture
def make_link(programs: dict[str, Path]) -> Iterator[object]:
    made: list[Link] = []

    def make(**profile: int) -> Link:
        made.append(Link(programs["link"], **profile))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_link_carries_frames_as_they_are_in_both_directions(make_link) -> None:
    link = make_link()
    link.send(50)
    assert link.receive(50) == list(range(50))
    link.right.send(b"back")
    assert link.left.recv(2048) == b"back"
    counted = link.end()
    assert counted["to_right"]["frames"] == counted["to_right"]["delivered"] == 50
    assert counted["to_right"]["octets"] == 5000
    assert counted["to_left"]["delivered"] == 1


def test_a_link_takes_its_time(make_link) -> None:
    link = make_link(rate=1_000_000, delay=20 * MILLION)
    began = time.monotonic()
    link.send(2, length=1250)  # 10 ms of the transmitter each
    link.receive(2)
    assert time.monotonic() - began >= 0.040


def test_a_queue_holds_what_it_holds(make_link) -> None:
    link = make_link(rate=8000, queue=3000)  # a frame of 1,000 octets a second
    link.send(10, length=1000)
    link.right.send(b".")
    link.left.recv(1)  # now they have all been read
    counted = link.end()["to_right"]
    assert (counted["frames"], counted["overflows"], counted["delivered"]) == (10, 7, 0)


def test_losses_are_as_often_as_asked_for_and_the_same_for_a_seed(make_link) -> None:
    survivors = []
    for seed in (7, 7, 8):
        link = make_link(loss=200_000, seed=seed)
        link.send(250)  # of the last 50 one arrives for certain
        arrived = link.receive(1)
        while arrived[-1] < 200:
            arrived += link.receive(1)
        survivors.append(arrived)
        assert 20 <= link.end()["to_right"]["lost"] <= 90
    assert survivors[0] == survivors[1] != survivors[2]


def test_a_reordered_frame_is_overtaken_and_not_lost(make_link) -> None:
    link = make_link(reordering=200_000, late=10 * MILLION)
    link.send(100)
    arrived = link.receive(100)
    late = link.end()["to_right"]["reordered"]
    assert sorted(arrived) == list(range(100)) != arrived
    overtaken = [number for place, number in enumerate(arrived) if number < max(arrived[: place + 1])]
    assert 0 < len(overtaken) <= late <= 40


def test_a_wrong_number_is_refused(programs: dict[str, Path]) -> None:
    done = subprocess.run(
        [programs["link"], *["x", "1", "1", "1", "1", "1", "1", "3", "4"]], capture_output=True, text=True
    )
    assert done.returncode == 2 and "x is not a number" in done.stderr


@pytest.mark.parametrize("program", ["flow", "echo"])
def test_the_programs_say_how_they_are_used(programs: dict[str, Path], program: str) -> None:
    done = subprocess.run([programs[program], "fly", "away"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(f"usage: {program} ")


# The whole


def bench(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.benchmarks", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_of(session: int) -> list[str]:
    """The command lines of all processes in a session, zombies excepted."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


@pytest.mark.kernel
def test_a_run_measures_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    process = bench("loss", "--quick", "--only", "loss 0.1 %: ours to Linux", "--json", str(report))
    shown, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "ours to Linux" in shown and "Mbit/s" in shown
    [found] = json.loads(report.read_text())["cases"]
    [run] = found["runs"]
    assert found["median"] == run["value"] > 0.1
    assert run["link"]["to_right"]["lost"] > 0
    assert run["senders"][0]["counters"]["TcpRetransSegs"] > 0
    assert processes_of(process.pid) == []


@pytest.mark.kernel
def test_the_c_programs_send_to_the_kernel_and_receive_from_it(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    process = bench("bulk", "--quick", "--only", "C program", "--json", str(report))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    out, back = json.loads(report.read_text())["cases"]
    assert (out["name"], back["name"]) == (
        "a C program to Linux, without offload",
        "Linux to a C program, without offload",
    )
    for case in (out, back):
        [run] = case["runs"]
        assert run["value"] > 10 and run["receiver"]["octets"] > 0
    assert out["runs"][0]["sender"]["frames"] * 1460 >= out["runs"][0]["receiver"]["octets"]
    assert back["runs"][0]["sender"]["retransmitted"] == 0


@pytest.mark.kernel
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_nothing_is_left_of_a_run_that_is_ended(number: int, code: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        process = bench("loss", "--only", "no loss: ours to Linux", TMPDIR=folder)
        end = time.monotonic() + 30
        while not any("stack_peer" in each for each in processes_of(process.pid)):
            assert process.poll() is None and time.monotonic() < end, process.communicate()
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == code, errors
        assert "Traceback" not in errors
        while processes_of(process.pid):
            assert time.monotonic() < end + 10, processes_of(process.pid)
        if number != signal.SIGKILL:  # nobody can tidy up then, but for what the system does
            assert not os.listdir(folder)
