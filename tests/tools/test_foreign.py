"""tools/foreign: what is expected of other people's tests, and what becomes of them."""

import json
import platform
import textwrap
from pathlib import Path

import pytest

from tools.foreign_tests import __main__ as runner
from tools.foreign_tests import suites
from tools.foreign_tests.expectations import Expectations
from tools.foreign_tests.place import KERNEL, STACK
from tools.foreign_tests.report import Result

pytestmark = pytest.mark.tools

EXPECTED = """
version = "1.2"
[files]
"test_a.py" = "EPoll*::*"
"test_b.py" = "*"
[elsewhere]
"it is about something else" = ["test_c.py"]
[[not_applicable]]
why = "IPv6"
cases = ["*ipv6*"]
[[fails]]
why = "it is too much"
cases = ["test_b.py::test_much[one-*]", "*::test_more"]
"""


def expectations(folder: Path, text: str = EXPECTED) -> Expectations:
    file = folder / "somebody.toml"
    file.write_text(text)
    return Expectations.load(file)


def test_what_is_run(tmp_path: Path) -> None:
    expected = expectations(tmp_path)
    assert expected.suite == "somebody" and expected.version == "1.2"
    assert expected.mentioned() == {"test_a.py", "test_b.py", "test_c.py"}
    assert expected.is_run("test_a.py::EPollTests::test_one")
    assert not expected.is_run("test_a.py::SelectTests::test_one")
    assert expected.is_run("test_b.py::test_one[a-b]")
    assert not expected.is_run("test_c.py::test_one")
    assert expected.not_applicable("test_b.py::test_ipv6_too") == "IPv6"
    assert expected.not_applicable("test_b.py::test_ipv4_too") is None
    assert expected.fails("test_b.py::test_much[one-two]") == "it is too much"
    assert expected.fails("test_b.py::test_much[two-one]") is None


def test_surprises(tmp_path: Path) -> None:
    expected = expectations(tmp_path)
    outcomes = {
        "test_a.py::EPollTests::test_one": "failed",
        "test_a.py::EPollTests::test_two": "passed",
        "test_b.py::test_much[one-two]": "passed",
        "test_b.py::test_much[one-three]": "failed",
        "test_b.py::test_much[one-four]": "skipped",
        "test_b.py::test_ipv6": "not applicable",
    }
    some = [
        "test_a.py::EPollTests::test_one fails, and is not listed",
        "test_b.py::test_much[one-two] passes, and is listed: it is too much",
    ]
    assert expected.surprises(outcomes, all_were_run=False) == some
    assert expected.surprises(outcomes, all_were_run=True) == [*some, "*::test_more is listed (fails), and is no case"]


@pytest.mark.parametrize(
    "wrong", ["[mistake]\n", '[[fails]]\ncases = ["a"]\n', '[[fails]]\nwhy = "b"\ncases = ["a"]\nother = 1\n']
)
def test_mistakes_in_the_file_are_told(tmp_path: Path, wrong: str) -> None:
    text = 'version = "1"\n[files]\n[elsewhere]\n' + wrong
    with pytest.raises(ValueError, match=r"somebody\.toml"):
        expectations(tmp_path, text)


@pytest.mark.parametrize("name", suites.BY_NAME)
def test_the_files_of_the_suites_can_be_read(name: str) -> None:
    expected = Expectations.load(runner.HERE / f"{name}.toml")
    assert expected.suite == name and expected.files
    assert not expected.files.keys() & {each for files in expected.elsewhere.values() for each in files}


def test_cpythons_tests_are_copied_with_the_stacks_address(tmp_path: Path) -> None:
    tests, _ = suites.BY_NAME["asyncio"].copy(tmp_path)
    copied = (tests / "utils.py").read_text()
    assert f"host='{STACK}'" in copied and "127.0.0.1" not in copied
    assert (tmp_path / "test" / "support" / "__init__.py").exists()
    assert (tmp_path / "test" / "support").is_symlink()


def test_a_python_without_its_tests_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(suites.Missing, match=r"apt-get install libpython3\.\d+-testsuite"):
        suites.BY_NAME["asyncio"].copy(tmp_path)


def test_a_suite_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        runner.main(["trio"])
    assert "no suite trio" in capsys.readouterr().err


def test_of_another_version_nothing_is_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [{"case": "test_a.py::test_one", "outcome": "failed", "reason": "so"}]
    monkeypatch.setattr(runner, "run", lambda name, only, jobs: Result(name, "0.1", 1.0, records, (), compared=False))
    assert runner.main(["asyncio"]) == 0
    assert (
        "1 failed, 0 skipped; all of it as listed, but for asyncio 0.1, of which nothing is" in capsys.readouterr().out
    )


CASES = """
import asyncio, socket, threading, unittest

HERE = "127.0.0.1"

async def echo(reader, writer):
    writer.write(await reader.read(100))
    writer.close()

async def ask(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"hello")
    writer.write_eof()
    assert await reader.read() == b"hello"
    writer.close()
    return writer.get_extra_info("peername")[0]

class Cases(unittest.TestCase):
    def setUp(self):
        self.loop = asyncio.SelectorEventLoop()
        self.addCleanup(self.loop.close)

    def test_a_loop_with_itself(self):
        async def main():
            server = await asyncio.start_server(echo, "localhost", 0)
            async with server:
                self.assertEqual(await ask(server.sockets[0].getsockname()), HERE)
        self.loop.run_until_complete(main())

    def test_a_socket_that_is_given_to_the_loop(self):
        sock = socket.socket()
        sock.bind((HERE, 0))
        async def main():
            async with await asyncio.start_server(echo, sock=sock) as server:
                self.assertEqual(await ask(server.sockets[0].getsockname()), HERE)
        self.loop.run_until_complete(main())

    def test_a_client_in_the_same_thread(self):
        server = self.loop.run_until_complete(asyncio.start_server(echo, HERE, 0))
        client = socket.create_connection(server.sockets[0].getsockname())
        client.sendall(b"hello")
        self.loop.run_until_complete(asyncio.sleep(0.1))
        self.assertEqual(client.recv(100), b"hello")
        client.close()
        server.close()

    def test_a_server_in_a_thread(self):
        sock = socket.create_server((HERE, 0))
        def serve():
            taken, _ = sock.accept()
            taken.sendall(taken.recv(100))
            taken.close()
        thread = threading.Thread(target=serve)
        thread.start()
        self.assertEqual(self.loop.run_until_complete(ask(sock.getsockname())), KERNEL)
        thread.join()
        sock.close()

    def test_no_network(self):
        self.loop.run_until_complete(asyncio.sleep(0))

    def test_subtests(self):
        for number in 1, 2:
            with self.subTest(number=number):
                self.assertEqual(number, 1)

    def test_that_fails(self):
        self.fail("as it is listed")

    def test_that_is_left_open(self):
        self.loop.run_until_complete(asyncio.start_server(echo, HERE, 7))
        self._cleanups.clear()

    def test_that_needs_what_was_left_open(self):
        self.loop.run_until_complete(asyncio.start_server(echo, HERE, 7))

    @unittest.skip("for a reason")
    def test_skipped(self):
        pass

    def test_ipv6(self):
        self.fail("not run")
""".replace("KERNEL", f'"{KERNEL}"')


@pytest.mark.kernel
def test_a_suite_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def copy(folder: Path) -> tuple[Path, list[str]]:
        tests = folder / "tests"
        tests.mkdir()
        (tests / "test_small.py").write_text(CASES.replace("127.0.0.1", STACK))
        (tests / "test_new.py").write_text("")
        return tests, []

    fake = suites.Suite(platform.python_version, copy, lambda: None)
    expected = f"""
        version = "{platform.python_version()}"
        [files]
        "test_small.py" = "*"
        [elsewhere]
        [[not_applicable]]
        why = "IPv6"
        cases = ["*ipv6*"]
        [[fails]]
        why = "so"
        cases = ["*::test_that_fails", "*::test_no_network"]
    """
    (tmp_path / "asyncio.toml").write_text(textwrap.dedent(expected))
    monkeypatch.setattr(runner, "HERE", tmp_path)
    monkeypatch.setattr(suites, "BY_NAME", {"asyncio": fake})
    assert runner.main(["--json", str(tmp_path / "result.json")]) == 1
    [result] = json.loads((tmp_path / "result.json").read_text())
    outcomes = {each["case"].rpartition("::")[2]: each for each in result["cases"]}
    on_the_stack = {
        "test_a_loop_with_itself",
        "test_a_socket_that_is_given_to_the_loop",
        "test_a_client_in_the_same_thread",
        "test_a_server_in_a_thread",
    }
    others = {"test_no_network", "test_that_is_left_open", "test_that_needs_what_was_left_open"}
    assert {name for name, each in outcomes.items() if each["outcome"] == "passed"} == on_the_stack | others
    assert {name for name, each in outcomes.items() if each.get("on_stack")} == on_the_stack
    assert {name for name, each in outcomes.items() if each["outcome"] == "failed"} == {
        "test_that_fails",
        "test_subtests",
    }
    assert outcomes["test_skipped"]["reason"] == "for a reason"
    assert (outcomes["test_ipv6"]["outcome"], outcomes["test_ipv6"]["reason"]) == ("not applicable", "IPv6")
    assert result["surprises"] == [
        "test_small.py::Cases::test_no_network passes, and is listed: so",
        "test_small.py::Cases::test_subtests fails, and is not listed",
        "test_new.py is not mentioned",
    ]
    printed = capsys.readouterr().out
    assert "NOT EXPECTED: test_new.py is not mentioned" in printed and "7 cases passed, 2 failed, 1 skipped" in printed
