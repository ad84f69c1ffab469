"""What the README says is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stack.io.configuration import OPTIONS

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", example]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"200,000 octets in \d", done.stdout)


def test_every_option_is_in_the_table():
    table = re.findall(r"^\| `(--[a-z-]+|DIR|MODULE:NAME)[^|]*\| ([^|]*)\|", README, re.MULTILINE)
    said = {name.removeprefix("--"): default.strip().strip("`") for name, default in table}
    positional = {"directory": "DIR", "application": "MODULE:NAME"}
    assert set(said) == {positional.get(option.name, option.name) for option in OPTIONS} | {"config"}
    for option in OPTIONS:
        if option.default not in (None, False):
            assert said[option.name] == str(option.default)


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_are_named_exist():
    for page in (ROOT / "README.md", ROOT / "docs" / "architecture.md"):
        for name in re.findall(r"`((?:stack|tools|docs|tests|native)/[\w./-]+)`", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
