"""The files of a directory (RFC 9110 sections 8, 13 and 14).

What is served. Regular files, and directories: their index.html, or else a listing. A name that begins with a dot is
hidden, as from `ls`: neither listed nor served. A symbolic link is followed as long as it does not lead out of the
directory. What a path leads to is decided by the kernel and not by looking at names: it is opened as a mere reference
(O_PATH), asked for its real place and kind, and only then opened to be read, by that same reference. So nobody can
exchange it in between, and a FIFO or a device is never opened at all.
"""

import errno
import mimetypes
import os
import secrets
import stat
from pathlib import Path
from typing import Final
from urllib.parse import quote

from stack.application.http import listing
from stack.application.http.bodies import FileBody, Part
from stack.application.http.conditions import Validators, heeds_range, is_unchanged
from stack.application.http.dates import format_date
from stack.application.http.messages import Refusal, Request, Response
from stack.application.http.ranges import parse_ranges
from stack.clock import SECOND

_SMALL: Final = 65536  # octets of a file that is read at once
_REFERENCE: Final = os.O_PATH | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_STATUS: Final = {errno.EACCES: 403, errno.EPERM: 403, errno.EMFILE: 503, errno.ENFILE: 503, errno.ENOMEM: 503}
_WHY: Final = {
    403: "The server is not permitted to read it.",
    404: "There is nothing by that name here.",
    503: "The server has too many files open.",
}
_ALSO_TEXT: Final = frozenset(
    {"application/javascript", "application/json", "application/xml", "application/xhtml+xml", "image/svg+xml"}
)


class Directory:
    """Answers GET and HEAD with what lies below `root`, which has to exist. Raises OSError."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root, strict=True)
        self._prefix = self._root.rstrip("/") + "/"
        mimetypes.init()

    def __call__(self, request: Request) -> Response:
        """The response. Raises Refusal."""
        path = request.path
        if "/." in path:
            raise _refusal(errno.ENOENT)
        descriptor, status = self._open(path)
        try:
            if not stat.S_ISDIR(status.st_mode):
                return _file(descriptor, status, path, request)
            if not path.endswith("/"):
                query = f"?{request.query}" if request.query else ""
                return Response(301, [("Location", f"{quote(os.fsencode(path))}/{query}")])
            return self._index(descriptor, request)
        finally:
            os.close(descriptor)

    def _index(self, directory: int, request: Request) -> Response:
        path = request.path + "index.html"
        try:
            descriptor, status = self._open(path)
        except Refusal as refusal:
            if refusal.status != 404:
                raise
            return self._listing(directory, request)
        try:
            if stat.S_ISDIR(status.st_mode):
                return self._listing(directory, request)
            return _file(descriptor, status, path, request)
        finally:
            os.close(descriptor)

    def _listing(self, directory: int, request: Request) -> Response:
        try:
            return listing.response(directory, request.path, self._contains)
        except OSError as error:
            raise _refusal(error.errno) from None

    def _contains(self, place: str) -> bool:
        """Whether `place`, an absolute path without links, is in the directory."""
        return place == self._root or place.startswith(self._prefix)

    def _open(self, path: str) -> tuple[int, os.stat_result]:
        """Open the regular file or the directory at `path`. Raises Refusal."""
        try:
            reference = os.open(self._root + path, _REFERENCE)
        except OSError as error:
            raise _refusal(error.errno) from None
        try:
            place = f"/proc/self/fd/{reference}"
            status = os.fstat(reference)
            if not self._contains(os.readlink(place)):
                raise _refusal(errno.ENOENT)
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise _refusal(errno.ENOENT)
            return os.open(place, _READ), status
        except OSError as error:
            raise _refusal(error.errno) from None
        finally:
            os.close(reference)


def _refusal(number: int | None) -> Refusal:
    status = _STATUS.get(number or 0, 404)
    return Refusal(status, _WHY[status])


def _file(descriptor: int, status: os.stat_result, path: str, request: Request) -> Response:
    """The response with the file, whose `descriptor` stays the caller's. Raises Refusal."""
    # RFC 9110 8.8.2.1: never later than Date; and no earlier than any date that parse_date() takes back.
    modified = min(max(status.st_mtime_ns, 0), request.wall_time) // SECOND
    validators = Validators(f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"', modified)
    fields = [("ETag", validators.etag), ("Last-Modified", format_date(modified)), ("Cache-Control", "no-cache")]
    if is_unchanged(request, validators):
        return Response(304, fields)
    fields += [("Accept-Ranges", "bytes"), ("X-Content-Type-Options", "nosniff")]
    content_type, size = _type_of(path), status.st_size
    field = request.headers.get("range")
    ranges = None
    if field is not None and request.method == "GET" and heeds_range(request, validators):
        ranges = parse_ranges(field, size)
    if ranges is None:
        return _whole(descriptor, size, [*fields, ("Content-Type", content_type)])
    if not ranges:
        whole = ("Content-Range", f"bytes */{size}")
        raise Refusal(416, f"The file has {size} octets; none of those asked for is among them.", [whole])
    return _ranges(descriptor, size, ranges, content_type, fields)


def _duplicate(descriptor: int) -> int:
    try:
        return os.dup(descriptor)
    except OSError as error:
        raise _refusal(error.errno) from None


def _whole(descriptor: int, size: int, fields: list[tuple[str, str]]) -> Response:
    if size > _SMALL:
        return Response(200, fields, FileBody(_duplicate(descriptor), [Part(b"", 0, size)]))
    octets = os.pread(descriptor, size, 0) if size else b""
    if len(octets) < size:
        raise Refusal(503, "The file is being changed.", [("Retry-After", "1")])
    return Response(200, fields, octets)


def _ranges(
    descriptor: int, size: int, ranges: list[tuple[int, int]], content_type: str, fields: list[tuple[str, str]]
) -> Response:
    """RFC 9110 15.3.7: one range by itself, more of them as the parts of a multipart body (14.6)."""
    if len(ranges) == 1:
        first, last = ranges[0]
        fields += [("Content-Type", content_type), ("Content-Range", f"bytes {first}-{last}/{size}")]
        return Response(206, fields, FileBody(_duplicate(descriptor), [Part(b"", first, last - first + 1)]))
    boundary = secrets.token_hex(12)
    parts = []
    for first, last in ranges:
        lead = f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {first}-{last}/{size}\r\n\r\n"
        parts.append(Part(lead.encode("ascii"), first, last - first + 1))
    fields.append(("Content-Type", f"multipart/byteranges; boundary={boundary}"))
    return Response(206, fields, FileBody(_duplicate(descriptor), parts, f"\r\n--{boundary}--\r\n".encode("ascii")))


def _type_of(path: str) -> str:
    kind, encoding = mimetypes.guess_type(path, strict=False)
    if encoding is not None:
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind in _ALSO_TEXT else kind
