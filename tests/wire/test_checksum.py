"""The Internet checksum against the definition of RFC 1071, spelled out a word at a time."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stack.errors import ChecksumMismatch
from stack.wire.checksum import internet_checksum, mismatch, pseudo_header


def by_definition(data: bytes, initial: int = 0) -> int:
    """RFC 1071 section 1: add 16-bit words with end-around carry, then complement."""
    data += bytes(len(data) % 2)
    total = initial
    for (word,) in struct.iter_unpack("!H", data):
        total += word
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def test_the_example_of_rfc_1071():
    """Section 3: the words 0001 f203 f4f5 f6f7 sum to ddf2."""
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2 ^ 0xFFFF


def test_a_known_ipv4_header():
    header = bytes.fromhex("4500 0073 0000 4000 4011 0000 c0a8 0001 c0a8 00c7")
    assert internet_checksum(header) == 0xB861


@given(st.binary(max_size=200), st.integers(0, 2**20))
@example(b"", 0)
@example(b"", 0xFFFF)
@example(b"\xff\xff" * 3, 0)
@example(bytes(8), 0)
@example(b"\xff\xfe", 1)
def test_it_is_the_definition(data, initial):
    assert internet_checksum(data, initial) == by_definition(data, initial)


@given(st.binary(max_size=64), st.sampled_from([bytes, bytearray, memoryview]))
def test_it_takes_whatever_holds_octets(data, kind):
    assert internet_checksum(kind(data)) == by_definition(data)


@pytest.mark.req("1071-1")
@given(
    st.lists(st.binary(min_size=2, max_size=2), max_size=40).flatmap(
        lambda w: st.tuples(st.just(w), st.permutations(w))
    )
)
def test_the_order_of_words_does_not_matter(words):
    given_order, other_order = words
    assert internet_checksum(b"".join(given_order)) == internet_checksum(b"".join(other_order))


@pytest.mark.req("1071-1")
@given(st.binary(max_size=40).filter(lambda b: len(b) % 2 == 0), st.binary(max_size=41))
def test_a_sum_may_be_made_in_parts(first, second):
    partial = internet_checksum(first) ^ 0xFFFF
    assert internet_checksum(second, partial) == internet_checksum(first + second)


@pytest.mark.req("9293-3.1-cksum-odd")
@pytest.mark.parametrize("size", [1, 3, 5, 1459])
def test_an_odd_length_is_padded_on_the_right_for_the_sum_only(size):
    data = b"\xab" * size
    assert internet_checksum(data) == internet_checksum(data + b"\0") != internet_checksum(b"\0" + data)
    assert len(data) == size


@pytest.mark.req("1071-2")
def test_both_zeros_verify():
    """A sum over everything else that is 0xFFFF leaves a checksum of 0; a sender may write it as 0xFFFF too."""
    for field in (b"\x00\x00", b"\xff\xff"):
        assert internet_checksum(b"\x12\x34\xed\xcb" + field) == 0


@pytest.mark.req("1071-2")
def test_nothing_but_zeros_does_not_verify():
    assert internet_checksum(b"") == internet_checksum(bytes(20)) == 0xFFFF


@given(st.binary(max_size=60).filter(lambda b: len(b) % 2 == 0), st.binary(max_size=61))
def test_what_holds_its_own_checksum_sums_to_zero(before, after):
    checksum = internet_checksum(before + b"\0\0" + after)
    assert internet_checksum(before + checksum.to_bytes(2, "big") + after) == 0


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 0xFFFF))
def test_the_pseudo_header_is_the_sum_of_its_twelve_octets(src, dst, protocol, length):
    octets = struct.pack("!IIBBH", src, dst, 0, protocol, length)
    assert internet_checksum(b"", pseudo_header(src, dst, protocol, length)) == by_definition(octets)


@given(st.integers(1, 0xFFFF), st.binary(min_size=2, max_size=30))
def test_a_mismatch_names_both_numbers(field, rest):
    right = by_definition(b"\0\0" + rest)
    residue = by_definition(field.to_bytes(2, "big") + rest)
    error = mismatch("TCP", field, residue)
    assert isinstance(error, ChecksumMismatch)
    says = f"TCP: checksum is {field:#06x}, what arrived sums to "
    # The two zeros are one number (RFC 1071 section 2).
    assert str(error) == says + f"{right:#06x}" or (right in (0, 0xFFFF) and str(error).startswith(says))
