"""Every script of this folder: what is sent, when, and nothing else.

A script says in its first lines what it shows and where that is written; `// proves 9293-MUST-7 ...` names requirements
of docs/rfc/requirements.csv.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from stack.pkt.parser import parse
from stack.pkt.runner import run

HERE = Path(__file__).parent
PROVES = re.compile(r"^// proves (.*)$", re.MULTILINE)


def scripts() -> list[Any]:
    found = []
    for path in sorted(HERE.rglob("*.pkt")):
        ids = [each for found in PROVES.findall(path.read_text()) for each in found.split()]
        marks = [pytest.mark.req(*ids)] if ids else []
        found.append(pytest.param(path, id=path.relative_to(HERE).as_posix(), marks=marks))
    return found


@pytest.mark.parametrize("path", scripts())
def test_script(path: Path) -> None:
    run(parse(path.read_text(), path.relative_to(HERE).as_posix()))


def test_the_scripts_are_found_with_what_they_prove() -> None:
    found = scripts()
    assert len(found) > 150 and sum(bool(each.marks) for each in found) > 100
