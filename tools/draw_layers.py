"""Draws docs/layers.svg, the picture in the README: the layers, and a request's way through them and back."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from tools import svg
from tools.svg import Point

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "layers.svg"
WIDTH, HEIGHT = 1080, 644
ROW = 62
TOPS = (100, 188, 276, 364, 452)  # of the rows on the right, from the application down to the device
LEFT, LEFT_WIDTH = 48, 270
RIGHT, RIGHT_WIDTH = 532, 330
LANES = (-26, 26)  # of the request and the response, from the middle of a tower

MACHINE = (
    (TOPS[0], "curl or a browser", "http://10.77.0.2/"),
    (TOPS[2], "the kernel's TCP/IP", "routes 10.77.0.0/24 to tap0"),
    (TOPS[4], "tap0", "10.77.0.1, a TAP device"),
)
LAYERS = (
    ("application", "HTTP/1.1, or a protocol of yours", "stack/application"),
    ("transport", "TCP, UDP", "stack/transport"),
    ("internet", "IPv4, ICMP, fragments, routes", "stack/internet"),
    ("link", "Ethernet, ARP", "stack/link"),
    ("io", "the device's frames, the clock", "stack/io"),
)
FRAME = (("Ethernet", 62), ("IPv4", 40), ("TCP", 38), ("GET /", 46))


def draw() -> str:
    """The picture."""
    parts = [
        *tower_titles(),
        *machine(),
        *core(),
        *layers(),
        *crossing(),
        *fastpath(),
        *virtual(),
    ]
    return svg.document(WIDTH, HEIGHT, "From a browser through a TAP device to our stack", parts, ("blue", "green"))


def tower_titles() -> Iterator[str]:
    """What stands over the two towers."""
    yield svg.text((LEFT, 48), "Your machine", 18, "f-ink b", "start")
    yield svg.text((LEFT, 70), "Linux, with its own TCP/IP", 13, "f-quiet", "start")
    yield svg.text((RIGHT, 48), "tapstack", 18, "f-ink b", "start")
    yield svg.text((RIGHT, 70), "one Python process, in user space", 13, "f-quiet", "start")


def row(at: Point, width: float, name: str, words: str, classes: str) -> str:
    """A box with a name and a line of explanation."""
    x, y = at
    return (
        svg.box(at, (width, ROW), classes)
        + svg.text((x + 18, y + 27), name, 15, "f-ink b", "start")
        + svg.text((x + 18, y + 47), words, 12.5, "f-quiet", "start")
    )


def lanes(middle: float, upper: float, lower: float, request_goes_down: bool) -> Iterator[str]:
    """The two arrows between a row and the next."""
    for lane, hue in zip(LANES, ("blue", "green"), strict=True):
        down = request_goes_down == (hue == "blue")
        begin, end = (upper + 2, lower - 2) if down else (lower - 2, upper + 2)
        yield svg.path(f"M{middle + lane} {begin}V{end}", hue, 2)


def machine() -> Iterator[str]:
    """The tower on the left."""
    for top, name, words in MACHINE:
        yield row((LEFT, top), LEFT_WIDTH, name, words, "f-box s-line")
    for (upper, _, _), (lower, _, _) in pairwise(MACHINE):
        yield from lanes(LEFT + LEFT_WIDTH / 2, upper + ROW, lower, request_goes_down=True)


def core() -> Iterator[str]:
    """The frame around what a Host is."""
    top, bottom = TOPS[1] - 13, TOPS[3] + ROW + 13
    yield svg.box((RIGHT - 16, top), (516, bottom - top), "f-blue-wash s-edge", 14)
    notes = ("stack/host.py", "the core, sans I/O:", "frames, time and", "randomness are", "arguments")
    for number, words in enumerate(notes):
        classes = "f-blue mono" if number == 0 else "f-quiet"
        yield svg.text((RIGHT + RIGHT_WIDTH + 16, top + 34 + 19 * number), words, 12.5, classes, "start")


def layers() -> Iterator[str]:
    """The tower on the right."""
    for top, (name, words, folder) in zip(TOPS, LAYERS, strict=True):
        yield row((RIGHT, top), RIGHT_WIDTH, name, words, "f-box s-line")
        yield svg.text((RIGHT + RIGHT_WIDTH - 16, top + 27), folder, 12, "f-blue mono", "end")
    for upper, lower in pairwise(TOPS):
        yield from lanes(RIGHT + RIGHT_WIDTH / 2, upper + ROW, lower, request_goes_down=False)


def crossing() -> Iterator[str]:
    """From the device to the process and back: /dev/net/tun, with a frame on the way."""
    begin, end, middle = LEFT + LEFT_WIDTH + 3, RIGHT - 3, TOPS[4] + ROW / 2
    yield svg.path(f"M{begin} {middle - 15}H{end}", "blue", 2)
    yield svg.path(f"M{end} {middle + 15}H{begin}", "green", 2)
    centre = (begin + end) / 2
    x = centre - sum(width for _, width in FRAME) / 2
    for words, width in FRAME:
        yield svg.box((x, middle - 54), (width - 3, 24), "f-blue-wash s-blue", 4)
        yield svg.text((x + (width - 3) / 2, middle - 38), words, 11, "f-blue")
        x += width
    yield svg.text((centre, middle + 4.5), "/dev/net/tun", 12, "f-quiet mono")
    yield svg.text((centre, middle - 64), "one Ethernet frame", 12, "f-quiet")
    yield svg.text((centre, middle + 40), "the answer, the same way back", 12, "f-quiet")


def fastpath() -> Iterator[str]:
    """What touches every octet, beside the layers that use it."""
    notes: Sequence[tuple[str, str]] = (
        ("stack/fastpath", "f-green mono"),
        ("in C, or in Python:", "f-quiet"),
        ("checksums, parsing,", "f-quiet"),
        ("merging, splitting", "f-quiet"),
    )
    x, top = RIGHT + RIGHT_WIDTH + 16, TOPS[3] - 34
    yield svg.path(f"M{x} {top - 22}H{x + 136}", "edge", 1.4, "none")
    for number, (words, classes) in enumerate(notes):
        yield svg.text((x, top + 4 + 19 * number), words, 12.5, classes, "start")


def virtual() -> Iterator[str]:
    """The other thing that a host can be plugged into."""
    top = TOPS[4] + ROW + 30
    yield svg.path(f"M{LEFT} {top - 4}H{WIDTH - LEFT}", "edge", 1, "none")
    yield svg.path(f"M{LEFT + 4} {top + 26}H{LEFT + 44}", "blue", 2)
    yield svg.text((LEFT + 56, top + 30), "the request", 13, "f-ink", "start")
    yield svg.path(f"M{LEFT + 4} {top + 52}H{LEFT + 44}", "green", 2)
    yield svg.text((LEFT + 56, top + 56), "the response", 13, "f-ink", "start")
    notes = (
        ("stack/virtual in place of stack/io:", "f-ink b"),
        ("the same hosts in memory, as many as you like, on links that", "f-quiet"),
        ("delay, lose and reorder, in virtual time: no root, no waiting", "f-quiet"),
    )
    for number, (words, classes) in enumerate(notes):
        yield svg.text((RIGHT, top + 30 + 20 * number), words, 13, classes, "start")


if __name__ == "__main__":
    svg.write(PICTURE, draw())
