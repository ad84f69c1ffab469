"""The flight recorder: the latest frames, all of them, in memory that does not grow."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from stack.fastpath.ring import FrameRing
from stack.virtual.capture import FlightRecorder
from tests.effort import examples

CAPACITY = 2000
LONGEST = 300
ROOM_OF_A_BATCH = 3 * (LONGEST + 8) + 3 * 16 + 19


def batch(frames):
    ring = FrameRing(LONGEST, max_frames=8)
    assert all(ring.append(frame) for frame in frames)
    return ring


@settings(max_examples=examples(100))
@given(st.lists(st.lists(st.integers(14, LONGEST), min_size=1, max_size=3), max_size=60))
def test_the_latest_frames_are_remembered(batches):
    recorder = FlightRecorder(CAPACITY)
    passed = []
    for now, sizes in enumerate(batches):
        frames = [bytes([now, index]) * (size // 2) for index, size in enumerate(sizes)]
        recorder.observe(now % 3 == 0, now % 2, batch(frames), now)
        passed += [(now, now % 3 == 0, now % 2, frame) for frame in frames]
        found = [(each.instant, each.received, each.port, each.octets) for each in recorder.frames()]
        assert found == passed[len(passed) - len(found) :]
        forgotten = len(found) < len(passed)
        assert not forgotten or sum(len(frame) + 16 + 19 + 8 for *_, frame in found) > CAPACITY - 2 * ROOM_OF_A_BATCH


def test_what_does_not_fit_is_not_remembered_and_forgets_nothing():
    recorder = FlightRecorder(200)
    recorder.observe(True, 0, batch([b"x" * 60]), 1)
    recorder.observe(True, 0, batch([b"y" * 250]), 2)
    assert [each.octets for each in recorder.frames()] == [b"x" * 60]


def test_memory_does_not_grow():
    recorder = FlightRecorder(1 << 16)
    frames = batch([bytes(60)])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for now in range(2000):
            recorder.observe(True, 0, frames, now)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2000
