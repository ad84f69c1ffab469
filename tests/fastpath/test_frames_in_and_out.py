"""Frames read from a descriptor into a ring and written from one, in C and in Python."""

import errno
import os
import socket

import pytest

from stack.fastpath.ring import ALIGNMENT, FrameRing


@pytest.fixture
def ends():
    """The two ends of a link that keeps frames apart, as a TAP device does; neither end waits."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        one.setblocking(False)
        two.setblocking(False)
        yield one, two


def frames_of(ring):
    return [bytes(frame) for frame in ring]


def a_ring(*frames, **sizes):
    ring = FrameRing(**{"max_frame": 100, "max_frames": 8, **sizes})
    for frame in frames:
        assert ring.append(frame)
    return ring


def test_every_waiting_frame_is_read_and_no_more(fastpath, ends):
    sent = [bytes([number]) * (number + 1) for number in range(5)]
    for frame in sent:
        ends[0].send(frame)
    ring = a_ring()
    assert fastpath.read_frames(ends[1].fileno(), ring) == 5
    assert frames_of(ring) == sent
    assert fastpath.read_frames(ends[1].fileno(), ring) == 0
    assert frames_of(ring) == sent


def test_frames_are_added_behind_those_that_are_there(fastpath, ends):
    ring = a_ring(b"first")
    ends[0].send(b"second")
    assert fastpath.read_frames(ends[1].fileno(), ring) == 1
    ring.append(b"third")
    assert frames_of(ring) == [b"first", b"second", b"third"]
    assert all(start % ALIGNMENT == 0 for start in ring.starts[:3])


def test_what_a_full_ring_has_no_place_for_waits(fastpath, ends):
    for number in range(5):
        ends[0].send(bytes([number]))
    ring = a_ring(max_frames=3)
    assert fastpath.read_frames(ends[1].fileno(), ring) == 3
    assert fastpath.read_frames(ends[1].fileno(), ring) == 0
    ring.clear()
    assert fastpath.read_frames(ends[1].fileno(), ring) == 2
    assert frames_of(ring) == [b"\x03", b"\x04"]


def test_a_frame_is_read_only_where_the_longest_would_fit(fastpath, ends):
    for _ in range(4):
        ends[0].send(bytes(100))
    ring = a_ring(capacity=104 * 2 + 99)
    assert fastpath.read_frames(ends[1].fileno(), ring) == 2
    assert ring.used == 208


def test_nothing_is_read_at_the_end_of_a_pipe(fastpath):
    reader, writer = os.pipe()
    os.close(writer)
    try:
        assert fastpath.read_frames(reader, a_ring()) == 0
    finally:
        os.close(reader)


def test_a_closed_descriptor_is_an_error(fastpath):
    with pytest.raises(OSError) as reading:
        fastpath.read_frames(-1, a_ring())
    with pytest.raises(OSError) as writing:
        fastpath.write_frames(-1, a_ring(b"frame"))
    assert reading.value.errno == writing.value.errno == errno.EBADF


def test_every_frame_is_written_and_the_ring_stays(fastpath, ends):
    sent = [b"one", b"two" * 30, b"3"]
    ring = a_ring(*sent)
    assert fastpath.write_frames(ends[0].fileno(), ring) == 3
    assert [ends[1].recv(200) for _ in sent] == sent
    assert frames_of(ring) == sent


def test_frames_that_the_kernel_has_no_room_for_are_not_counted(fastpath, ends):
    ring = a_ring(*[bytes(1000)] * 50, max_frame=1000, max_frames=50)
    taken = [fastpath.write_frames(ends[0].fileno(), ring) for _ in range(40)]
    assert taken[0] == 50
    assert taken[-1] == 0
    received = 0
    while True:
        try:
            ends[1].recv(2000)
        except BlockingIOError:
            break
        received += 1
    assert received == sum(taken)


def test_no_frames_need_no_descriptor(fastpath):
    assert fastpath.write_frames(-1, a_ring()) == 0


def test_what_was_written_is_what_is_read(fastpath, ends):
    sent = [os.urandom(size) for size in (1, 14, 60, 99, 100)]
    fastpath.write_frames(ends[0].fileno(), a_ring(*sent))
    ring = a_ring()
    assert fastpath.read_frames(ends[1].fileno(), ring) == len(sent)
    assert frames_of(ring) == sent
