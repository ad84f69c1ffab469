"""The listing of a directory that has no index.html."""

import os
import stat
import time
from collections.abc import Callable
from html import escape
from typing import Final
from urllib.parse import quote

from stack.application.http.messages import Response
from stack.application.http.pages import HTML, page

_MAX_ENTRIES: Final = 5000
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


def response(directory: int, path: str, contains: Callable[[str], bool]) -> Response:
    """A page of what can be asked for in `directory`, an open one, whose path on the site is `path`.

    `contains` tells whether a place is part of the site: links that lead elsewhere are not shown.
    """
    rows = [] if path == "/" else [_row("../", "Parent directory", "", "")]
    entries, is_cut = _entries(directory, contains)
    for name, status in entries:
        shown = os.fsencode(name).decode("utf-8", "replace")
        when = _show_time(status.st_mtime)
        if stat.S_ISDIR(status.st_mode):
            rows.append(_row(f"./{quote(os.fsencode(name))}/", f"{shown}/", when, ""))
        else:
            rows.append(_row(f"./{quote(os.fsencode(name))}", shown, when, _show_size(status.st_size)))
    content = '<table><tr><th>Name<th class="when">Modified (UTC)<th>Size' + "".join(rows) + "</table>"
    if is_cut:
        content += f"<p>There are more than {_MAX_ENTRIES} entries; the rest is not shown."
    title = os.fsencode(path).decode("utf-8", "replace")
    return Response(200, [HTML, ("Cache-Control", "no-cache")], page(f"Index of {title}", content))


def _entries(directory: int, contains: Callable[[str], bool]) -> tuple[list[tuple[str, os.stat_result]], bool]:
    """Names with what they are, directories first; and whether there were too many."""
    found: list[tuple[str, os.stat_result]] = []
    place = os.readlink(f"/proc/self/fd/{directory}")
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if len(found) == _MAX_ENTRIES:
                return _sorted(found), True
            try:
                if entry.is_symlink() and not contains(os.path.realpath(os.path.join(place, entry.name))):
                    continue
                status = entry.stat()
            except OSError:
                continue  # a link to nowhere, or gone by now
            if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                found.append((entry.name, status))
    return _sorted(found), False


def _sorted(found: list[tuple[str, os.stat_result]]) -> list[tuple[str, os.stat_result]]:
    return sorted(found, key=lambda each: (not stat.S_ISDIR(each[1].st_mode), each[0].casefold(), each[0]))


def _row(link: str, name: str, when: str, size: str) -> str:
    return f'<tr><td><a href="{link}">{escape(name)}</a><td class="when">{when}<td>{size}'


def _show_time(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
    except (OSError, OverflowError, ValueError):  # a year that nothing else knows either; file systems take it
        return ""


def _show_size(octets: int) -> str:
    size = float(octets)
    for unit in _UNITS:
        if size < 999.5 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{octets} B" if octets < 1000 else f"{size:.1f} {unit}" if size < 99.5 else f"{size:.0f} {unit}"
