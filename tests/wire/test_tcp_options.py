"""TCP's options: known, unknown and impossible ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import MalformedPacket
from stack.wire import tcp_options
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions

u32 = st.integers(0, 2**32 - 1)
timestamps = st.tuples(st.none(), st.just(0)) | st.tuples(u32, u32)


@st.composite
def option_sets(draw) -> TcpOptions:
    """What one header can hold: with timestamps three SACK blocks, and no SACK beside the options of a SYN."""
    ts_val, ts_ecr = draw(timestamps)
    if draw(st.booleans()):
        blocks = draw(st.lists(st.tuples(u32, u32), max_size=4 if ts_val is None else 3))
        return TcpOptions(sack_blocks=tuple(blocks), ts_val=ts_val, ts_ecr=ts_ecr)
    mss = draw(st.none() | st.integers(0, 0xFFFF))
    return TcpOptions(mss, draw(st.none() | st.integers(0, 14)), draw(st.booleans()), (), ts_val, ts_ecr)


@given(option_sets())
def test_what_is_built_parses_to_the_same(options):
    octets = tcp_options.build(options)
    assert len(octets) % 4 == 0
    assert len(octets) <= 40
    assert tcp_options.parse(octets) == options
    assert tcp_options.build(tcp_options.parse(octets)) == octets


@pytest.mark.req("9293-MUST-68", "9293-MUST-69", "2018-16")
@given(option_sets())
def test_what_is_built_is_a_list_of_nops_and_options_with_their_length(options):
    """No option but NOP comes without a length, and no EOL is sent, so nothing can lie behind one."""
    lengths = {2: {4}, 3: {3}, 4: {2}, 5: {10, 18, 26, 34}, 8: {10}}
    octets = tcp_options.build(options)
    at = 0
    while at < len(octets):
        if octets[at] == tcp_options.NOP:
            at += 1
            continue
        assert octets[at + 1] in lengths[octets[at]]
        at += octets[at + 1]
    assert at == len(octets)


@pytest.mark.parametrize(
    ("options", "octets"),
    [
        (NO_OPTIONS, ""),
        (TcpOptions(), ""),
        (TcpOptions(mss=1460), "020405b4"),
        (TcpOptions(mss=536, window_scale=7), "02040218 01030307"),
        (TcpOptions(sack_permitted=True), "01010402"),
        (TcpOptions(ts_val=1, ts_ecr=2), "0101080a 00000001 00000002"),
        (TcpOptions(1460, 7, True, (), 1, 0), "020405b4 01030307 0402080a 00000001 00000000"),
        (TcpOptions(sack_blocks=((1, 2),)), "0101050a 00000001 00000002"),
        (TcpOptions(ts_val=3, ts_ecr=4, sack_blocks=((1, 2),)), "0101080a0000000300000004 0101050a0000000100000002"),
    ],
)
def test_layouts(options, octets):
    assert tcp_options.build(options) == bytes.fromhex(octets)
    assert tcp_options.parse(bytes.fromhex(octets)) == options


@pytest.mark.req("2018-16")
def test_a_sack_block_is_its_first_octet_and_one_past_its_last():
    """RFC 2018 section 4, the second example: 5000 to 5499 is missing, 5500 to 8499 has arrived."""
    octets = tcp_options.build(TcpOptions(sack_blocks=((5500, 8500),)))
    assert octets[2:] == bytes([5, 10]) + (5500).to_bytes(4, "big") + (8500).to_bytes(4, "big")


def test_four_sack_blocks_leave_no_room_for_timestamps():
    blocks = ((1, 2), (3, 4), (5, 6), (7, 8))
    assert len(tcp_options.build(TcpOptions(sack_blocks=blocks))) == 36
    assert len(tcp_options.build(TcpOptions(sack_blocks=blocks[:3], ts_val=1))) == 40
    with pytest.raises(ValueError, match="TCP: options have 48 octets, a header takes 40"):
        tcp_options.build(TcpOptions(sack_blocks=blocks, ts_val=1))


def test_no_options_is_shared_and_stays_as_it_is():
    assert tcp_options.parse(b"") is NO_OPTIONS
    assert tcp_options.parse(bytes.fromhex("01010101")) is not NO_OPTIONS
    assert TcpOptions() == NO_OPTIONS


@pytest.mark.req("9293-MUST-4")
@pytest.mark.parametrize(
    "octets",
    ["020405b4", "01020405b4010101", "0101 020405b4 00", "020405b4 00 020400ff", "020405b4 00 ff00ff", "01020405b4"],
)
def test_eol_nop_and_mss_in_varied_layouts(octets):
    assert tcp_options.parse(bytes.fromhex(octets)) == TcpOptions(mss=1460)


OPTIONS = {
    "mss": (bytes.fromhex("020405b4"), {"mss": 1460}),
    "window scale": (bytes.fromhex("030307"), {"window_scale": 7}),
    "sack-permitted": (bytes.fromhex("0402"), {"sack_permitted": True}),
    "sack": (bytes.fromhex("050a0000000100000002"), {"sack_blocks": ((1, 2),)}),
    "timestamps": (bytes.fromhex("080a0000000300000004"), {"ts_val": 3, "ts_ecr": 4}),
}
unknown = st.builds(
    lambda kind, data: bytes([kind, 2 + len(data)]) + data,
    st.integers(0, 255).filter(lambda kind: kind not in (0, 1, 2, 3, 4, 5, 8)),
    st.binary(max_size=6),
)


@pytest.mark.req("9293-MUST-4", "9293-MUST-6", "9293-MUST-64")
@given(st.permutations(list(OPTIONS)), st.data())
def test_any_order_and_alignment_with_unknown_ones_between(names, data):
    octets = b""
    expected = TcpOptions()
    for name in names:
        between = st.lists(st.just(b"\x01") | unknown, max_size=2)
        octets += b"".join(data.draw(between)) + OPTIONS[name][0]
        for field, value in OPTIONS[name][1].items():
            setattr(expected, field, value)
    assert tcp_options.parse(octets) == expected


@pytest.mark.req("9293-MUST-6")
def test_an_unknown_kind_before_mss():
    assert tcp_options.parse(bytes.fromhex("fd06aabbccdd 020405b4")) == TcpOptions(mss=1460)


@pytest.mark.req("9293-MUST-7")
@pytest.mark.parametrize("kind", [2, 3, 4, 5, 8, 253])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_illegal_lengths(kind, before):
    """0 and 1 leave no room for the kind and the length themselves; the others end behind the header."""
    nops = b"\x01" * before
    for length in (0, 1, 5, 41, 255):
        with pytest.raises(MalformedPacket) as caught:
            tcp_options.parse(nops + bytes([kind, length, 0, 0]))
        assert str(caught.value) == f"TCP: option {kind} has length {length}, with 4 octets of options left"
    with pytest.raises(MalformedPacket, match=f"^TCP: option {kind} has length 0, with 1 octets of options left$"):
        tcp_options.parse(nops + bytes([kind]))


@pytest.mark.req("9293-MUST-7")
@pytest.mark.parametrize(
    "octets",
    ["0203ff", "020600000000", "0302", "03040700", "0403ff", "0502", "050b000000010000000200", "050600000001",
     "0809000000030000 00", "080b000000030000000400"],
)  # fmt: skip
def test_a_known_kind_with_another_length_is_skipped(octets):
    assert tcp_options.parse(bytes.fromhex(octets)) == TcpOptions()
    assert tcp_options.parse(bytes.fromhex(octets + "0402")) == TcpOptions(sack_permitted=True)


@pytest.mark.req("7323-ws-10")
@pytest.mark.parametrize(("shift", "used"), [(0, 0), (14, 14), (15, 14), (255, 14)])
def test_a_shift_above_14_is_used_as_14(shift, used):
    assert tcp_options.parse(bytes([3, 3, shift])).window_scale == used


def test_of_an_option_that_comes_twice_the_last_counts():
    assert tcp_options.parse(bytes.fromhex("02040100 02040200")).mss == 0x200


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_layout_of_appendix_a_is_no_different_from_any_other(kind):
    """RFC 7323 Appendix A; it has a way of its own through the parser."""
    usual = bytes.fromhex("0101080a 01020304 05060708")
    assert (
        tcp_options.parse(kind(usual))
        == tcp_options.parse(kind(usual[2:]))
        == TcpOptions(ts_val=0x01020304, ts_ecr=0x05060708)
    )
