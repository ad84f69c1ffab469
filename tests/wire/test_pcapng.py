"""Capture blocks, read back by a reader that knows nothing but the draft."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from stack.wire import pcapng


def blocks(octets):
    """(type, body) of each block; both lengths of each are checked."""
    while octets:
        kind, length = struct.unpack_from("<II", octets)
        assert length % 4 == 0
        assert struct.unpack_from("<I", octets, length - 4) == (length,)
        yield kind, octets[8 : length - 4]
        octets = octets[length:]


def options(octets):
    """{code: value}; the list ends with opt_endofopt, at the end."""
    found = {}
    while octets[:4] != bytes(4):
        code, length = struct.unpack_from("<HH", octets)
        found[code] = octets[4 : 4 + length]
        padded = 4 + length + -length % 4
        assert octets[4 + length : padded] == bytes(padded - 4 - length)
        octets = octets[padded:]
    assert octets == bytes(4)
    return found


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_section_header(hardware, system, application):
    [(kind, body)] = blocks(pcapng.section_header(hardware, system, application))
    assert kind == 0x0A0D0D0A
    assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
    assert options(body[16:]) == {2: hardware.encode(), 3: system.encode(), 4: application.encode()}


@given(st.text(max_size=20), st.integers(0, 2**32 - 1))
def test_interface_description(name, snaplen):
    [(kind, body)] = blocks(pcapng.interface_description(name, snaplen))
    assert kind == 1
    assert struct.unpack_from("<HHI", body) == (1, 0, snaplen)  # LINKTYPE_ETHERNET
    assert options(body[8:]) == {2: name.encode(), 9: b"\x09"}  # if_name, if_tsresol: nanoseconds


@given(
    st.integers(0, 3),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=70),
    st.integers(0, 20),
    st.sampled_from([pcapng.INBOUND, pcapng.OUTBOUND]),
    st.sampled_from([bytes, bytearray, memoryview]),
)
def test_enhanced_packet(interface, timestamp, octets, cut, direction, kind_of_octets):
    original = len(octets) + cut
    block = pcapng.enhanced_packet(interface, timestamp, kind_of_octets(octets), original, direction)
    [(kind, body)] = blocks(block)
    assert kind == 6
    number, high, low, captured, length = struct.unpack_from("<IIIII", body)
    assert (number, high << 32 | low, captured, length) == (interface, timestamp, len(octets), original)
    assert body[20 : 20 + captured] == octets
    assert options(body[20 + captured + -captured % 4 :]) == {2: struct.pack("<I", direction)}


def test_directions_of_epb_flags():
    """Bits 0 and 1: 01 is inbound, 10 is outbound."""
    assert (pcapng.INBOUND, pcapng.OUTBOUND) == (0b01, 0b10)


def test_the_octets_of_a_packet():
    block = pcapng.enhanced_packet(0, 0x1_0000_0002, b"abc", 3, pcapng.OUTBOUND)
    assert block == bytes.fromhex(
        "06000000 30000000 00000000 01000000 02000000 03000000 03000000"
        "61626300 0200 0400 02000000 00000000 30000000"
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=70)), max_size=4), st.data())
def test_what_is_written_is_read_however_it_is_cut_off(written, data):
    """A full disk cuts a file anywhere: every block that is whole is read, and nothing else."""
    blocks = [pcapng.section_header("h", "s", "a"), pcapng.interface_description("tap0", 0)]
    blocks += [pcapng.enhanced_packet(0, at, octets, len(octets), pcapng.INBOUND) for at, octets in written]
    content = b"".join(blocks)
    assert list(pcapng.packets(content)) == written
    cut = data.draw(st.integers(0, len(content)))
    whole = sum(sum(map(len, blocks[: number + 1])) <= cut for number in range(len(blocks)))
    assert list(pcapng.packets(content[:cut])) == written[: max(whole - 2, 0)]


@given(st.binary(max_size=60), st.integers(0, 70))
def test_any_octets_end(octets, length):
    list(pcapng.packets(octets))
    list(pcapng.packets(struct.pack("<II", 6, length) + octets))
