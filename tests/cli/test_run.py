"""Which program `tapstack run` runs."""

import sys
from pathlib import Path

import pytest

from stack.cli.main import main
from stack.cli.run import find_program
from stack.errors import ConfigurationError

PROGRAM = """
import json, sys
with open("said", "w") as said:
    json.dump([__name__, sys.argv, sys.path[0]], said)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"program_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(PROGRAM)
    return name


@pytest.mark.parametrize("python", [[], ["python"], ["/usr/bin/python3"]])
@pytest.mark.parametrize("how", ["file", "module"])
def test_a_file_and_a_module(program: str, tmp_path: Path, python: list[str], how: str) -> None:
    command = [f"{program}.py"] if how == "file" else ["-m", program]
    find_program([*python, *command, "--option", "argument"])()
    name = f"{program}.py" if how == "file" else str(tmp_path / f"{program}.py")
    expected = f'["__main__", ["{name}", "--option", "argument"], "{tmp_path}"]'
    assert (tmp_path / "said").read_text() == expected


def test_the_command_of_a_package(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        find_program(["pytest", "--version"])()
    assert caught.value.code == 0 and capsys.readouterr().out.startswith("pytest ")
    assert sys.argv == ["pytest", "--version"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["no-such-program"], "'no-such-program' is neither a Python file, nor -m MODULE"),
        (["-m"], "'-m' is neither a Python file, nor -m MODULE"),
        ([], "no program is given: tapstack run"),
        (["python"], "no program is given: tapstack run"),
    ],
)
def test_no_program(program: str, command: list[str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        find_program(command)


def test_its_options_are_its_own(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--mtu", "67", "--", "no-such-program", "--mtu", "1500"]) == 2
    assert "--mtu: 67 is not an MTU" in capsys.readouterr().err
    assert main(["run", "no-such-program", "--port", "80"]) == 2
    assert "'no-such-program' is neither a Python file" in capsys.readouterr().err
    assert main(["run", "--port", "80", "--", "no-such-program"]) == 2
    assert "unrecognized arguments: --port" in capsys.readouterr().err
