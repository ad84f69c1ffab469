"""What the drawings of docs/ share: a card that is readable on any page, light or dark, and a few shapes.

The SVG is plain: no script, no font to fetch, and the same octets from the same input.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

# name: (on a light page, on a dark one)
COLOURS = {
    "card": ("#ffffff", "#0f172a"),
    "edge": ("#d8dee9", "#273449"),
    "ink": ("#1e293b", "#e2e8f0"),
    "quiet": ("#64748b", "#94a3b8"),
    "line": ("#94a3b8", "#64748b"),
    "box": ("#f8fafc", "#1e293b"),
    "blue": ("#2563eb", "#60a5fa"),
    "blue-wash": ("#eff6ff", "#172554"),
    "green": ("#0f766e", "#2dd4bf"),
    "green-wash": ("#f0fdfa", "#08302f"),
    "amber": ("#b45309", "#fbbf24"),
    "amber-wash": ("#fffbeb", "#3a2a06"),
}

Point = tuple[float, float]


def document(width: int, height: int, title: str, parts: Iterable[str], markers: Sequence[str]) -> str:
    """A whole SVG file; `markers` are the colours that arrowheads are wanted in."""
    light = "".join(rule(name, colours[0]) for name, colours in COLOURS.items())
    dark = "".join(rule(name, colours[1]) for name, colours in COLOURS.items())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title>",
            f"<style>text{{font-family:{FONT}}}.mono{{font-family:{MONO}}}.b{{font-weight:600}}{light}",
            f"@media(prefers-color-scheme:dark){{{dark}}}</style>",
            "<defs>",
            *(arrowhead(colour) for colour in markers),
            "</defs>",
            f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="14" class="f-card s-edge"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def rule(name: str, colour: str) -> str:
    """The two style classes of a colour: f-NAME fills, s-NAME strokes."""
    return f".f-{name}{{fill:{colour}}}.s-{name}{{stroke:{colour}}}"


def arrowhead(colour: str) -> str:
    """The end of an arrow, under the id `to-COLOUR`."""
    return (
        f'<marker id="to-{colour}" viewBox="0 0 10 10" refX="8.5" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 .8L9 5L0 9.2z" class="f-{colour}"/></marker>'
    )


def text(at: Point, words: str, size: float = 13, classes: str = "f-ink", anchor: str = "middle") -> str:
    """A line of text whose baseline is at `at`."""
    x, y = at
    anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{anchored} class="{classes}">{escape(words)}</text>'


def box(at: Point, size: Point, classes: str, radius: float = 10) -> str:
    """A rounded rectangle whose upper left corner is at `at`."""
    (x, y), (width, height) = at, size
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" class="{classes}"/>'


def path(d: str, colour: str, width: float = 1.6, arrows: str = "end", dashed: bool = False) -> str:
    """A line along the path `d`, with arrowheads at its "end", at "both" ends, or at "none"."""
    head = f' marker-end="url(#to-{colour})"' if arrows in ("end", "both") else ""
    tail = f' marker-start="url(#to-{colour})"' if arrows == "both" else ""
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="{d}" fill="none" stroke-width="{width:g}" class="s-{colour}"{dash}{head}{tail}/>'


def write(file: Path, drawing: str) -> None:
    """Put `drawing` into `file`."""
    file.write_text(drawing)
    print(f"wrote {file}")
