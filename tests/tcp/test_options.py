"""Options and header fields: MSS (RFC 9293 3.7.1, RFC 6691), layouts, window scale (RFC 7323 section 2), checksums."""

import pytest

from stack.clock import SECOND
from stack.config import TcpConfig
from stack.wire.checksum import internet_checksum, pseudo_header
from stack.wire.tcp_options import NO_OPTIONS
from tests.tcp.harness import LOCAL, REMOTE, Bench, Peer, established

MSS_700 = bytes((2, 4, 700 >> 8, 700 & 255))
WS_3 = bytes((3, 3, 3))
TS_9 = bytes((8, 10, 0, 0, 0, 9, 0, 0, 0, 0))
UNKNOWN = bytes((253, 6, 1, 2, 3, 4))
NOP, END = b"\x01", b"\x00"


def resum(octets: bytes) -> bytes:
    """The segment with its checksum put right."""
    zeroed = octets[:16] + b"\0\0" + octets[18:]
    field = internet_checksum(zeroed, pseudo_header(REMOTE, LOCAL, 6, len(zeroed)))
    return zeroed[:16] + field.to_bytes(2, "big") + zeroed[18:]


def with_options(octets: bytes, options: bytes) -> bytes:
    """The segment, built without options, with these."""
    options += END * (-len(options) % 4)
    header = octets[:12] + bytes(((20 + len(options)) // 4 << 4,)) + octets[13:20]
    return resum(header + options + octets[20:])


def syn(peer: Peer, options: bytes) -> None:
    peer.syn(options=NO_OPTIONS, damage=lambda octets: with_options(octets, options))


def first_segment(bench: Bench, peer: Peer) -> int:
    """How large the first segment of a lot of text is."""
    peer.send("A")
    peer.connection = next(iter(bench.host.connections()))
    peer.write(20_000)
    return len(peer.take()[0].data)


@pytest.mark.req("9293-MUST-4", "9293-MUST-6", "9293-MUST-64", "9293-MUST-68", "9293-MUST-14")
@pytest.mark.parametrize(
    "options",
    [
        MSS_700,
        NOP + MSS_700,
        NOP + NOP + NOP + MSS_700 + END,
        UNKNOWN + MSS_700,
        MSS_700 + UNKNOWN,
        WS_3 + MSS_700,
        NOP + TS_9 + MSS_700,
        MSS_700 + END + b"\x05\x00\xff",  # what follows the end is padding
        bytes((254, 2)) + MSS_700,
    ],
    ids=range(9),
)
def test_mss_is_found_in_every_layout(bench: Bench, options: bytes) -> None:
    bench.listen()
    peer = Peer(bench)
    syn(peer, options)
    answer = peer.expect("SA", ack=1)
    if answer.options.ts_val is not None:
        peer.use_ts, peer.ts_val = True, 9
    if answer.options.window_scale is not None:  # it was agreed on: the peer's own has gone out in `options`
        peer._offered_shift, peer.host_shift = 3, answer.options.window_scale
    assert first_segment(bench, peer) == (688 if peer.use_ts else 700)


@pytest.mark.req("9293-MUST-7")
@pytest.mark.parametrize(
    "options",
    [b"\x02\x00\x02\xbc", b"\x02\x01\x02\xbc", b"\x02\xff\x02\xbc", b"\x01\x01\x01\x02", b"\xfd\x00\x00\x00",
     b"\x01\x01\x08\x0a", b"\x02\x04\x02\xbc\x03\x00\x00\x00"],
    ids=["zero", "one", "overrun", "kind-only", "unknown-zero", "cut", "second-zero"],
)  # fmt: skip
def test_illegal_lengths_do_no_harm(bench: Bench, options: bytes) -> None:
    listener = bench.listen()
    peer = Peer(bench)
    syn(peer, options)
    peer.take()
    whole = Peer(bench, port=1234).handshake(listener)
    whole.send("PA", data=10, options=NO_OPTIONS, damage=lambda octets: with_options(octets, options))
    bench.elapse(SECOND // 2)
    whole.take()
    assert whole.state == "ESTABLISHED"
    whole.send("PA", seq=1, data=10)
    bench.elapse(SECOND // 2)
    assert len(whole.read()) == 10


@pytest.mark.req("9293-MUST-5", "7323-ws-4")
@pytest.mark.parametrize("flags", ["A", "PA", "FA", "R"])
def test_options_on_segments_without_syn(bench: Bench, flags: str) -> None:
    """NOPs, an unknown option, and MSS and window scale where they mean nothing."""
    peer = established(bench, mss=1000, wscale=0, window=2000)
    octets = NOP + UNKNOWN + NOP + MSS_700 + WS_3
    peer.send(flags, data=0 if flags in "AR" else 10, damage=lambda segment: with_options(segment, octets))
    if flags == "R":
        assert peer.state == "CLOSED"
        return
    bench.elapse(SECOND // 2)
    peer.take()
    assert peer.state == ("CLOSE_WAIT" if "F" in flags else "ESTABLISHED")
    peer.write(10_000)
    assert [len(each.data) for each in peer.take()] == [1000, 1000]  # neither MSS nor scale changed


@pytest.mark.req("9293-3.1-rsrvd")
@pytest.mark.parametrize("bits", [0x02, 0x04, 0x08, 0x0E])
def test_reserved_bits_are_ignored(bench: Bench, bits: int) -> None:
    peer = established(bench)

    def reserved(octets: bytes) -> bytes:
        return resum(octets[:12] + bytes((octets[12] | bits,)) + octets[13:])

    peer.send("PA", data=10, damage=reserved)
    peer.expect("A", ack=11, within=SECOND // 2)


@pytest.mark.req("9293-3.1-doff")
@pytest.mark.parametrize("words", [0, 1, 4, 8, 15])
def test_a_data_offset_that_cannot_be(bench: Bench, words: int) -> None:
    peer = established(bench)

    def offset(octets: bytes) -> bytes:
        return resum(octets[:12] + bytes((words << 4,)) + octets[13:])

    peer.send("PA", seq=1, data=10, damage=offset)
    peer.expect_nothing(for_=SECOND)
    assert peer.state == "ESTABLISHED" and peer.connection.readable == 0
    assert bench.host.counters["TcpInErrs"] == 1


@pytest.mark.req("9293-MUST-2", "9293-MUST-3", "9293-3.1-cksum-odd")
@pytest.mark.parametrize("length", [0, 1, 3, 5, 999])
def test_checksums_of_odd_and_even_lengths(bench: Bench, length: int) -> None:
    """The harness verifies every segment of the host; here one octet of the peer's is wrong."""
    peer = established(bench, mss=1460)
    peer.write(length) if length else None
    assert sum(len(each.data) for each in peer.take()) == length
    for at in {2, 12, 16, 19 + max(length, 1)}:
        peer.send("PA", seq=1, data=max(length, 1), damage=lambda octets, at=at: flip(octets, at))
        peer.expect_nothing()
    assert peer.connection.readable == 0


def flip(octets: bytes, at: int) -> bytes:
    return octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :]


# MSS


@pytest.mark.req("9293-MUST-67", "9293-SHLD-5", "9293-MUST-14", "9293-SHLD-6", "1191-9", "6691-1", "9293-MAY-3")
@pytest.mark.parametrize(("mtu", "mss"), [(1500, 1460), (576, 536), (9000, 8960)])
@pytest.mark.parametrize("timestamps", [False, True])
def test_the_mss_that_is_offered_ignores_options(mtu: int, mss: int, timestamps: bool) -> None:
    bench = Bench(mtu=mtu)
    bench.listen()
    peer = Peer(bench)
    peer.syn(ts=timestamps)
    assert peer.expect("SA").options.mss == mss
    assert bench.connect(81, local_port=5000).expect("S").options.mss == mss


@pytest.mark.req("9293-MUST-15", "9293-MUST-16", "9293-3.7.1-optsize", "2525-2.18", "6691-1", "9293-SHLD-28")
@pytest.mark.parametrize("active", [False, True], ids=["passive", "active"])
@pytest.mark.parametrize(
    ("mtu", "mss", "timestamps", "size"),
    [(1500, None, False, 536), (1500, None, True, 524), (1500, 1460, False, 1460), (1500, 1460, True, 1448),
     (1500, 9000, False, 1460), (1500, 65535, True, 1448), (1500, 700, True, 688), (9000, 1460, False, 1460)],
)  # fmt: skip
def test_segments_are_as_large_as_both_sides_allow(
    active: bool, mtu: int, mss: int | None, timestamps: bool, size: int
) -> None:
    peer = established(Bench(mtu=mtu), active=active, mss=mss, ts=timestamps, wscale=7)
    peer.write(20_000)
    sizes = [len(each.data) for each in peer.take()]
    assert set(sizes[:-1]) == {size} and sizes[-1] <= size


@pytest.mark.req("9293-MUST-16")
@pytest.mark.parametrize("mss", [0, 1, 40])
def test_an_absurd_mss_does_not_make_absurd_segments(bench: Bench, mss: int) -> None:
    """The configuration's floor (minimum_send_mss): not a segment per octet, and no division by zero."""
    peer = established(bench, mss=mss)
    peer.write(2000)
    sizes = {len(each.data) for each in peer.take()}
    assert sizes and max(sizes) <= TcpConfig().minimum_send_mss and min(sizes) > 1


# Window scale


@pytest.mark.req("7323-ws-1", "7323-ws-3", "7323-ws-7", "7323-ws-9", "7323-ws-6")
@pytest.mark.parametrize("wscale", [None, 0, 7])
def test_scaling_needs_both_syns(wscale: int | None) -> None:
    bench = Bench(TcpConfig(receive_buffer=1 << 20, initial_receive_buffer=1 << 20))
    listener = bench.listen()
    peer = Peer(bench)
    peer.syn(wscale=wscale)
    answer = peer.expect("SA")
    assert (answer.options.window_scale is None) == (wscale is None)
    assert answer.window == 65535  # not scaled on a SYN
    peer.host_shift = answer.options.window_scale or 0
    peer.send("A", window=100)
    peer.connection = bench.host.accept(listener)
    assert peer.connection.info().send_window == 100 << (wscale or 0)
    peer.send("A", data=1460)
    peer.send("A", data=1460)
    ack = peer.expect("A", within=SECOND)
    if wscale is None:
        assert ack.window > 60000
    else:
        assert ack.window << peer.host_shift > 1_000_000


@pytest.mark.req("7323-ws-1", "7323-ws-7", "7323-ws-2", "7323-ws-6")
@pytest.mark.parametrize("wscale", [None, 5])
def test_scaling_of_an_active_open(wscale: int | None) -> None:
    bench = Bench(TcpConfig(receive_buffer=1 << 20))
    peer = bench.connect(local_port=5000)
    syn_ = peer.expect("S")
    assert syn_.options.window_scale is not None and syn_.window == 65535
    peer.syn("SA", wscale=wscale, window=1000)
    ack = peer.expect("A")
    assert peer.connection.info().send_window == 1000  # of a SYN: not scaled
    shift = syn_.options.window_scale if wscale is not None else 0
    assert ack.window << shift >= 65535
    peer.send("A", window=1000)
    assert peer.connection.info().send_window == 1000 << (wscale or 0)


@pytest.mark.req("7323-ws-2")
def test_a_small_buffer_still_offers_to_scale() -> None:
    bench = Bench(TcpConfig(receive_buffer=8192))
    assert bench.connect(local_port=5000).expect("S").options.window_scale == 0


@pytest.mark.req("7323-ws-10")
@pytest.mark.parametrize("shift", [14, 15, 255])
def test_a_shift_above_14_is_used_as_14(bench: Bench, shift: int) -> None:
    bench.listen()
    peer = Peer(bench)
    syn(peer, MSS_700 + bytes((3, 3, shift)))
    peer.expect("SA")
    peer.send("A", window=10)
    assert next(iter(bench.host.connections())).info().send_window == 10 << 14


@pytest.mark.req("7323-ws-11", "9293-REC-1")
def test_our_shift_is_14_at_most() -> None:
    bench = Bench(TcpConfig(receive_buffer=1 << 31))
    assert bench.connect(local_port=5000).expect("S").options.window_scale == 14


@pytest.mark.req("7323-ws-3")
def test_scaling_that_is_switched_off_is_neither_offered_nor_answered() -> None:
    bench = Bench(TcpConfig(window_scaling=False))
    bench.listen()
    peer = Peer(bench)
    peer.syn(wscale=7)
    assert peer.expect("SA").options.window_scale is None
    assert bench.connect(81, local_port=5000).expect("S").options.window_scale is None
