"""The journey as a page: one file, rendered here, so that it says everything without a script too."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

from stack.application.http.messages import Response
from stack.application.http.pages import HTML
from stack.application.journey import FIRST_SHOWN

_ROW: Final = 16  # octets of a row of the dump, and half as many on a narrow screen
_CLASSES: Final = {"Ethernet": "e", "IPv4": "i", "TCP": "t", "HTTP": "h"}
_WHAT: Final = {
    "Ethernet": "from one network card to the next",
    "IPv4": "from one machine to another",
    "TCP": "from one program to another, complete and in order",
    "HTTP": "what the two say to each other",
}
_CARRIER_SHOWN: Final = 2048  # octets of the dump
_OTHERS_SHOWN: Final = 256
_FRAME_SHOWN: Final = "The frame that carried your request"

Json = Mapping[str, Any]


def render(journey: Json) -> Response:
    """The page. `journey` is what stack.application.journey documents."""
    request, connection = journey["request"], journey["connection"]
    page = _template().substitute(
        host=escape(request["host"] or connection["server"]),
        target=escape(request["target"]),
        client=escape(connection["client"]),
        server=escape(connection["server"]),
        lead=_lead(journey),
        facts="".join(_facts(journey)),
        bar=_bar(journey),
        sequence="".join(_sequence(journey)),
        frame=_carrier(journey),
        connection="".join(_connection(connection)),
        answer=_answer(journey["response"]),
        received_at=escape(request["received_at"].replace("+00:00", "Z")),
    )
    return Response(200, [HTML, ("Cache-Control", "no-store")], page.encode("utf-8", "replace"))


@cache
def _template() -> Template:
    return Template(files("stack.application").joinpath("page.html").read_text("utf-8"))


def _lead(journey: Json) -> str:
    segments = len(journey["segments"]) + journey["omitted"]
    if not journey["complete"]:
        return "This connection is older than what the stack remembers, so its beginning is missing below."
    return f"{segments} frames crossed the wire before this page could be written. Here they are, to the last octet."


def _facts(journey: Json) -> Iterator[str]:
    connection = journey["connection"]
    if (rtt := connection["round_trip_us"]) is not None:
        yield _fact(_duration(rtt), "round trip of the handshake")
    yield _fact(str(len(journey["segments"]) + journey["omitted"]), "frames so far")
    if journey["carrier"] is not None:
        segment = journey["segments"][journey["carrier"]]
        payload = segment["tcp"]["payload_length"]
        yield _fact(f"{payload}", "octets of HTTP")
        yield _fact(f"{segment['length'] - payload}", "octets of headers below it")


def _fact(value: str, what: str) -> str:
    return f"<div><dt>{what}</dt><dd>{value}</dd></div>"


def _bar(journey: Json) -> str:
    """How the layers share the octets of the request's frame."""
    if journey["carrier"] is None:
        return ""
    parts = "".join(
        f'<span class="{_CLASSES[layer["name"]]}" style="flex-grow:{layer["length"]}">'
        f"{layer['name']} <b>{layer['length']}</b></span>"
        for layer in journey["segments"][journey["carrier"]]["layers"]
    )
    return f'<p class="bar" title="octets of the frame that carried your request">{parts}</p>'


# The conversation


def _sequence(journey: Json) -> Iterator[str]:
    segments, omitted = journey["segments"], journey["omitted"]
    for index, segment in enumerate(segments):
        if omitted and index == FIRST_SHOWN:
            yield f'<li class="gap">{omitted} more segments</li>'
        if index == journey["carrier"]:
            inside = f'<p class="note"><a href="#frame">{_FRAME_SHOWN}</a> is below, field by field.</p>'
        else:
            inside = _frame(segment, str(index), _OTHERS_SHOWN)
        yield f'<li><details name="segment"><summary class="{segment["direction"]}">{_arrow(segment)}</summary>'
        yield f"{inside}</details></li>"


def _arrow(segment: Json) -> str:
    return (
        f'<span class="time">{_duration(segment["time_us"])}</span>'
        f'<span class="lane"><span class="label"><b>{escape(segment["note"])}</b> {_saying(segment)}</span>'
        f'<span class="arrow"></span><span class="detail">{_detail(segment)}</span></span>'
    )


def _saying(segment: Json) -> str:
    """What the segment says, as one would say it."""
    note, header = segment["note"], segment["tcp"]
    if note == "SYN":
        return f"May I? I count my octets from {header['seq']}."
    if note == "SYN-ACK":
        return f"Yes. I count mine from {header['seq']}."
    if note == "ACK":
        what = "It is open." if header["relative_ack"] == 1 else f"I have your first {header['relative_ack'] - 1}."
        return what
    if note in ("request", "response"):
        return f"<code>{escape(_value(segment, 'Start line'))}</code>"
    if note == "FIN":
        return "That is all from me."
    return "This connection is over." if note == "RST" else f"{header['payload_length']} octets more."


def _detail(segment: Json) -> str:
    header = segment["tcp"]
    parts = [" ".join(header["flags"]), f"seq {header['relative_seq']}"]
    if "ACK" in header["flags"]:
        parts.append(f"ack {header['relative_ack']}")
    parts.append(f"window {header['window_scaled']}")
    if header["payload_length"]:
        parts.append(f"{header['payload_length']} octets")
    for name, label in (("mss", "MSS"), ("window_scale", "scale")):
        if name in header["options"]:
            parts.append(f"{label} {header['options'][name]}")
    return " &middot; ".join(parts)


def _value(segment: Json, name: str) -> str:
    return str(next((field["value"] for field in segment["fields"] if field["name"] == name), ""))


# One frame: boxes and octets


def _carrier(journey: Json) -> str:
    if journey["carrier"] is None:
        return '<p class="note">The frame is no longer in the recorder\'s memory.</p>'
    return _frame(journey["segments"][journey["carrier"]], "carrier", _CARRIER_SHOWN)


def _frame(segment: Json, key: str, limit: int) -> str:
    """Nested boxes on one side, up to `limit` octets on the other; `key` tells the frames of a page apart."""
    places = [(number, field) for number, field in enumerate(segment["fields"])]
    boxes = ""
    for layer in reversed(segment["layers"]):
        name = layer["name"]
        rows = "".join(_field(number, field) for number, field in places if field["layer"] == name)
        boxes = (
            f'<div class="box {_CLASSES[name]}"><h3 data-l="{_CLASSES[name]}"><b>{name}</b> '
            f"<span>{_WHAT[name]}</span> <small>{layer['length']} octets</small></h3>"
            f'<div class="fields">{rows}</div>{boxes}</div>'
        )
    return f'<div class="frame" id="frame-{key}"><div class="boxes">{boxes}</div>{_dump(segment, places, limit)}</div>'


def _field(number: int, field: Json) -> str:
    wide = ' class="wide"' if field["layer"] == "HTTP" else ""
    return (
        f'<div{wide} tabindex="0" data-f="{number}"><small>{escape(field["name"])}</small>'
        f"<span>{escape(field['value'])}</span></div>"
    )


def _dump(segment: Json, places: Sequence[tuple[int, Json]], limit: int) -> str:
    octets = bytes.fromhex(segment["octets"])[:limit]
    owner: dict[int, tuple[int, str]] = {}
    for number, field in places:
        kind = _CLASSES[field["layer"]]
        for at in range(field["start"], field["start"] + field["length"]):
            owner[at] = (number, kind)
    padding = {
        at: _CLASSES[layer["name"]]
        for layer in segment["layers"]
        for at in range(layer["start"], layer["start"] + layer["length"])
    }
    cells = []
    for at, octet in enumerate(octets):
        if at % (_ROW // 2) == 0:
            cells.append(f"<b{' class=half' if at % _ROW else ''}>{at:04x}</b>")
        if at in owner:
            number, kind = owner[at]
            cells.append(f"<i class={kind} data-f={number}>{octet:02x}</i>")
        else:
            cells.append(f"<i class={padding.get(at, 'x')}>{octet:02x}</i>")
    rest = segment["length"] - len(octets)
    more = f'<p class="note">and {rest} octets more</p>' if rest else ""
    heading = f"<h3>The same {segment['length']} octets</h3>"
    return f'<div class="octets">{heading}<code class="dump">{"".join(cells)}</code>{more}</div>'


# What is known of the connection, and the answer


def _connection(info: Json) -> Iterator[str]:
    def row(name: str, value: str, why: str) -> str:
        return f"<tr><th>{name}</th><td>{value}</td><td>{why}</td></tr>"

    yield row("State", info["state"], "of the eleven of RFC 9293")
    yield row("Segment size", f"{info['mss']} octets", "the most data that fits in one of our segments")
    if info["send_window_shift"] is None:
        yield row("Window scaling", "off", "so windows end at 65,535 octets")
    else:
        shifts = f"yours &times; {1 << info['send_window_shift']}, ours &times; {1 << info['receive_window_shift']}"
        yield row("Window scaling", shifts, "RFC 7323: the field alone has 16 bits")
    yield row("Your window", f"{info['send_window']:,} octets", "how much we may send before we hear from you")
    yield row("Our window", f"{info['window']:,} octets", "and you, before you hear from us")
    yield row("Timestamps", "on" if info["timestamps"] else "off", "RFC 7323: every segment measures the round trip")
    smoothed = "not measured yet" if info["srtt_us"] is None else _duration(info["srtt_us"])
    yield row("Round trip, smoothed", smoothed, "RFC 6298")
    yield row("Retransmission after", _duration(info["rto_us"]), "without an acknowledgment")
    yield row(
        "Congestion window", f"{info['cwnd']:,} octets", f"{escape(info['congestion'])}, which starts with ten segments"
    )


def _answer(response: Json) -> str:
    fields = "".join(f"{escape(name)}: {escape(value)}\n" for name, value in response["headers"])
    return f"<b>HTTP/1.1 {response['status']} OK</b>\n{fields}"


def _duration(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} &micro;s"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.2f} ms"
    return f"{microseconds / 1_000_000:.2f} s"
