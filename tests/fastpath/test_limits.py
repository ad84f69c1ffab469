"""The edges of what the fastpath is given: rings of odd sizes, and arguments that no segment can have."""

import errno
import os
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.addresses import MacAddress
from stack.fastpath.ring import FrameRing

MAC = MacAddress(bytes.fromhex("020000000001"))
TEMPLATE = MAC + bytes.fromhex("020000000002 0800 4500 0000 0000 4000 4006 0000 0a000002 0a000001 0050 1f90")


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for end in (reader, writer):
        os.close(end)


@pytest.mark.parametrize("capacity", range(9, 20))
def test_nothing_is_read_beyond_a_ring_whose_size_is_odd(fastpath, pipe, capacity):
    ring = FrameRing(9, 2, capacity)
    ring.append(b"123456789")
    os.write(pipe[1], bytes(9))
    assert fastpath.read_frames(pipe[0], ring) == 0
    assert ring.count == 1


def test_an_error_says_what_the_kernel_said(fastpath):
    for call in (fastpath.read_frames, fastpath.write_frames):
        ring = FrameRing(9, 2)
        if call is fastpath.write_frames:
            ring.append(b"frame")
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            call(-1, ring)


@given(options=st.binary(max_size=40).map(lambda octets: octets[: len(octets) // 4 * 4]))
@pytest.mark.parametrize("name", ["native", "reference"])
def test_options_are_handed_on_as_they_are(name, options):
    path = pytest.importorskip(f"stack.fastpath.{name}")
    ring = FrameRing(200, 2)
    assert path.emit_tcp(ring, TEMPLATE, 1, 2, 16, 3, options, b"text", 100) == 4
    [record] = path.parse_tcp(ring, MAC)
    assert record[0] == 1
    if not record[12]:
        assert bytes(ring.buffer[record[15] : record[15] + record[16]]) == options


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": TEMPLATE[:-1]}, "a template has 38 octets, not 37"),
        ({"options": b"\1\1\1"}, "words of four, not 3"),
        ({"options": bytes(44)}, "words of four, not 44"),
        ({"mss": 0}, "1 to 65495 octets of text, not 0"),
        ({"mss": 65496}, "1 to 65495 octets of text, not 65496"),
    ],
)
def test_what_no_segment_can_have_is_refused(fastpath, change, message):
    arguments = {"template": TEMPLATE, "options": b"", "mss": 100} | change
    ring = FrameRing(1 << 17, 2)
    with pytest.raises(ValueError, match=message):
        fastpath.emit_tcp(
            ring, arguments["template"], 1, 2, 16, 3, arguments["options"], bytes(70000), arguments["mss"]
        )
    assert ring.count == 0


@pytest.mark.parametrize("mss", [1, 65_480, 65_535])
def test_without_text_the_mss_is_of_no_meaning(fastpath, mss):
    """A SYN is made with the MSS that it announces, which does not allow for the options (RFC 6691)."""
    for offload in (False, True):
        ring = FrameRing(100, 2, offload=offload)
        assert fastpath.emit_tcp(ring, TEMPLATE, 1, 2, 2, 3, bytes(20), b"", mss) == 0
        assert len(ring) == 1 and len(ring[0]) == 74


def test_a_mac_address_has_six_octets(fastpath):
    with pytest.raises(ValueError, match="6 octets, not 5"):
        fastpath.parse_tcp(FrameRing(200, 2), MacAddress(MAC[:5]))


def test_no_octets_are_nothing_to_reassemble(fastpath):
    ranges = array("Q", bytes(16))
    assert fastpath.reassemble(bytearray(8), ranges, 0, 5, b"") == 0
    assert list(ranges) == [0, 0]


def test_more_than_the_storage_is_refused_and_changes_nothing(fastpath):
    storage, ranges = bytearray(8), array("Q", bytes(16))
    assert fastpath.reassemble(storage, ranges, 0, 5, bytes(b"x" * 9)) == -1
    assert (storage, list(ranges)) == (bytearray(8), [0, 0])
