"""The journey of a request, from the frames that carried it to the value that a handler gets.

A recorder keeps the latest frames of the host. Those of one connection, parsed again layer by layer, tell how the
request came here. journey_of() gives this, all plain values, as JSON:

    request       method, target, version, headers [[name, value]...], received_at (ISO 8601, UTC), host
    response      status, headers [[name, value]...]: what is about to be sent; it cannot be among the segments
    connection    client and server ("address:port"), state, mss, window scales (null: not agreed on), timestamps,
                  round_trip_us (of the handshake) and srtt_us (null when unknown), rto_us, cwnd, ssthresh,
                  congestion, window (ours), send_window (the client's)
    segments      one for each frame of the connection that is still remembered, oldest first:
        time_us       since the first of them, which is the SYN if `complete`
        direction     "in" (from the client) or "out"
        note          what it is: "SYN", "SYN-ACK", "ACK", "request", "data", "FIN", "RST"
        length        octets of the frame
        ethernet      src, dst, ethertype
        ipv4          src, dst, ttl, identification, dont_fragment, tos, header_length, total_length
        tcp           src_port, dst_port, seq, ack (and both relative to the handshake), flags, window,
                      window_scaled, header_length, payload_length, options
        fields        [{layer, name, value, start, length}...]: every header field, and where its octets are
        layers        [{name, start, length}...]: Ethernet, IPv4, TCP and, with payload, HTTP
        octets        the frame in hexadecimal, its payload cut after OCTETS_SHOWN
    complete      false: the handshake has already left the recorder's memory
    omitted       segments left out of the middle of a long connection, behind the first FIRST_SHOWN
    carrier       the index in `segments` of the one with the request's last octet, or null
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from stack.addresses import show_ipv4, show_mac
from stack.application.dissect import Dissection, dissect, flags_of, options_of
from stack.application.http.messages import Request
from stack.clock import MICROSECOND, SECOND, Duration, Instant
from stack.transport.flow import FlowKey
from stack.wire import tcp

OCTETS_SHOWN: Final = 1024
FIRST_SHOWN: Final = 6  # segments of a long connection that are shown: so many of its beginning
_LAST: Final = 18  # and of its end
_MASK: Final = 0xFFFF_FFFF


class RecordedFrame(Protocol):
    """A frame that has passed: when, in which direction, on which interface."""

    @property
    def instant(self) -> Instant:
        """When the host got it, or gave it away."""

    @property
    def received(self) -> bool:
        """Whether it came in."""

    @property
    def octets(self) -> bytes:
        """The whole frame."""


class Recorder(Protocol):
    """Who remembers the latest frames of the host, such as stack.virtual.capture.FlightRecorder."""

    def frames(self) -> Iterable[RecordedFrame]:
        """What is remembered, the oldest first."""


def journey_of(request: Request, recorder: Recorder, content_type: str = "application/json") -> dict[str, Any]:
    """The journey of `request`, to be answered with `content_type`; see above."""
    found = _frames_of(request.connection.key, recorder)
    complete = bool(found) and _is_first_syn(*found[0])
    window_shifts = _window_shifts([dissection for _, dissection in found]) if complete else (0, 0)
    segments = [_segment(frame, dissection, found, window_shifts) for frame, dissection in found]
    carriers = [index for index, (frame, dissection) in enumerate(found) if frame.received and dissection.tcp.payload]
    carrier = carriers[-1] if carriers else None
    omitted = max(len(segments) - FIRST_SHOWN - _LAST, 0)
    if omitted:
        del segments[FIRST_SHOWN : FIRST_SHOWN + omitted]
        carrier = None if carrier is None or carrier < FIRST_SHOWN + omitted else carrier - omitted
    return {
        "request": _request(request),
        "response": {
            "status": 200,
            "headers": [["Content-Type", content_type], ["Cache-Control", "no-store"]],
        },
        "connection": _connection(request, found if complete else []),
        "segments": segments,
        "complete": complete,
        "omitted": omitted,
        "carrier": carrier,
    }


def _frames_of(key: FlowKey, recorder: Recorder) -> list[tuple[RecordedFrame, Dissection]]:
    """The frames of the connection, from its SYN on if that is still remembered."""
    addresses = key.local_addr.to_bytes(4), key.remote_addr.to_bytes(4)
    ports = key.local_port.to_bytes(2), key.remote_port.to_bytes(2)
    ours = b"".join((*addresses, *ports))
    theirs = b"".join((*reversed(addresses), *reversed(ports)))
    found: list[tuple[RecordedFrame, Dissection]] = []
    for frame in recorder.frames():
        # Addresses and ports are nearly always here, and a look at them spares taking every frame apart. A frame with
        # a VLAN tag or options of IPv4, which has them elsewhere, is none that a connection of ours lives on.
        if frame.octets[26:38] != (theirs if frame.received else ours):
            continue
        dissection = dissect(frame.octets)
        if dissection is None:
            continue
        if _is_first_syn(frame, dissection) and not _is_repeated(dissection, found):
            found.clear()  # whatever was before belongs to an earlier connection of the same two sockets
        found.append((frame, dissection))
    return found


def _is_first_syn(frame: RecordedFrame, dissection: Dissection) -> bool:
    return frame.received and dissection.tcp.flags & (tcp.SYN | tcp.ACK) == tcp.SYN


def _is_repeated(dissection: Dissection, found: Sequence[tuple[RecordedFrame, Dissection]]) -> bool:
    return bool(found) and _is_first_syn(*found[0]) and found[0][1].tcp.seq == dissection.tcp.seq


def _window_shifts(dissections: Sequence[Dissection]) -> tuple[int, int]:
    """The shifts of the client's windows and of ours: none unless both SYNs offer them (RFC 7323 2.2)."""
    offers = [each.tcp.options.window_scale for each in dissections if each.tcp.flags & tcp.SYN]
    if len(offers) < 2 or offers[0] is None or offers[-1] is None:
        return 0, 0
    return offers[0], offers[-1]


def _segment(
    frame: RecordedFrame,
    dissection: Dissection,
    found: Sequence[tuple[RecordedFrame, Dissection]],
    shifts: tuple[int, int],
) -> dict[str, Any]:
    first = found[0][0]
    internet, link = dissection.ipv4, dissection.ethernet
    return {
        "time_us": _microseconds(frame.instant - first.instant),
        "direction": "in" if frame.received else "out",
        "note": _note(frame.received, dissection),
        "length": len(frame.octets),
        "ethernet": {"src": show_mac(link.src), "dst": show_mac(link.dst), "ethertype": link.ethertype},
        "ipv4": {
            "src": show_ipv4(internet.src),
            "dst": show_ipv4(internet.dst),
            "ttl": internet.ttl,
            "identification": internet.identification,
            "dont_fragment": internet.dont_fragment,
            "tos": internet.tos,
            "header_length": internet.length,
            "total_length": dissection.total_length,
        },
        "tcp": _tcp(frame.received, dissection, found, shifts),
        "fields": [
            {"layer": each.layer, "name": each.name, "value": each.value, "start": each.start, "length": each.length}
            for each in dissection.fields
        ],
        "layers": [{"name": each.name, "start": each.start, "length": each.length} for each in dissection.layers],
        "octets": frame.octets[: dissection.payload_at + OCTETS_SHOWN].hex(),
    }


def _tcp(
    received: bool,
    dissection: Dissection,
    found: Sequence[tuple[RecordedFrame, Dissection]],
    shifts: tuple[int, int],
) -> dict[str, Any]:
    segment = dissection.tcp
    base, other = _bases(found)
    seq_base, ack_base = (base, other) if received else (other, base)
    shift = 0 if segment.flags & tcp.SYN else shifts[0 if received else 1]  # RFC 7323 2.2: not in a SYN's window
    return {
        "src_port": segment.src_port,
        "dst_port": segment.dst_port,
        "seq": segment.seq,
        "ack": segment.ack,
        "relative_seq": segment.seq - seq_base & _MASK,
        "relative_ack": segment.ack - ack_base & _MASK if segment.flags & tcp.ACK else 0,
        "flags": flags_of(segment),
        "window": segment.window,
        "window_scaled": segment.window << shift,
        "header_length": dissection.payload_at - dissection.layers[2].start,
        "payload_length": len(segment.payload),
        "options": options_of(segment),
    }


def _bases(found: Sequence[tuple[RecordedFrame, Dissection]]) -> tuple[int, int]:
    """What relative numbers are relative to: the client's first sequence number, and ours."""
    frame, dissection = found[0]
    seq, ack = dissection.tcp.seq, dissection.tcp.ack
    if not _is_first_syn(frame, dissection):
        return (seq, ack) if frame.received else (ack, seq)
    ours = next((each.tcp.seq for other, each in found if not other.received), 0)
    return seq, ours


def _note(received: bool, dissection: Dissection) -> str:
    segment = dissection.tcp
    if segment.flags & tcp.RST:
        return "RST"
    if segment.flags & tcp.SYN:
        return "SYN-ACK" if segment.flags & tcp.ACK else "SYN"
    if segment.payload:
        begins = any(field.name == "Start line" for field in dissection.fields)
        return ("request" if received else "response") if begins else "data"
    return "FIN" if segment.flags & tcp.FIN else "ACK"


def _request(request: Request) -> dict[str, Any]:
    at = datetime.fromtimestamp(request.wall_time // SECOND, UTC).replace(
        microsecond=request.wall_time % SECOND // MICROSECOND
    )
    return {
        "method": request.method,
        "target": request.target,
        "version": f"HTTP/{request.version}",
        "host": request.host,
        "received_at": at.isoformat(timespec="microseconds"),
        "headers": [list(field) for field in request.headers],
    }


def _connection(request: Request, found: Sequence[tuple[RecordedFrame, Dissection]]) -> dict[str, Any]:
    info = request.connection.info()
    key = info.key
    scaled = info.send_window_shift or info.receive_window_shift
    return {
        "client": f"{show_ipv4(key.remote_addr)}:{key.remote_port}",
        "server": f"{show_ipv4(key.local_addr)}:{key.local_port}",
        "state": info.state.name.replace("_", "-"),
        "mss": info.mss,
        "send_window_shift": info.send_window_shift if scaled else None,
        "receive_window_shift": info.receive_window_shift if scaled else None,
        "timestamps": info.timestamps,
        "round_trip_us": _handshake_time(found),
        "srtt_us": None if info.srtt is None else _microseconds(info.srtt),
        "rto_us": _microseconds(info.rto),
        "cwnd": info.cwnd,
        "ssthresh": info.ssthresh,
        "congestion": info.congestion,
        "window": info.receive_window,
        "send_window": info.send_window,
    }


def _handshake_time(found: Sequence[tuple[RecordedFrame, Dissection]]) -> float | None:
    """From our SYN-ACK to the ACK that answers it; unknown when the SYN-ACK had to be repeated (RFC 6298 section 3)."""
    sent = [frame.instant for frame, each in found if not frame.received and each.tcp.flags & tcp.SYN]
    if len(sent) != 1:
        return None
    for frame, each in found:
        if frame.received and not each.tcp.flags & tcp.SYN:
            return _microseconds(frame.instant - sent[0])
    return None


def _microseconds(duration: Duration) -> float:
    return duration / MICROSECOND
