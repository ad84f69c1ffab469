"""The sites that the daemon serves: one that tells about the stack itself, and one that is a directory.

The built-in site:

    /              the journey of the request that asks for it, as a page
    /journey.json  the same as JSON (stack.application.journey has its schema)
    /stats.json    counters of the host, connections by state, totals of the server
    /bench/N       N octets, up to 1 GiB, for load generators

With a directory the names are the directory's, all but one: what the built-in site has is then found below
/.tapstack/ (as /.tapstack/stats.json), which cannot hide a file since names that begin with a dot are not served.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Final

from stack.application.http.bodies import PatternBody
from stack.application.http.files import Directory
from stack.application.http.messages import Handler, Refusal, Request, Response
from stack.application.http.routes import read_only
from stack.application.journey import Recorder, journey_of
from stack.application.page import render
from stack.host import Host

RESERVED: Final = "/.tapstack"
MAX_BENCH: Final = 1 << 30
_BENCH: Final = "/bench/"
_SMALL: Final = 16384
_JSON: Final = ("Content-Type", "application/json")
_NOT_STORED: Final = ("Cache-Control", "no-store")
_OCTETS: Final = ("Content-Type", "application/octet-stream")


def built_in_site(host: Host, recorder: Recorder) -> Handler:
    """The site that is served without a directory; `recorder` observes `host`."""

    def answer(request: Request) -> Response:
        return _answer(request.path, request, host, recorder)

    return read_only(answer)


def directory_site(directory: Path, host: Host, recorder: Recorder) -> Handler:
    """The files of `directory`, and below RESERVED the built-in site. Raises OSError for a directory that is not."""
    files = Directory(directory)
    reserved = f"{RESERVED}/"

    def answer(request: Request) -> Response:
        if request.path.startswith(reserved):
            return _answer(request.path.removeprefix(RESERVED), request, host, recorder)
        return files(request)

    return read_only(answer)


def _answer(path: str, request: Request, host: Host, recorder: Recorder) -> Response:
    if path.startswith(_BENCH):
        return _bench(path.removeprefix(_BENCH))
    if path == "/":
        return render(journey_of(request, recorder, "text/html; charset=utf-8"))
    if path == "/journey.json":
        return _json(journey_of(request, recorder))
    if path == "/stats.json":
        return _json(_statistics(request, host))
    raise Refusal(404, "There is nothing by that name here.")


def _json(value: object) -> Response:
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return Response(200, [_JSON, _NOT_STORED], text.encode("utf-8", "replace"))


def _statistics(request: Request, host: Host) -> dict[str, object]:
    totals = request.totals
    states = host.states()
    return {
        "connections": {"total": states.total(), **{state.name: count for state, count in states.items()}},
        "http": {
            "open_connections": totals.open_connections,
            "connections": totals.connections,
            "refused_connections": totals.refused_connections,
            "requests": totals.requests,
            "octets_sent": totals.octets_sent,
        },
        "counters": dict(host.counters),
    }


def _bench(size: str) -> Response:
    octets = int(size) if size.isascii() and size.isdigit() and len(size) <= len(str(MAX_BENCH)) else -1
    if not 0 <= octets <= MAX_BENCH:
        raise Refusal(404, f"The number of octets is 0 to {MAX_BENCH}.")
    if octets <= _SMALL:
        return _small_bench(octets)
    return Response(200, [_OCTETS, _NOT_STORED], PatternBody(octets))


@lru_cache(maxsize=16)
def _small_bench(size: int) -> Response:
    return Response(200, [_OCTETS, _NOT_STORED], PatternBody(size).read(size))
