"""Octets that wait for the application: large pieces are handed on as they came, small ones together."""

import pytest

from stack.counters import Counters
from stack.transport.tcp.buffers import ReceiveBuffer
from stack.transport.tcp.memory import Memory

LARGE = bytes(65_160)


@pytest.mark.parametrize("around", [[], [b"a" * 1500], [b"a" * 1500, b"b" * 1500, b"c" * 1500]])
def test_a_large_piece_is_not_copied_whatever_is_around_it(around):
    memory = Memory(1 << 30, Counters())
    buffer = ReceiveBuffer(memory)
    for piece in [*around, LARGE, *around, LARGE, *around]:
        buffer.append(piece)
    read = []
    while buffer:
        read.append(buffer.read(1 << 20))
    small = [b"".join(around)] if around else []
    assert read == [*small, LARGE, *small, LARGE, *small]
    assert sum(each is LARGE for each in read) == 2
    assert memory.used == buffer.size == 0
