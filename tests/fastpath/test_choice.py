"""TAPSTACK_FASTPATH: which fastpath is taken, and what is said when it cannot be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_C = "import sys; sys.modules['stack._native'] = None; "
ASK = "from stack import fastpath; print(fastpath.NAME, fastpath.checksum.__module__)"


def ask(choice, code=ASK):
    environment = {name: value for name, value in os.environ.items() if name != "TAPSTACK_FASTPATH"}
    if choice is not None:
        environment["TAPSTACK_FASTPATH"] = choice
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_reference_when_asked_for():
    assert ask("reference").stdout.split() == ["reference", "stack.fastpath.reference"]


@pytest.mark.parametrize("choice", [None, "", "native"])
def test_c_when_it_is_there(choice):
    pytest.importorskip("stack._native", reason="only the Python fastpath is installed")
    assert ask(choice).stdout.split() == ["native", "stack.fastpath.native"]


def test_python_and_a_word_about_it_when_c_is_not_there():
    done = ask(None, WITHOUT_C + ASK)
    assert done.stdout.split()[0] == "reference"
    assert done.stderr.count("the C extension is not built") == 1


def test_no_word_about_it_from_who_chose_python():
    assert ask("reference", WITHOUT_C + ASK).stderr == ""


def test_insisting_on_c_that_is_not_there_fails():
    done = ask("native", WITHOUT_C + ASK)
    assert done.returncode != 0
    assert "ConfigurationError: TAPSTACK_FASTPATH=native, but the extension is not built" in done.stderr


def test_any_other_choice_fails_and_says_what_there_is():
    done = ask("fast")
    assert done.returncode != 0
    assert "ConfigurationError: TAPSTACK_FASTPATH is 'fast'; it can be native or reference" in done.stderr
