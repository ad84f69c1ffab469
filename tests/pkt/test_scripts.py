"""Every script of this folder: what is sent, when, and nothing else."""

from pathlib import Path

import pytest

from stack.pkt.parser import parse
from stack.pkt.runner import run

HERE = Path(__file__).parent
SCRIPTS = sorted(path.relative_to(HERE).as_posix() for path in HERE.rglob("*.pkt"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name: str) -> None:
    run(parse((HERE / name).read_text(), name))


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) > 20
