"""IPv4 headers, lengths and options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import ChecksumMismatch, MalformedPacket
from stack.wire import ipv4
from stack.wire.checksum import internet_checksum
from stack.wire.ipv4 import Ipv4Header, TruncatedPacket

KNOWN = bytes.fromhex("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7")

words = st.binary(max_size=40).filter(lambda octets: len(octets) % 4 == 0)
headers = st.builds(
    Ipv4Header,
    src=st.integers(0, 2**32 - 1),
    dst=st.integers(0, 2**32 - 1),
    protocol=st.integers(0, 255),
    ttl=st.integers(0, 255),
    identification=st.integers(0, 0xFFFF),
    dont_fragment=st.booleans(),
    more_fragments=st.booleans(),
    fragment_offset=st.integers(0, 0x1FFF).map(lambda units: units * 8),
    tos=st.integers(0, 255),
    options=words,
)


def summed(octets: bytes) -> bytes:
    """`octets`, which start with a header, with the right header checksum."""
    length = (octets[0] & 15) * 4
    blank = octets[:10] + b"\0\0" + octets[12:]
    return blank[:10] + internet_checksum(blank[:length]).to_bytes(2, "big") + blank[12:]


@given(headers, st.binary(max_size=60), st.binary(max_size=50))
@pytest.mark.req("791-2")
def test_what_is_built_parses_to_the_same_whatever_pads_it(header, payload, padding):
    assert ipv4.parse(ipv4.build(header, payload) + padding) == (header, payload)


@given(st.integers(5, 15), st.binary(min_size=60, max_size=90), st.data())
def test_what_is_parsed_builds_to_the_same(ihl, octets, data):
    total = data.draw(st.integers(ihl * 4, len(octets)))
    octets = bytes([0x40 | ihl, octets[1], 0, total, *octets[4:6], octets[6] & 0x7F, *octets[7:total]])
    octets = summed(octets)
    assert ipv4.build(*ipv4.parse(octets)) == octets


def test_a_known_header():
    header, payload = ipv4.parse(KNOWN + bytes(95))
    assert header == Ipv4Header(0xC0A80001, 0xC0A800C7, ipv4.PROTOCOL_UDP, dont_fragment=True)
    assert payload == bytes(95)
    assert ipv4.build(header, bytes(95))[:20] == KNOWN


@pytest.mark.req("791-4")
def test_the_fragment_offset_counts_eight_octets():
    octets = ipv4.build(Ipv4Header(1, 2, 17, more_fragments=True, fragment_offset=1480), b"")
    assert octets[6:8] == (0x2000 | 185).to_bytes(2, "big")
    with pytest.raises(ValueError, match="fragment offset is 1481, not a multiple of 8"):
        ipv4.build(Ipv4Header(1, 2, 17, fragment_offset=1481), b"")


@pytest.mark.req("791-10")
@given(headers)
def test_the_reserved_flag_is_never_sent(header):
    assert ipv4.build(header, b"")[6] & 0x80 == 0


def test_the_reserved_flag_is_ignored_on_receipt():
    octets = ipv4.build(Ipv4Header(1, 2, 17), b"")
    assert ipv4.parse(summed(octets[:6] + b"\x80" + octets[7:]))[0] == Ipv4Header(1, 2, 17, reserved=True)


@pytest.mark.req("791-1")
@pytest.mark.parametrize("ihl", range(5))
def test_ihl_below_five(ihl):
    octets = bytes([0x40 | ihl]) + bytes(19)
    with pytest.raises(MalformedPacket, match=f"^IPv4: IHL says {ihl * 4} octets, a header has 20$"):
        ipv4.parse(octets)


@pytest.mark.req("791-1")
@pytest.mark.parametrize("size", [20, 40, 59])
def test_ihl_past_the_end(size):
    with pytest.raises(MalformedPacket, match=f"^IPv4: IHL says 60 octets, {size} arrived$"):
        ipv4.parse(b"\x4f" + bytes(size - 1))


@pytest.mark.req("791-1")
def test_ihl_past_the_total_length():
    octets = summed(bytes([0x4F, 0, 0, 59]) + bytes(56))
    with pytest.raises(MalformedPacket, match=r"^IPv4: total length is 59 octets, the header alone has 60$"):
        ipv4.parse(octets)


@pytest.mark.req("791-2")
@pytest.mark.parametrize("total", [0, 19])
def test_total_length_below_the_header(total):
    octets = summed(bytes([0x45, 0, 0, total]) + bytes(16))
    with pytest.raises(MalformedPacket, match=f"^IPv4: total length is {total} octets, the header alone has 20$"):
        ipv4.parse(octets)


@pytest.mark.req("791-2")
def test_total_length_above_what_arrived():
    octets = ipv4.build(Ipv4Header(1, 2, 17), b"payload")
    with pytest.raises(TruncatedPacket, match=r"^IPv4: total length is 27 octets, 26 arrived$"):
        ipv4.parse(octets[:-1])


@pytest.mark.parametrize("size", range(20))
def test_less_than_a_header(size):
    with pytest.raises(MalformedPacket, match=f"^IPv4: a header has 20 octets, {size} arrived$"):
        ipv4.parse(KNOWN[:size])


@pytest.mark.parametrize("version", [v for v in range(16) if v != 4])
def test_another_version(version):
    with pytest.raises(MalformedPacket, match=f"^IPv4: version is {version}, not 4$"):
        ipv4.parse(bytes([version << 4 | 5]) + KNOWN[1:])


def test_a_wrong_checksum_names_both_numbers():
    with pytest.raises(ChecksumMismatch, match=r"^IPv4: checksum is 0xb862, what arrived sums to 0xb861$"):
        ipv4.parse(KNOWN[:10] + b"\xb8\x62" + KNOWN[12:] + bytes(95))


def test_the_given_checksum_is_used_and_sees_only_the_header():
    seen = []

    def spy(data, initial):
        seen.append((bytes(data), initial))
        return 0

    octets = ipv4.build(Ipv4Header(1, 2, 17, options=bytes(4)), b"payload", spy)
    ipv4.parse(octets, spy)
    assert seen == [(octets[:24], 0), (octets[:24], 0)]


@pytest.mark.req("791-9")
@given(st.binary(max_size=40))
def test_options_are_padded_with_zeros_to_whole_words(options):
    header = Ipv4Header(1, 2, 17, options=options)
    octets = ipv4.build(header, b"payload")
    padded = octets[20 : header.length]
    assert len(padded) % 4 == 0
    assert padded == options + bytes(len(padded) - len(options))
    assert len(padded) - len(options) < 4
    assert octets[header.length :] == b"payload"


def test_what_cannot_be_a_datagram_is_not_built():
    with pytest.raises(ValueError, match="options have 41 octets, a header takes 40"):
        ipv4.build(Ipv4Header(1, 2, 17, options=bytes(41)), b"")
    with pytest.raises(ValueError, match="the datagram has 65536 octets, at most 65535"):
        ipv4.build(Ipv4Header(1, 2, 17), bytes(65516))
    assert len(ipv4.build(Ipv4Header(1, 2, 17), bytes(65515))) == 65535


@pytest.mark.req("791-9")
@pytest.mark.parametrize(
    ("octets", "options"),
    [
        ("", []),
        ("00", []),
        ("01010101", []),
        ("0003ffff", []),  # whatever lies behind the end of the list is none
        ("94040000", [(148, b"\0\0")]),  # router alert
        ("01 0703 04 00", [(ipv4.OPTION_RECORD_ROUTE, b"\x04")]),
        ("8307040a000001 01 5e02 0000", [(ipv4.OPTION_LOOSE_SOURCE_ROUTE, b"\x04\x0a\0\0\x01"), (0x5E, b"")]),
    ],
)
def test_options(octets, options):
    assert ipv4.parse_options(bytes.fromhex(octets)) == options


options_lists = st.lists(st.tuples(st.integers(2, 255), st.binary(max_size=8)), max_size=4)


@given(options_lists, st.integers(0, 3))
def test_options_parse_to_what_was_put_in(options, nops):
    octets = b"".join(b"\x01" * nops + bytes([kind, 2 + len(data)]) + data for kind, data in options)
    assert ipv4.parse_options(octets + b"\0junk") == options


@pytest.mark.req("1122-3.2.1.8-4")
@pytest.mark.parametrize(
    ("octets", "message"),
    [
        ("07", "IPv4: option 7 has length 0, with 1 octets of options left"),
        ("0700", "IPv4: option 7 has length 0, with 2 octets of options left"),
        ("0701", "IPv4: option 7 has length 1, with 2 octets of options left"),
        ("010703", "IPv4: option 7 has length 3, with 2 octets of options left"),
        ("940400004405", "IPv4: option 68 has length 5, with 2 octets of options left"),
        ("5eff0000", "IPv4: option 94 has length 255, with 4 octets of options left"),
    ],
)
def test_illegal_option_lengths(octets, message):
    with pytest.raises(MalformedPacket) as caught:
        ipv4.parse_options(bytes.fromhex(octets))
    assert str(caught.value) == message
