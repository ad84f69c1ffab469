"""Ethernet II frames with and without an 802.1Q tag."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import MalformedPacket
from stack.wire import ethernet
from stack.wire.ethernet import ETHERTYPE_VLAN, EthernetHeader

DST, SRC = bytes.fromhex("ffffffffffff"), bytes.fromhex("020000000001")

macs = st.binary(min_size=6, max_size=6)
headers = st.builds(
    EthernetHeader,
    macs,
    macs,
    st.integers(0, 0xFFFF).filter(lambda ethertype: ethertype != ETHERTYPE_VLAN),
    st.none() | st.integers(0, 0xFFFF),
)


@given(headers, st.binary(max_size=60))
def test_what_is_built_parses_to_the_same(header, payload):
    assert ethernet.parse(ethernet.build(header, payload)) == (header, payload)


@given(st.binary(min_size=18, max_size=80), st.booleans())
def test_what_is_parsed_builds_to_the_same(frame, tagged):
    if tagged:
        frame = frame[:12] + b"\x81\x00" + frame[14:]
    assert ethernet.build(*ethernet.parse(frame)) == frame


def test_an_untagged_frame():
    frame = DST + SRC + bytes.fromhex("0806") + b"payload"
    assert ethernet.parse(frame) == (EthernetHeader(DST, SRC, 0x0806), b"payload")


def test_a_tagged_frame():
    """Priority 3, VLAN 100, then the EtherType of what is inside."""
    frame = DST + SRC + bytes.fromhex("8100 6064 0800") + b"payload"
    header, payload = ethernet.parse(frame)
    assert header == EthernetHeader(DST, SRC, 0x0800, vlan=0x6064)
    assert payload == b"payload"


def test_only_the_outer_tag_is_taken_off():
    frame = DST + SRC + bytes.fromhex("8100 0001 8100 0002 0800")
    header, payload = ethernet.parse(frame)
    assert (header.ethertype, header.vlan, bytes(payload)) == (ETHERTYPE_VLAN, 1, bytes.fromhex("00020800"))


def test_an_802_3_length_is_an_ethertype_that_nobody_speaks():
    header, _ = ethernet.parse(DST + SRC + bytes.fromhex("0026 4242 03"))
    assert header.ethertype == 0x26


def test_frames_are_not_padded():
    assert len(ethernet.build(EthernetHeader(DST, SRC, 0x0800), b"x")) == 15


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (bytes(13), "Ethernet: a header has 14 octets, the frame has 13"),
        (b"", "Ethernet: a header has 14 octets, the frame has 0"),
        (DST + SRC + b"\x81\x00\x00", "Ethernet: a header with an 802.1Q tag has 18 octets, the frame has 15"),
    ],
)
def test_frames_that_are_too_short(frame, message):
    with pytest.raises(MalformedPacket) as caught:
        ethernet.parse(frame)
    assert str(caught.value) == message
