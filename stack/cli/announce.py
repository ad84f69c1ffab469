"""What `tapstack serve` says: where it is reached, also to a service manager, and at the end what it has done.

On standard output; on a terminal with rich's colours and frame, otherwise as plain lines.
"""

import os
import sys
from contextlib import suppress

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stack import __version__, fastpath
from stack.addresses import show_ipv4
from stack.cli import output
from stack.cli.link import Link
from stack.counters import Counters
from stack.io.capture import Capture
from stack.io.configuration import ServeSettings
from stack.io.sdnotify import notify

_FASTPATHS = {"native": "native, in C", "reference": "reference, in Python (slow)"}


def started(settings: ServeSettings, link: Link) -> None:
    """The start-up message: a client could come."""
    persistent, user = link.queues[0].persistent, link.user
    rows = [
        ("try", f"curl {settings.url}"),
        ("", f"ping {show_ipv4(settings.address.address)}"),
        ("kernel side", f"{settings.host_address} on {settings.tap}" + (", made beforehand" if persistent else "")),
        ("stack side", f"{settings.address}, TCP port {settings.port}"),
        ("serves", _what(settings)),
        ("fastpath", _FASTPATHS[fastpath.NAME]),
    ]
    if settings.workers > 1:
        rows.append(("workers", f"{settings.workers} processes"))
    if settings.capture:
        rows.append(("capture", f"{settings.capture} (open it with Wireshark)"))
    if user:
        rows.append(("runs as", f"{user.name}: root's privileges are dropped"))
    stop = "Ctrl-C stops it" if persistent else f"Ctrl-C stops it; {settings.tap} goes with it"
    with suppress(output.OutputError), output.written():
        _print(f"tapstack {__version__}", settings.url, rows, stop)
    notify("READY=1", os.environ)


def _what(settings: ServeSettings) -> str:
    if settings.application is not None:
        return f"the application {settings.application}"
    return str(settings.directory.resolve()) if settings.directory else "a page about the stack itself"


def _print(title: str, url: str, rows: list[tuple[str, str]], stop: str) -> None:
    if not sys.stdout.isatty():
        print(f"{title}: {url}", *(f"  {label:12} {text}" for label, text in rows), f"  {stop}", sep="\n")
        return
    table = Table.grid(padding=(0, 2))
    table.add_row("", Text(url, style=f"bold cyan link {url}"))
    table.add_row()
    for label, text in rows:
        table.add_row(Text(label, style="dim"), Text(text, style="green" if label in ("try", "") else ""))
    console = Console(highlight=False)
    console.print(
        Panel(table, title=f"[bold]{title}[/]", title_align="left", subtitle=stop, subtitle_align="left", expand=False)
    )


def stopped(seconds: float, counters: Counters, requests: int, capture: Capture | None) -> None:
    """The closing line."""
    parts = [
        f"{_count(requests, 'request')} on {_count(counters['TcpPassiveOpens'], 'connection')}",
        f"{_count(counters['EthInFrames'], 'frame')} in",
        f"{counters['EthOutFrames']:,} out",
        f"{_count(counters['TcpRetransSegs'], 'segment')} retransmitted",
    ]
    if capture:
        parts.append(f"{_count(capture.frames, 'frame')} captured")
    with suppress(output.OutputError), output.written():
        print(f"tapstack: stopped after {seconds:.1f} s: {', '.join(parts)}")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
