"""How many examples a property test tries, where it is not Hypothesis's own hundred."""

from hypothesis import settings


def examples(number: int) -> int:
    """`number` in a check; in the long run as many times more as its profile says (tests/conftest.py)."""
    return number * settings().max_examples // 100
