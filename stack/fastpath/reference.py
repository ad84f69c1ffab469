"""The fastpath in Python: what runs where the C extension is not built, and the oracle that it is tested against.

Every function is pure over the buffers that it is given. What a "plain" segment is, and what may be merged, is said
here; native/parse.c and native/merge.c do the same.
"""

import errno
import os
import struct
from array import array
from typing import Final, TypeAlias

from stack.addresses import UNSPECIFIED, Ipv4Address, MacAddress, can_be_a_source
from stack.errors import MalformedPacket
from stack.fastpath.offload import (
    VIRTIO_HEADER_LENGTH,
    complete_tcp,
    take_virtio_header,
    text_of_frame,
    virtio_header,
)
from stack.fastpath.ring import CHECKSUM_FULL, CHECKSUM_PARTIAL, FrameRing
from stack.octets import Octets
from stack.wire import ethernet, icmp, ipv4, tcp
from stack.wire.checksum import internet_checksum, pseudo_header
from stack.wire.ipv4 import Ipv4Header
from stack.wire.tcp import ACK, CWR, FIN, PSH, URG
from stack.wire.tcp_options import MAXIMUM_LENGTH as MAXIMUM_OPTIONS

NAME: Final = "reference"

RECORD_OTHER: Final = 0
RECORD_TCP: Final = 1
RECORD_ECHO: Final = 2

Record: TypeAlias = tuple[
    int, int, int, Ipv4Address, Ipv4Address, int, int, int, int, int, int, int, int, int, int, int, int, int, int
]  # fmt: skip
"""kind, index, segments, src, dst, src_port, dst_port, seq, ack, flags, window, tos, has_ts, ts_val, ts_ecr,
options_start, options_length, payload_start, payload_length; the starts are positions in the ring's buffer, and a
payload_start of 0 with a payload says that it is ring.texts[index]."""

_TCP_HEADER: Final = struct.Struct("!HHIIBBHHH")
_TIMESTAMPS: Final = struct.Struct("!4sII")
_TIMESTAMPS_LEAD: Final = b"\x01\x01\x08\x0a"  # NOP, NOP, time stamps: RFC 7323 appendix A
_MAC_LENGTH: Final = 6
_IPV4_WITHOUT_OPTIONS: Final = b"\x08\x00\x45"  # EtherType, version and IHL
_MERGED_MAXIMUM: Final = 0xFFFF
_TEMPLATE_LENGTH: Final = ethernet.HEADER_LENGTH + ipv4.HEADER_LENGTH + 4
_HEADERS: Final = ethernet.HEADER_LENGTH + ipv4.HEADER_LENGTH + tcp.HEADER_LENGTH


def checksum(data: Octets, initial: int = 0) -> int:
    """The Internet checksum of `data`; see stack.wire.checksum."""
    return internet_checksum(data, initial)


def update_checksum(value: int, old: int, new: int) -> int:
    """The checksum `value` after the 16-bit word `old` has become `new`: HC' = ~(~HC + ~m + m') (RFC 1624 eqn. 3)."""
    total = (~value & 0xFFFF) + (~old & 0xFFFF) + new
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def read_frames(fd: int, ring: FrameRing) -> int:
    """Read frames, one each, until none is left or `ring` is full; returns how many.

    In a ring with offload a virtio header comes before each, here as in write_frames(). Raises OSError, but not once
    frames were read: these come first, and the error shows again at the next call.
    """
    count = 0
    header = bytearray(VIRTIO_HEADER_LENGTH if ring.offload else 0)
    while ring.count < ring.max_frames and ring.used + ring.max_frame <= ring.capacity:
        frame = ring.view[ring.used : ring.used + ring.max_frame]
        try:
            size = os.readv(fd, [header, frame]) - len(header)
        except BlockingIOError:
            break
        except OSError:
            if count:
                break
            raise
        if size <= 0:
            break
        ring.commit(size, *(take_virtio_header(header, frame[:size]) if header else ()))
        count += 1
    return count


def write_frames(fd: int, ring: FrameRing) -> int:
    """Write every frame of `ring`; returns how many were taken, the others are lost. Raises OSError."""
    taken = 0
    for index, frame in enumerate(ring):
        try:
            os.writev(fd, [virtio_header(ring, index), frame] if ring.offload else [frame])
            taken += 1
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM):
                raise
    return taken


def parse_tcp(ring: FrameRing, mac: MacAddress) -> list[Record]:
    """One record for every frame, or for every run of segments that could be merged into one, in order.

    RECORD_TCP is a plain segment for `mac`, verified: untagged, IPv4 without options or fragmentation from a possible
    source, no urgent data. RECORD_ECHO is an ICMP echo request that is as plain; its payload is the whole message, and
    nothing but the addresses and the TOS octet is told. RECORD_OTHER leaves frame `index`, its checksum completed, to
    the layers. Payloads of a run are moved together, over headers of the run that nobody needs any more. Options other
    than time stamps alone are not looked into: the record says where they are. Raises ValueError when `mac` has not six
    octets.
    """
    check_mac(mac)
    records: list[Record] = []
    for index in range(ring.count):
        record = _parse_plain(ring, index, mac)
        if record[0] == RECORD_OTHER:
            record = _parse_echo(ring, index, mac)
        if record[0] == RECORD_OTHER:
            complete_tcp(ring, index)
        if records and (merged := _merge(ring, records[-1], record)) is not None:
            records[-1] = merged
        else:
            records.append(record)
    return records


def emit_tcp(
    ring: FrameRing,
    template: bytes,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    options: bytes,
    payload: Octets,
    mss: int,
) -> int:
    """Add `payload` to `ring` as frames of at most `mss` octets of text each; without text, one frame.

    With offload they are super-frames, and their checksums partial. `template` has the Ethernet header, the IPv4
    header (length and checksum zero) and the TCP ports. FIN and PSH go with the last segment only, CWR with the first.
    Returns the octets emitted; -1 when not even one frame fits. Raises ValueError for a template, options or, with
    text, an mss that no segment can have.
    """
    if not payload:
        mss = 1  # of no meaning then; a SYN's is what it announces, which leaves no room for the options
    check_segment(template, options, mss)
    view = memoryview(payload)
    most = text_of_frame(ring, len(options), mss)
    checksum = CHECKSUM_PARTIAL if ring.offload else CHECKSUM_FULL
    sent = 0
    while True:
        chunk = view[sent : sent + most]
        last = sent + len(chunk) == len(view)
        these = flags if last else flags & ~(FIN | PSH)
        if sent:
            these &= ~CWR
        frame = _frame(template, (seq + sent) & 0xFFFF_FFFF, ack, these, window, options, chunk, checksum)
        if not ring.append(frame, mss if len(chunk) > mss else 0, checksum):
            return sent or -1
        sent += len(chunk)
        if last:
            return sent


def reassemble(storage: bytearray, ranges: "array[int]", count: int, offset: int, payload: Octets) -> int:
    """Store `payload`, which lies at stream offset `offset`, and return the new number of ranges, or -1.

    `storage` is circular. `ranges` holds `count` pairs of first and one past the last offset, sorted, with gaps
    between them. Octets that are held stay as they are. -1, and nothing changed: there is no room for one range more,
    or `payload` is longer than the storage.
    """
    if not payload:
        return count
    if len(payload) > len(storage):
        return -1
    start, end = offset, offset + len(payload)
    held = [(ranges[2 * i], ranges[2 * i + 1]) for i in range(count)]
    touched = [pair for pair in held if pair[0] <= end and start <= pair[1]]
    if not touched and 2 * (count + 1) > len(ranges):
        return -1
    position = start
    for first, last in [*touched, (end, end)]:
        if position < first:
            _store(storage, position, payload[position - offset : min(first, end) - offset])
        position = max(position, last)
    merged = (min([start, *(p[0] for p in touched)]), max([end, *(p[1] for p in touched)]))
    rest = sorted([pair for pair in held if pair not in touched] + [merged])
    for i, (first, last) in enumerate(rest):
        ranges[2 * i], ranges[2 * i + 1] = first, last
    return len(rest)


def check_mac(mac: bytes) -> None:
    """Raise ValueError when `mac` is no MAC address."""
    if len(mac) != _MAC_LENGTH:
        raise ValueError(f"a MAC address has {_MAC_LENGTH} octets, not {len(mac)}")


def check_segment(template: bytes, options: bytes, mss: int) -> None:
    """Raise ValueError when emit_tcp() can make no segment of these."""
    if len(template) != _TEMPLATE_LENGTH:
        raise ValueError(f"a template has {_TEMPLATE_LENGTH} octets, not {len(template)}")
    if len(options) > MAXIMUM_OPTIONS or len(options) % 4:
        raise ValueError(f"options have 0 to {MAXIMUM_OPTIONS} octets in words of four, not {len(options)}")
    most = ipv4.MAXIMUM_LENGTH - ipv4.HEADER_LENGTH - tcp.HEADER_LENGTH - len(options)
    if not 1 <= mss <= most:
        raise ValueError(f"with {len(options)} octets of options a segment has 1 to {most} octets of text, not {mss}")


def io_error(number: int) -> OSError:
    """The exception for errno `number`."""
    return OSError(number, os.strerror(number))


def _store(storage: bytearray, position: int, octets: Octets) -> None:
    size = len(storage)
    start = position % size
    head = min(len(octets), size - start)
    storage[start : start + head] = octets[:head]
    storage[: len(octets) - head] = octets[head:]


def _frame(
    template: bytes, seq: int, ack: int, flags: int, window: int, options: bytes, text: Octets, kind: int
) -> bytes:
    length = tcp.HEADER_LENGTH + len(options) + len(text)
    frame = bytearray(template)
    frame += seq.to_bytes(4, "big") + ack.to_bytes(4, "big")
    frame += bytes(((tcp.HEADER_LENGTH + len(options)) << 2, flags)) + window.to_bytes(2, "big") + bytes(4)
    frame += options
    frame += text
    frame[16:18] = (ipv4.HEADER_LENGTH + length).to_bytes(2, "big")
    frame[24:26] = checksum(frame[14:34]).to_bytes(2, "big")
    src, dst = int.from_bytes(frame[26:30], "big"), int.from_bytes(frame[30:34], "big")
    pseudo = pseudo_header(src, dst, ipv4.PROTOCOL_TCP, length)
    value = ~checksum(b"", pseudo) & 0xFFFF if kind == CHECKSUM_PARTIAL else checksum(memoryview(frame)[34:], pseudo)
    frame[50:52] = value.to_bytes(2, "big")
    return bytes(frame)


def _other(index: int) -> Record:
    return (RECORD_OTHER, index, 0, UNSPECIFIED, UNSPECIFIED, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def _parse_ipv4(frame: memoryview, mac: MacAddress, protocol: int) -> tuple[Ipv4Header, memoryview] | None:
    if bytes(frame[:6]) != mac or bytes(frame[12:15]) != _IPV4_WITHOUT_OPTIONS:
        return None
    try:
        header, text = ipv4.parse(frame[ethernet.HEADER_LENGTH :])
    except MalformedPacket:
        return None
    if header.protocol != protocol or header.more_fragments or header.fragment_offset:
        return None
    return (header, text) if can_be_a_source(header.src) else None


def _parse_echo(ring: FrameRing, index: int, mac: MacAddress) -> Record:
    found = _parse_ipv4(ring[index], mac, ipv4.PROTOCOL_ICMP)
    if found is None or ring.checksums[index] == CHECKSUM_PARTIAL:
        return _other(index)
    header, text = found
    size = len(text)
    if size < icmp.HEADER_LENGTH or (text[0], text[1]) != (icmp.ECHO_REQUEST, 0) or checksum(text):
        return _other(index)
    start = ring.starts[index] + ethernet.HEADER_LENGTH + ipv4.HEADER_LENGTH
    zeros = (0, 0, 0, 0, 0, 0)
    return (RECORD_ECHO, index, 1, header.src, header.dst, *zeros, header.tos, 0, 0, 0, 0, 0, start, size)


def _parse_plain(ring: FrameRing, index: int, mac: MacAddress) -> Record:
    found = _parse_ipv4(ring[index], mac, ipv4.PROTOCOL_TCP)
    if found is None:
        return _other(index)
    header, text = found
    size = len(text)
    if size < tcp.HEADER_LENGTH:
        return _other(index)
    src_port, dst_port, seq, ack, offset, flags, window, _, _ = _TCP_HEADER.unpack_from(text)
    header_length = (offset >> 4) * 4
    if not tcp.HEADER_LENGTH <= header_length <= size or flags & URG:
        return _other(index)
    pseudo = pseudo_header(header.src, header.dst, ipv4.PROTOCOL_TCP, size)
    if ring.checksums[index] == CHECKSUM_FULL and checksum(text, pseudo):
        return _other(index)
    gso_size = ring.gso_sizes[index]
    segments = -(-(size - header_length) // gso_size) or 1 if gso_size else 1
    start = ring.starts[index] + ethernet.HEADER_LENGTH + ipv4.HEADER_LENGTH
    options = _parse_options(text[tcp.HEADER_LENGTH : header_length], start + tcp.HEADER_LENGTH)
    return (
        RECORD_TCP, index, segments, header.src, header.dst, src_port, dst_port, seq, ack, flags, window, header.tos,
        *options, start + header_length, size - header_length,
    )  # fmt: skip


def _parse_options(options: memoryview, start: int) -> tuple[int, int, int, int, int]:
    """has_ts, ts_val, ts_ecr, options_start and options_length of `options`, which begin at `start` of the ring."""
    if len(options) == _TIMESTAMPS.size:
        lead, ts_val, ts_ecr = _TIMESTAMPS.unpack(options)
        if lead == _TIMESTAMPS_LEAD:
            return (1, ts_val, ts_ecr, 0, 0)
    return (0, 0, 0, start, len(options)) if options else (0, 0, 0, 0, 0)


def _merge(ring: FrameRing, run: Record, new: Record) -> Record | None:
    """`run` with `new` behind it, or None: only what says nothing but "here is more of the same" is merged."""
    if run[0] != RECORD_TCP or new[0] != RECORD_TCP or run[3:7] != new[3:7]:
        return None
    if run[9] != ACK or new[9] & ~PSH != ACK or run[8] != new[8] or run[10:15] != new[10:15]:
        return None
    if run[16] or new[16] or not run[18] or not new[18] or run[18] + new[18] > _MERGED_MAXIMUM:
        return None
    if (run[7] + run[18]) & 0xFFFF_FFFF != new[7]:
        return None
    end = run[17] + run[18]
    ring.buffer[end : end + new[18]] = ring.buffer[new[17] : new[17] + new[18]]
    return (*run[:2], run[2] + new[2], *run[3:9], new[9], *run[10:18], run[18] + new[18])
