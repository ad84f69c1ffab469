"""CE in place of a drop, and the checksum that goes with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.virtual.ecn import marked
from stack.wire.checksum import internet_checksum, updated
from tests.virtual.frames import CE, ECT_0, ECT_1, NOT_ECT, packet, packet_of


@pytest.mark.parametrize("vlan", [None, 5])
@pytest.mark.parametrize("codepoint", [ECT_0, ECT_1])
def test_ect_becomes_ce_and_nothing_else_changes(codepoint, vlan):
    before = packet(77, codepoint, vlan=vlan)
    after = marked(before)
    header, payload = packet_of(after)  # verifies the checksum
    assert header.tos == CE
    old_header, old_payload = packet_of(before)
    old_header.tos = CE
    assert (header, payload) == (old_header, old_payload)
    assert len(after) == len(before) and after[:12] == before[:12]


def test_the_rest_of_the_type_of_service_stays():
    header, _ = packet_of(marked(packet(1, 0xB8 | ECT_0)))
    assert header.tos == 0xB8 | CE


def test_who_does_not_speak_ecn_is_not_marked():
    assert marked(packet(1, NOT_ECT)) is None
    assert marked(packet(1, NOT_ECT, vlan=5)) is None


def test_ce_stays_as_it_is():
    frame = packet(1, CE)
    assert marked(frame) is frame


def test_a_wrong_checksum_stays_wrong():
    frame = bytearray(packet(1, ECT_0))
    frame[14 + 8] ^= 0x40  # the time to live
    after = marked(bytes(frame))
    assert internet_checksum(after[14:34]) != 0


@given(st.binary(max_size=60))
def test_any_octets_are_left_alone_or_marked(octets):
    after = marked(octets)
    if after is not None:
        assert len(after) == len(octets)
        assert sum(a != b for a, b in zip(octets, after, strict=True)) <= 3


@pytest.mark.parametrize("frame", [b"", bytes(14), bytes(12) + b"\x08\x00", bytes(12) + b"\x08\x06" + b"\x45\x02" * 20])
def test_what_is_not_ipv4_is_not_marked(frame):
    assert marked(frame) is None


@pytest.mark.req("1624-1")
def test_an_adjusted_checksum_is_a_new_sum():
    """Every change of one word, in a header in which the others make the sum come to every value."""
    others = bytes.fromhex("0054abcd40004001")
    for old, new in [(0x4500, 0x4501), (0x4502, 0x4503), (0x0000, 0xFFFF), (0xFFFF, 0x0000), (0x8000, 0x7FFF)]:
        for word in range(0x10000):
            rest = others + word.to_bytes(2, "big")
            before = internet_checksum(old.to_bytes(2, "big") + rest)
            assert updated(before, old, new) == internet_checksum(new.to_bytes(2, "big") + rest)
