"""Whatever a script says, it passes, it fails, or it cannot be read: no other exception, and an end."""

import random
from pathlib import Path

import pytest

from stack.pkt.lexer import tokens
from stack.pkt.parser import parse
from stack.pkt.runner import run
from stack.pkt.syntax import ScriptError, ScriptFailure

SCRIPTS = [
    [token.text for token in tokens(path.read_text(), path.name)][:-1]
    for path in sorted(Path(__file__).parent.rglob("*.pkt"))
]


def kind(text: str) -> int:
    return 0 if text.isdigit() else 1 if text[:1].isalpha() else 2


def mangled(chance: random.Random) -> str:
    """A script with a few of its tokens replaced, mostly by others of their kind, or left out."""
    script = list(chance.choice(SCRIPTS))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(script))
        others = [each for each in chance.choice(SCRIPTS) if kind(each) == kind(script[at])]
        if others and chance.random() < 0.8:
            script[at] = chance.choice(others)
        else:
            del script[at]
    return "\n".join(script)


@pytest.mark.parametrize("seed", range(20))
def test_any_script(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(25):
        text = mangled(chance)
        try:
            run(parse(text, "t"))
        except (ScriptError, ScriptFailure) as error:
            assert str(error).startswith("t:")
