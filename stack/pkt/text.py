"""The text that everybody in a script sends: a fixed pattern, so that no octet stands in the wrong place unnoticed."""

import random
from typing import Final

from stack.pkt.syntax import ScriptFailure

_PATTERN: Final = random.Random(2018).randbytes(65521)  # a prime: no shift by a power of two looks alike


def pattern(offset: int, length: int) -> bytes:
    """`length` octets of the text that everybody sends, from `offset` on."""
    start = offset % len(_PATTERN)
    return (_PATTERN * ((start + length) // len(_PATTERN) + 1))[start : start + length]


def check_pattern(offset: int, data: bytes) -> None:
    """Raise ScriptFailure unless `data` is the text from `offset` on."""
    if data != pattern(offset, len(data)):
        raise ScriptFailure(f"octets {offset + 1}+{len(data)} are not those that were sent")
