"""Files of a directory: what is served, conditions and ranges (RFC 9110 sections 8, 13 and 14)."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.application.http import listing
from stack.application.http.dates import format_date
from stack.application.http.files import Directory
from stack.application.http.ranges import MAX_RANGES, parse_ranges
from stack.application.http.routes import read_only
from stack.clock import MILLISECOND, SECOND
from stack.virtual.link import LinkProfile
from tests.application.conftest import EPOCH, START, Answer, World

MODIFIED = EPOCH // SECOND - 1000
BEFORE, AT, AFTER = (format_date(MODIFIED + offset) for offset in (-10, 0, 10))
CONTENT = bytes(range(256)) * 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "with index").mkdir()
    (root / "with index" / "index.html").write_text("<title>index")
    (root / ".hidden").write_text("secret")
    (root / ".well").mkdir()
    (root / ".well" / "x").write_text("secret")
    (root / "file.txt").write_bytes(CONTENT)
    (root / "empty").touch()
    (root / "sub" / "a&b<c>.html").write_text("x")
    (tmp_path / "outside").write_text("secret")
    (tmp_path / "rootling").write_text("secret")
    os.utime(root / "file.txt", (MODIFIED, MODIFIED))
    return root


@pytest.fixture
def site(world: World, root: Path) -> World:
    world.serve(read_only(Directory(root)))
    return world


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# What is served


@pytest.mark.req("9110-24", "9110-21")
def test_a_file(site: World) -> None:
    answer = site.get("/file.txt")
    assert answer.status == 200 and answer.body == CONTENT
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Last-Modified"] == AT and answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"].startswith('"') and answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.json", "application/json; charset=utf-8"),
        ("a.svg", "image/svg+xml; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.tar.gz", "application/gzip"),
        ("a.unheard-of", "application/octet-stream"),
        ("noextension", "application/octet-stream"),
    ],
)
def test_types(site: World, root: Path, name: str, kind: str) -> None:
    (root / name).write_text("x")
    assert site.get(f"/{name}").headers["Content-Type"] == kind


def test_directories(site: World) -> None:
    assert site.get("/with%20index/").body == b"<title>index"
    moved = site.get("/with%20index?a=b")
    assert moved.status == 301 and moved.headers["Location"] == "/with%20index/?a=b"
    assert site.get("/file.txt/").status == 404
    assert site.get("/empty").body == b""


@pytest.mark.parametrize("target", ["//evil.example/..", "/%5Cevil.example", "http://x//evil.example/"])
def test_a_redirect_stays_on_the_site(site: World, root: Path, target: str) -> None:
    (root / "\\evil.example").mkdir()
    (root / "evil.example").mkdir()
    answer = site.get(target)
    location = answer.headers["Location"]
    assert location is None or (location.startswith("/") and location[1] not in "/\\")


def test_a_listing(site: World, root: Path) -> None:
    (root / "sub" / "with\udcff").write_text("x" * 2500)
    os.symlink(root / "file.txt", root / "sub" / "inside")
    os.symlink(root.parent / "outside", root / "sub" / "outside")
    os.symlink("nowhere", root / "sub" / "dangling")
    os.mkfifo(root / "sub" / "fifo")
    (root / "sub" / ".dot").touch()
    body = site.get("/sub/").body.decode()
    assert '<a href="./a%26b%3Cc%3E.html">a&amp;b&lt;c&gt;.html</a>' in body
    assert body.index("deep/") < body.index("a&amp;b") < body.index("inside") < body.index("with")
    assert 'href="../"' in body and "./with%FF" in body and "2.5 kB" in body
    for hidden in ("outside", "dangling", "fifo", ".dot"):
        assert f">{hidden}" not in body
    assert site.get("/sub/with%FF").body == b"x" * 2500
    assert 'href="../"' not in site.get("/").body.decode()


@pytest.mark.parametrize(
    "target",
    [
        "/../outside", "/sub/../../outside", "/%2e%2e/outside", "/sub/%2E%2e/%2e./outside", "/..%2foutside",
        "/..%5coutside", "/../rootling", "/%00", "/file.txt%00.html", "/.hidden", "/%2ehidden", "/.well/x", "/sub/.dot",
        "/link-out", "/link-out-dir/outside", "/link-out-dir/", "/fifo", "/socket", "/link-fifo", "/dangling", "/loop",
        "/nothing", "/" + "a" * 300, "/file.txt/x", "/link-null", "/link-prefix",
    ],
)  # fmt: skip
def test_nothing_else_is_served(site: World, root: Path, target: str) -> None:
    os.symlink("../outside", root / "link-out")
    os.symlink("../rootling", root / "link-prefix")
    os.symlink("..", root / "link-out-dir")
    os.symlink("/dev/null", root / "link-null")
    os.symlink("nowhere", root / "dangling")
    os.symlink("loop", root / "loop")
    os.mkfifo(root / "fifo")
    os.symlink("fifo", root / "link-fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        here = os.getcwd()
        os.chdir(root)  # a socket's name has to be short
        try:
            unix.bind("socket")
        finally:
            os.chdir(here)
        before = descriptors()
        answer = site.get(target)
        assert answer.status in (400, 404) and b"secret" not in answer.body
        assert descriptors() == before


def test_links_inside_are_followed(site: World, root: Path) -> None:
    os.symlink("../file.txt", root / "sub" / "link")
    os.symlink(root / "with index", root / "link")
    assert site.get("/sub/link").body == CONTENT
    assert site.get("/link/").body == b"<title>index"


def test_what_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run as root may read everything, so the kernel's answer is made up."""
    world = World("httptools", LinkProfile())
    world.serve(read_only(Directory(root)))
    for number, status in ((13, 403), (24, 503), (36, 404)):

        def refuse(*arguments: object, number: int = number, **others: object) -> int:
            raise OSError(number, "no")

        with monkeypatch.context() as patch:
            patch.setattr("stack.application.http.files.os.open", refuse)
            assert world.get("/file.txt").status == status


@pytest.mark.parametrize(
    ("call", "target", "fields"),
    [("dup", "/large", {}), ("dup", "/file.txt", {"Range": "bytes=0-1"}), ("scandir", "/sub/", {})],
)
def test_too_many_files_are_open_for_one_more(
    site: World, large: bytes, call: str, target: str, fields: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(24, "no")

    monkeypatch.setattr(os, call, refuse)
    assert site.get(target, **fields).status == 503


@pytest.mark.req("9110-2", "9110-18", "9110-25")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"])
def test_files_are_only_read(site: World, method: str) -> None:
    answer = site.get("x:80" if method == "CONNECT" else "/file.txt", method)
    assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_options(site: World) -> None:
    for target in ("*", "/file.txt"):
        answer = site.get(target, "OPTIONS")
        assert answer.status == 204 and answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_last_modified_is_a_date_that_http_has(site: World, root: Path) -> None:
    """Times before 1970, which parse_date() does not know; some file systems take those of any year."""
    (root / "old").write_text("x")
    os.utime(root / "old", (0, -86400))
    answer = site.get("/old")
    assert answer.status == 200 and answer.headers["Last-Modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert site.get("/old", If_Modified_Since=answer.headers["Last-Modified"]).status == 304


def test_a_listing_of_a_file_from_no_year_at_all() -> None:
    assert listing._show_time(0) == "1970-01-01 00:00"
    assert listing._show_time(float(1 << 62)) == listing._show_time(-float(1 << 62)) == ""


@pytest.mark.req("9110-22")
def test_last_modified_is_never_in_the_future(site: World, root: Path) -> None:
    os.utime(root / "file.txt", (MODIFIED + 10_000, MODIFIED + 10_000))
    assert site.get("/file.txt").headers["Last-Modified"] == START


# Conditions


def tags(site: World) -> dict[str, str]:
    etag = site.get("/file.txt").headers["ETag"]
    return {
        "same": etag, "weak": f"W/{etag}", "other": '"x"', "any": "*", "list": f'"x", , {etag},"y, z"',
        "none": "", "garbage": etag.strip('"'), "before": BEFORE, "at": AT, "after": AFTER, "no date": "yesterday",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"If_Match": "same"}, 200), ({"If_Match": "any"}, 200), ({"If_Match": "list"}, 200),
        ({"If_Match": "other"}, 412), ({"If_Match": "weak"}, 412), ({"If_Match": "garbage"}, 412),
        ({"If_Unmodified_Since": "at"}, 200), ({"If_Unmodified_Since": "before"}, 412),
        ({"If_Unmodified_Since": "no date"}, 200),
        ({"If_Match": "same", "If_Unmodified_Since": "before"}, 200),
        ({"If_Match": "other", "If_Unmodified_Since": "after"}, 412),
        ({"If_None_Match": "same"}, 304), ({"If_None_Match": "weak"}, 304), ({"If_None_Match": "list"}, 304),
        ({"If_None_Match": "any"}, 304), ({"If_None_Match": "other"}, 200), ({"If_None_Match": "garbage"}, 200),
        ({"If_Modified_Since": "at"}, 304), ({"If_Modified_Since": "after"}, 304),
        ({"If_Modified_Since": "before"}, 200), ({"If_Modified_Since": "no date"}, 200),
        ({"If_None_Match": "other", "If_Modified_Since": "after"}, 200),
        ({"If_None_Match": "same", "If_Modified_Since": "before"}, 304),
        ({"If_Match": "other", "If_None_Match": "same"}, 412),
        ({"If_Match": "same", "If_None_Match": "same"}, 304),
        ({"If_None_Match": "same", "Range": "bytes=0-0"}, 304),
        ({"If_Match": "other", "Range": "bytes=0-0"}, 412),
        ({"If_Match": "same", "Range": "bytes=0-0"}, 206),
        ({"Range": "bytes=0-0", "If_Range": "same"}, 206), ({"Range": "bytes=0-0", "If_Range": "weak"}, 200),
        ({"Range": "bytes=0-0", "If_Range": "other"}, 200), ({"Range": "bytes=0-0", "If_Range": "at"}, 206),
        ({"Range": "bytes=0-0", "If_Range": "before"}, 200), ({"Range": "bytes=0-0", "If_Range": "after"}, 200),
        ({"Range": "bytes=9999-", "If_Range": "other"}, 200),
    ],
)  # fmt: skip
@pytest.mark.req("9110-11", "9110-12", "9110-13", "9110-17")
def test_conditions(site: World, conditions: dict[str, str], status: int) -> None:
    values = tags(site)
    answer = site.get("/file.txt", **{name: values.get(value, value) for name, value in conditions.items()})
    assert answer.status == status
    if status == 304:
        assert answer.body == b"" and answer.headers["ETag"] == values["same"]
        assert answer.headers["Date"] and answer.headers["Cache-Control"] == "no-cache"
        assert site.get("/file.txt").headers["Cache-Control"] == "no-cache"


@pytest.mark.req("9110-5")
def test_the_three_formats_of_dates(site: World) -> None:
    for text in ("Mon, 21 Sep 2026 13:56:40 GMT", "Monday, 21-Sep-26 13:56:40 GMT", "Mon Sep 21 13:56:40 2026"):
        assert site.get("/file.txt", If_Modified_Since=text).status == 304
    for text in ("Mon, 21 Sep 2026 13:56:39 GMT", "Monday, 21-Sep-26 13:56:39 GMT", "Mon Sep 21 13:56:39 2026"):
        assert site.get("/file.txt", If_Modified_Since=text).status == 200


def test_a_file_that_changes_has_another_tag(site: World, root: Path) -> None:
    before = site.get("/file.txt").headers["ETag"]
    (root / "other").write_bytes(CONTENT)
    os.utime(root / "other", (MODIFIED, MODIFIED))
    os.rename(root / "other", root / "file.txt")
    assert site.get("/file.txt").headers["ETag"] != before


# Ranges


def naive_ranges(field: str, size: int) -> list[bytes] | None:
    """RFC 9110 14.1.2 by enumerating octets; None: the whole, []: 416."""
    found = []
    for spec in field.removeprefix("bytes=").split(","):
        first, last = spec.strip().split("-")
        if first and last and int(last) < int(first):
            return None
        octets = range(size)
        if first:
            chosen = [at for at in octets if at >= int(first) and (not last or at <= int(last))]
        elif not size and int(last):
            return None
        else:
            chosen = list(octets)[-int(last) :] if int(last) else []
        if chosen:
            found.append(bytes(CONTENT[at] for at in chosen))
    return found


specs = st.one_of(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.integers(0, 40).map(lambda first: f"{first}-"),
    st.integers(0, 40).map(lambda last: f"-{last}"),
)


@given(st.lists(specs, min_size=1, max_size=4), st.integers(0, 30))
def test_ranges_against_a_naive_model(wanted: list[str], size: int) -> None:
    field = "bytes=" + ", ".join(wanted)
    expected = naive_ranges(field, size)
    if expected is not None and len(expected) > 1 and sum(map(len, expected)) > size:
        expected = None
    found = parse_ranges(field, size)
    assert (found if found is None else [CONTENT[first : last + 1] for first, last in found]) == expected


@given(st.text(max_size=30) | st.text("bytes=-,0123456789 ", max_size=40).map("bytes={}".format), st.integers(0, 2000))
def test_any_field_gives_ranges_that_exist(field: str, size: int) -> None:
    for first, last in parse_ranges(field, size) or []:
        assert 0 <= first <= last < size


@pytest.mark.req("9110-15")
@pytest.mark.parametrize(
    ("field", "first", "last"),
    [("0-99", 0, 99), ("-5", 1019, 1023), ("5-", 5, 1023), ("1000-99999", 1000, 1023), ("-9999", 0, 1023),
     ("7-" + "9" * 100, 7, 1023), ("0" * 100 + "7-9", 7, 9)],
)  # fmt: skip
def test_one_range(site: World, field: str, first: int, last: int) -> None:
    answer = site.get("/file.txt", Range=f"bytes={field}")
    assert answer.status == 206 and answer.body == CONTENT[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/1024"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.req("9110-14")
@pytest.mark.parametrize("field", ["lines=1-2", "bytes", "bytes=", "bytes=-", "bytes=1", "bytes=2-1", "bytes=a-b",
                                   "bytes=0-0,x", "bytes=1--2", "bytes=+1-2", "bytes=\u0661-"])  # fmt: skip
def test_a_field_that_is_ignored(field: str) -> None:
    assert parse_ranges(field, 1024) is None


@pytest.mark.req("9110-14")
def test_only_get_has_ranges(site: World) -> None:
    answer = site.get("/file.txt", "HEAD", Range="bytes=0-0")
    assert answer.status == 200 and answer.headers["Content-Length"] == "1024"
    assert site.get("/file.txt", Range="lines=0-0").status == 200


@pytest.mark.req("9110-16")
@pytest.mark.parametrize("field", ["1024-", "9" * 30 + "-", "-0", "2000-3000, 5000-"])
def test_no_such_range(site: World, field: str) -> None:
    answer = site.get("/file.txt", Range=f"bytes={field}")
    assert answer.status == 416 and answer.headers["Content-Range"] == "bytes */1024"


def parts_of(answer: Answer) -> list[tuple[str, bytes]]:
    kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    found = []
    pieces = answer.body.split(f"\r\n--{boundary}".encode())
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    for piece in pieces[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[:2] == ["", "Content-Type: text/plain; charset=utf-8"]
        found.append((lines[2].removeprefix("Content-Range: "), content))
    return found


def test_several_ranges(site: World) -> None:
    answer = site.get("/file.txt", Range="bytes=500-599, ,0-0,-1,4000-")
    assert answer.status == 206 and "Content-Range" not in answer.headers
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert parts_of(answer) == [
        ("bytes 500-599/1024", CONTENT[500:600]),
        ("bytes 0-0/1024", CONTENT[:1]),
        ("bytes 1023-1023/1024", CONTENT[-1:]),
    ]


@pytest.mark.parametrize("field", ["0-,0-", "0-1023,5-5", ",".join(["0-0"] * (MAX_RANGES + 1))])
def test_ranges_that_ask_for_more_than_there_is(site: World, field: str) -> None:
    answer = site.get("/file.txt", Range=f"bytes={field}")
    assert answer.status == 200 and answer.body == CONTENT


# Large files, and those that change


@pytest.fixture
def large(root: Path) -> bytes:
    content = os.urandom(1000) * 3000
    (root / "large").write_bytes(content)
    return content


def test_a_large_file_and_its_ranges(site: World, large: bytes) -> None:
    before = descriptors()
    client = site.connect().send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    client.send(b"GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes=100-,0-9\r\nConnection: close\r\n\r\n")
    site.run(10 * SECOND)
    whole, part = client.answers()
    assert whole.body == large
    assert part.status == 206 and large[100:] in part.body
    assert descriptors() == before


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_no_descriptor_is_left(site: World, large: bytes, method: str) -> None:
    before = descriptors()
    etag = site.get("/large", "HEAD").headers["ETag"]
    site.get("/large", method, If_None_Match=etag)
    site.get("/large", method, If_Match='"x"')
    site.get("/large", method, Range="bytes=99999999-")
    site.get("/sub/", method)
    site.get("/with%20index/", method)
    assert descriptors() == before


def test_no_descriptor_is_left_by_a_client_that_goes(site: World, large: bytes) -> None:
    before = descriptors()
    client = site.connect()
    client.reads = False
    client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    site.run(SECOND)
    assert descriptors() == before + 1
    site.client.abort(client.connection, site.now)
    site.run(10 * MILLISECOND)
    assert descriptors() == before and site.open_connections() == 0


def test_a_file_that_shrinks_ends_the_connection(site: World, root: Path, large: bytes) -> None:
    before = descriptors()
    client = site.connect()
    client.reads = False
    client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    site.run(SECOND)
    os.truncate(root / "large", 100)
    for _ in range(100):
        client.take()
        site.run(100 * MILLISECOND)
    assert client.is_reset and len(client.received) < len(large)
    assert descriptors() == before
    assert site.get("/large").body == large[:100]


def test_a_file_that_grows_is_sent_as_long_as_it_was(site: World, root: Path, large: bytes) -> None:
    client = site.connect()
    client.reads = False
    client.send(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    with (root / "large").open("ab") as stream:
        stream.write(b"more")
    for _ in range(100):
        client.take()
        site.run(100 * MILLISECOND)
    assert client.answer().body == large and client.is_ended
