"""What `tapstack demo` prints: a request's way through the stack, drawn with rich; plain text where it is piped."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stack import __version__, fastpath
from stack.addresses import show_ipv4
from stack.cli.trace import Step
from stack.io.configuration import ServeSettings

_WIDTH: Final = 100
_ARROW: Final = 22
_COLOURS: Final = {"Ethernet": "blue", "IPv4": "magenta", "TCP": "green", "HTTP": "yellow"}


class Story:
    """Prints the demo, part by part, to standard output."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        if not self._console.is_terminal or self._console.width > _WIDTH:
            self._console = Console(highlight=False, width=_WIDTH)

    def opening(self, settings: ServeSettings) -> None:
        """Who speaks with whom."""
        self._console.rule(f"[bold]tapstack {__version__} demo[/]", align="left", style="cyan")
        self._console.print(
            "\nA network of its own (a Linux network namespace), with nobody in it but two hosts:\n", style="dim"
        )
        ends = Table.grid(padding=(0, 2))
        theirs, ours = show_ipv4(settings.host_address.address), show_ipv4(settings.address.address)
        kernel = Panel(f"[bold]Linux kernel[/]\n{theirs}\ncurl, ping", width=24)
        stack = Panel(f"[bold]tapstack[/]\n{ours}\nPython, {fastpath.NAME} fastpath", width=32)
        ends.add_row(kernel, Text(f"\n ◀── {settings.tap} ──▶\n  Ethernet frames", style="cyan"), stack)
        self._console.print(ends)

    def pings(self, address: str, times: Sequence[float]) -> None:
        """The answers to pings, in milliseconds."""
        self._heading(f"ping {address}", "ARP finds the stack, ICMP answers")
        self._console.print("  " + "   ".join(f"{each:.3f} ms" for each in times))

    def conversation(self, url: str, steps: Sequence[Step]) -> None:
        """Every segment of the connection, in order."""
        self._heading(f"curl {url}", "every segment that passed, in both directions")
        table = Table(box=None, padding=(0, 1), header_style="dim", expand=True)
        table.add_column("ms", justify="right")
        table.add_column("kernel" + "stack".rjust(_ARROW + 2 - 6), no_wrap=True)
        table.add_column("octets", justify="right")
        table.add_column("", ratio=1)
        for step in steps:
            table.add_row(f"{step.milliseconds:.3f}", _arrow(step), f"{step.octets:,}", Text(step.what))
        self._console.print(table)

    def request_and_response(self, journey: dict[str, Any]) -> None:
        """The first segment of the request and of the response, header by header."""
        for note, title in (("request", "the request, as it arrived"), ("response", "the response, as it left")):
            segment = next((each for each in journey["segments"] if each["note"] == note), None)
            if segment is not None:
                self._heading(title, f"{segment['length']:,} octets, layer within layer")
                self._console.print(_boxes(segment))

    def connection(self, connection: dict[str, Any]) -> None:
        """What TCP has learnt about the other end."""
        self._heading("what our TCP knows of the connection by now")
        facts = [
            ("state", connection["state"]),
            ("largest segment", f"{connection['mss']:,} octets"),
            ("round trip", _milliseconds(connection["srtt_us"])),
            ("retransmission after", _milliseconds(connection["rto_us"])),
            ("congestion window", f"{connection['cwnd']:,} octets ({connection['congestion']})"),
            ("receive / send window", f"{connection['window']:,} / {connection['send_window']:,} octets"),
        ]
        table = Table.grid(padding=(0, 2))
        for left, right in zip(facts[::2], facts[1::2], strict=True):
            table.add_row(f"  [dim]{left[0]}[/]", left[1], f"  [dim]{right[0]}[/]", right[1])
        self._console.print(table)

    def closing(self) -> None:
        """What to do next."""
        self._heading("the same with your browser")
        self._console.print("  sudo tools/serve        then open http://10.77.0.2/\n")

    def _heading(self, title: str, note: str = "") -> None:
        self._console.print()
        self._console.print(Text.assemble((title, "bold cyan"), (f"   {note}" if note else "", "dim")))


def _arrow(step: Step) -> Text:
    label = f" {step.flags} "
    if step.flags == "...":
        return Text(f"{label:┄^{_ARROW + 2}}", style="dim")
    if step.received:
        return Text(f"──{label:─<{_ARROW - 1}}▶", style="green")
    return Text(f"◀{label:─>{_ARROW - 1}}──", style="yellow")


def _milliseconds(microseconds: float | None) -> str:
    return "unknown" if microseconds is None else f"{microseconds / 1000:.3f} ms"


def _boxes(segment: dict[str, Any]) -> RenderableType:
    """A segment's headers as boxes in boxes, each with its octets counted."""
    inner: RenderableType | None = None
    for layer in reversed(segment["layers"]):
        name, length = layer["name"], layer["length"]
        says = _SAYINGS[name](segment)
        colour = _COLOURS[name]
        inner = Panel(
            Group(says, inner) if inner is not None else says,
            title=f"[bold {colour}]{name}[/] {length:,} octets",
            title_align="left",
            border_style=colour,
        )
    return inner or Text("")


def _ethernet(segment: dict[str, Any]) -> Text:
    header = segment["ethernet"]
    return _facts(f"{header['src']} → {header['dst']}", ("type", f"{header['ethertype']:#06x}, IPv4"))


def _ipv4(segment: dict[str, Any]) -> Text:
    header = segment["ipv4"]
    return _facts(
        f"{header['src']} → {header['dst']}",
        ("total length", f"{header['total_length']:,}"),
        ("TTL", header["ttl"]),
        ("", "don't fragment" if header["dont_fragment"] else ""),
        ("checksum", _field(segment, "IPv4", "Header checksum")),
    )


def _tcp(segment: dict[str, Any]) -> Text:
    header = segment["tcp"]
    return _facts(
        f"port {header['src_port']} → {header['dst_port']}",
        ("seq", f"{header['relative_seq']:,}"),
        ("ack", f"{header['relative_ack']:,}"),
        ("", " ".join(header["flags"])),
        ("window", f"{header['window_scaled']:,}"),
        ("checksum", _field(segment, "TCP", "Checksum")),
    )


def _http(segment: dict[str, Any]) -> Text:
    lines = []
    for field in segment["fields"]:
        if field["layer"] != "HTTP" or not field["value"]:
            continue
        if field["name"] == "Start line":
            lines.append(field["value"])
        elif field["name"] == "Empty line":  # told by the one in front of the content
            continue
        elif field["name"] == "Content":
            lines.append(f"\n... and {field['value']} of content")
        else:
            lines.append(f"{field['name']}: {field['value']}")
    return Text("\n".join(lines))


_SAYINGS: Final = {"Ethernet": _ethernet, "IPv4": _ipv4, "TCP": _tcp, "HTTP": _http}


def _field(segment: dict[str, Any], layer: str, name: str) -> str:
    values = (each["value"] for each in segment["fields"] if each["layer"] == layer and each["name"] == name)
    return next(values, "")


def _facts(first: str, *facts: tuple[str, object]) -> Text:
    """`first` and then names, dim, with their values; those without a value are left out."""
    text = Text(first)
    for name, value in facts:
        if value != "":
            text.append("   ")
            text.append(f"{name} " if name else "", style="dim")
            text.append(str(value))
    return text
