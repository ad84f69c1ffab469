"""HTTP on our stack, with the Linux kernel's TCP and curl as the peer."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.kernel.conftest import ADDRESS, URL, Namespace, Serve, Server, need, wait_for

pytestmark = pytest.mark.kernel

MEGABYTE = 1_000_000


@pytest.fixture
def site(tmp_path: Path) -> Path:
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "index.html").write_text("<!doctype html><title>It works</title>\n")
    (directory / "1MB").write_bytes(os.urandom(MEGABYTE))
    return directory


@pytest.fixture
def server(serve_in_each_mode: Serve, site: Path) -> Server:
    return serve_in_each_mode(str(site))


def curl(
    namespace: Namespace, *arguments: str, check: bool = True, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = namespace.run(
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        str(int(timeout)),
        *arguments,
        check=check,
        timeout=timeout + 5,
    )
    return done


def status_of(namespace: Namespace, *arguments: str) -> str:
    return curl(namespace, "--output", "/dev/null", "--write-out", "%{http_code}", *arguments).stdout


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def test_a_page(namespace: Namespace, server: Server, site: Path) -> None:
    answer = curl(namespace, "--include", URL).stdout
    head, _, body = answer.partition("\n\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "content-type: text/html" in head.lower()
    assert body == (site / "index.html").read_text()


def test_the_page_about_the_stack_itself(namespace: Namespace, serve_in_each_mode: Serve) -> None:
    serve_in_each_mode()
    assert status_of(namespace, URL) == "200"
    assert status_of(namespace, f"{URL}journey.json") == "200"


def test_a_large_file_arrives_as_it_is(namespace: Namespace, server: Server, site: Path, tmp_path: Path) -> None:
    large = site / "large"
    with large.open("wb") as stream:
        for _ in range(100):
            stream.write(os.urandom(MEGABYTE))
    received = tmp_path / "received"
    curl(namespace, "--output", str(received), f"{URL}large", timeout=120)
    assert received.stat().st_size == 100 * MEGABYTE
    assert sha256_of(received) == sha256_of(large)


def test_two_hundred_downloads_at_once(namespace: Namespace, server: Server, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = curl(
        namespace,
        "--parallel",
        "--parallel-immediate",
        "--parallel-max",
        "200",
        "--fail",
        "--output",
        f"{out}/#1",
        f"{URL}1MB?[1-200]",
        timeout=120,
    )
    assert done.returncode == 0
    expected = sha256_of(site / "1MB")
    digests = [sha256_of(file) for file in out.iterdir()]
    assert len(digests) == 200 and set(digests) == {expected}
    assert server.statistics()["TcpPassiveOpens"] >= 200


def test_ranges_and_conditions(namespace: Namespace, server: Server, site: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    arguments = ("--range", "1000-1999", "--output", str(part), "--write-out", "%{http_code}")
    assert curl(namespace, *arguments, f"{URL}1MB").stdout == "206"
    assert part.read_bytes() == (site / "1MB").read_bytes()[1000:2000]
    assert status_of(namespace, "--range", "5000000-", f"{URL}1MB") == "416"
    head = curl(namespace, "--head", f"{URL}1MB").stdout
    tag = re.search(r"(?im)^etag: (.+?)\r?$", head)
    assert tag, head
    assert status_of(namespace, "--header", f"If-None-Match: {tag[1]}", f"{URL}1MB") == "304"
    modified = re.search(r"(?im)^last-modified: (.+?)\r?$", head)
    assert modified, head
    assert status_of(namespace, "--header", f"If-Modified-Since: {modified[1]}", f"{URL}1MB") == "304"


def test_refusals(namespace: Namespace, server: Server) -> None:
    assert status_of(namespace, f"{URL}nothing-here") == "404"
    assert status_of(namespace, "--path-as-is", f"{URL}../../etc/passwd") in ("400", "403", "404")
    assert status_of(namespace, "--request", "DELETE", f"{URL}index.html") == "405"
    assert status_of(namespace, "--header", f"Content-Length: {1 << 40}", "--request", "POST", URL) == "413"


def test_two_requests_on_one_connection(namespace: Namespace, server: Server) -> None:
    arguments = ("--output", "/dev/null", "--output", "/dev/null", "--write-out", "%{num_connects} ")
    assert curl(namespace, *arguments, URL, f"{URL}1MB").stdout == "1 0 "


def test_http_1_0_closes(namespace: Namespace, server: Server) -> None:
    answer = curl(namespace, "--http1.0", "--include", URL).stdout
    assert answer.startswith("HTTP/1.") and " 200 " in answer.splitlines()[0]
    arguments = ("--http1.0", "--output", "/dev/null", "--output", "/dev/null", "--write-out", "%{num_connects} ")
    assert curl(namespace, *arguments, URL, URL).stdout == "1 1 "


def test_a_client_killed_in_mid_download_leaves_no_connection(
    namespace: Namespace, server: Server, site: Path, tmp_path: Path
) -> None:
    with (site / "large").open("wb") as stream:
        stream.truncate(1000 * MEGABYTE)
    received = tmp_path / "received"
    client = namespace.start("curl", "--silent", "--limit-rate", "1M", "--output", str(received), f"{URL}large")
    wait_for(lambda: received.exists() and received.stat().st_size > 100_000, "the download to begin")
    assert server.connections() == 1
    client.kill()
    wait_for(lambda: server.connections() == 0, "the connection to be gone")
    assert status_of(namespace, URL) == "200"


def test_half_closed_connections_are_answered(namespace: Namespace, server: Server) -> None:
    """ncat sends its FIN with the end of its input, before it has the answer (RFC 9293 3.6: half-open is legal)."""
    need("ncat")
    request = f"GET / HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n"
    answer = namespace.run("ncat", ADDRESS, "80", input=request, timeout=10).stdout
    assert answer.startswith("HTTP/1.1 200 OK") and answer.endswith("It works</title>\n")


def test_a_closed_port_refuses_at_once(namespace: Namespace, server: Server) -> None:
    need("ncat")
    refused = namespace.run("ncat", "--wait", "5", ADDRESS, "81", input="", check=False, timeout=10)
    assert refused.returncode != 0 and "refused" in refused.stderr.lower()


def test_what_the_kernel_has_negotiated(namespace: Namespace, server: Server, site: Path, tmp_path: Path) -> None:
    """ss shows the peer's view: window scaling and time stamps (RFC 7323), and the MSS of a 1500-octet MTU."""
    received = tmp_path / "received"
    with (site / "large").open("wb") as stream:
        stream.truncate(100 * MEGABYTE)
    namespace.start("curl", "--silent", "--limit-rate", "1M", "--output", str(received), f"{URL}large")
    wait_for(lambda: received.exists() and received.stat().st_size > 100_000, "the download to begin")
    sockets = namespace.run("ss", "-tinoe", "state", "established").stdout
    assert re.search(r"\bts\b", sockets), sockets
    scale = re.search(r"wscale:(\d+),(\d+)", sockets)
    assert scale and int(scale[1]) > 0 and int(scale[2]) > 0, sockets
    assert "advmss:1448" in sockets, sockets
