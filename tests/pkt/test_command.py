"""`tapstack pkt`: what it prints, and its exit codes."""

from pathlib import Path

import pytest

from stack.cli.main import main

GOOD = "0 < S 0:0(0) win 100\n+0 > R. 0:0(0) ack 1\n"
WRONG = "0 < S 0:0(0) win 100\n+0 > R. 0:0(0) ack 2\n"
UNREADABLE = "0 < S 0:0(0) win 100\n+0 > R. 0:0(0)\n"


def write(folder: Path, **scripts: str) -> list[str]:
    for name, text in scripts.items():
        (folder / f"{name}.pkt").write_text(text)
    return [str(folder / f"{name}.pkt") for name in scripts]


def test_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = write(tmp_path, one=GOOD, two=GOOD)
    assert main(["pkt", *files]) == 0
    assert capsys.readouterr().out == f"ok {files[0]}\nok {files[1]}\n"


def test_every_event_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = write(tmp_path, one=GOOD)
    assert main(["pkt", "-v", path]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "0.000000 < S 0:0(0) win 100",
        "0.000000 > R. 0:0(0) ack 1 win 0",
        f"ok {path}",
    ]


def test_a_failure_and_the_scripts_behind_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = write(tmp_path, wrong=WRONG, good=GOOD)
    assert main(["pkt", *files]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"failed {files[0]}:2: at 0.000000: another packet (ack)",
        "  expected: > R. 0:0(0) ack 2",
        "  actual:   > R. 0:0(0) ack 1 win 0",
        f"ok {files[1]}",
    ]


def test_a_script_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = write(tmp_path, unreadable=UNREADABLE, wrong=WRONG)
    assert main(["pkt", *files]) == 2
    assert f"{files[0]}:2: expected 'ack'" in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pkt", str(tmp_path / "none.pkt")]) == 2
    assert capsys.readouterr().err == f"tapstack: cannot read {tmp_path}/none.pkt: No such file or directory\n"


def test_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pkt"]) == 2
    assert "FILE" in capsys.readouterr().err
