"""What `tapstack demo` prints: a request's way through the stack, drawn with rich; plain text where it is piped."""

from collections.abc import Sequence
from typing import Any, Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stack import __version__
from stack.addresses import show_ipv4
from stack.cli.configuration import ServeSettings

_WIDTH: Final = 100
_COLOURS: Final = {"Ethernet": "blue", "IPv4": "magenta", "TCP": "green", "HTTP": "yellow"}


def console() -> Console:
    """Standard output, not wider than one likes to read."""
    ours = Console(highlight=False)
    if ours.width > _WIDTH or not ours.is_terminal:
        ours = Console(highlight=False, width=_WIDTH)
    return ours


def boxes(layers: Sequence[tuple[str, int, str, str]], body: str) -> RenderableType:
    """Headers as boxes in boxes: each layer is (name, octets, what it says, note); `body` is what is innermost."""
    inner: RenderableType = Text(body, style="dim")
    for name, octets, fields, note in reversed(layers):
        colour = _COLOURS.get(name, "white")
        inner = Panel(
            Group(Text(fields), inner) if fields else inner,
            title=f"[bold {colour}]{name}[/] {octets} octets",
            title_align="left",
            subtitle=Text(note, style="dim") if note else None,
            subtitle_align="right",
            border_style=colour,
            box=box.ROUNDED,
            padding=(0, 1),
        )
    return inner
