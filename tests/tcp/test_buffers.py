"""The receive buffer beside a plain string of octets, however it is filled and emptied."""

from hypothesis import given
from hypothesis import strategies as st

from stack.counters import Counters
from stack.transport.tcp.buffers import ReceiveBuffer
from stack.transport.tcp.memory import Memory

SIZES = st.one_of(st.integers(0, 40), st.sampled_from([2000, 2048, 2049, 16383, 16384, 40000]))
STEPS = st.lists(st.tuples(st.sampled_from(["append", "read", "read_into"]), SIZES), max_size=30)


@given(STEPS)
def test_what_is_read_is_what_was_added(steps: list[tuple[str, int]]) -> None:
    memory = Memory(1 << 20, Counters())
    buffer, expected, sent = ReceiveBuffer(memory), b"", 0
    for call, size in steps:
        if call == "append":
            data = bytes(number % 251 for number in range(sent, sent + size))
            buffer.append(memoryview(data))
            expected += data
            sent += size
            continue
        if call == "read":
            data = buffer.read(size)
            assert data or not (size and expected)
        else:
            room = bytearray(b"\xff" * size)
            count = buffer.read_into(memoryview(room))
            assert count == min(size, len(expected)) and room[count:] == b"\xff" * (size - count)
            data = bytes(room[:count])
        assert data == expected[: len(data)] and len(data) <= size
        expected = expected[len(data) :]
        assert len(buffer) == memory.used == len(expected)
    buffer.clear()
    assert len(buffer) == memory.used == 0 and buffer.read(10) == b""
