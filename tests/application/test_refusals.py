"""What no two readers could understand differently: requests that are refused, and some strange ones that are not.

Each is put to the server whole and octet by octet, with either reader of heads, and is answered alike.
"""

import pytest

from stack.clock import MILLISECOND
from tests.application.conftest import World, echo

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def get(fields: bytes = b"", line: bytes = b"GET / HTTP/1.1") -> bytes:
    return line + b"\r\nHost: x\r\n" + fields + b"\r\n"


REFUSED = {
    # The request line
    "a tab behind the method": (400, get(line=b"GET\t/ HTTP/1.1")),
    "two spaces": (400, get(line=b"GET  / HTTP/1.1")),
    "a space at the end of the line": (400, get(line=b"GET / HTTP/1.1 ")),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "no version": (400, get(line=b"GET / ")),
    "a version in lower case": (400, get(line=b"GET / http/1.1")),
    "a version of three digits": (400, get(line=b"GET / HTTP/1.10")),
    "HTTP/2.0": (505, get(line=b"GET / HTTP/2.0")),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "an unknown method": (501, get(line=b"BREW / HTTP/1.1")),
    "a method of WebDAV": (501, get(line=b"PROPFIND / HTTP/1.1")),
    "a method in lower case": (501, get(line=b"get / HTTP/1.1")),
    "no path": (400, get(line=b"GET foo HTTP/1.1")),
    "NUL in the target": (400, get(line=b"GET /\0 HTTP/1.1")),
    "not ASCII in the target": (400, get(line=b"GET /\xe4 HTTP/1.1")),
    "a fragment": (400, get(line=b"GET /a#b HTTP/1.1")),
    "an asterisk": (400, get(line=b"GET * HTTP/1.1")),
    "another scheme": (400, get(line=b"GET ftp://x/ HTTP/1.1")),
    "above the root": (400, get(line=b"GET /../x HTTP/1.1")),
    "above the root, encoded": (400, get(line=b"GET /a/%2e%2E/..%2f HTTP/1.1")),
    "an encoded NUL": (400, get(line=b"GET /a%00 HTTP/1.1")),
    "half an escape": (400, get(line=b"GET /%4 HTTP/1.1")),
    "binary garbage": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "text that is no HTTP": (400, b"hello? is anybody there?\r\n\r\n"),
    # Ends of lines
    "bare LF everywhere": (400, b"GET / HTTP/1.1\nHost: x\n\n"),
    "bare LF behind a field": (400, get(b"A: b\n")),
    "bare LF at the end": (400, b"GET / HTTP/1.1\r\nHost: x\r\n\n"),
    "bare LF in front of a hidden request": (400, get(b"A: b\n\nGET /hidden HTTP/1.1\r\n")),
    "bare CR in a value": (400, get(b"A: b\rc\r\n")),
    "CR CR LF": (400, get(b"A: b\r\r\n")),
    # Fields
    "a space before the colon": (400, get(b"A : b\r\n")),
    "no colon": (400, get(b"Abc\r\n")),
    "an empty name": (400, get(b": b\r\n")),
    "a space in a name": (400, get(b"A B: c\r\n")),
    "obs-fold": (400, get(b"A: b\r\n c\r\n")),
    "obs-fold with a tab": (400, get(b"A: b\r\n\tc\r\n")),
    "white space before the first field": (400, b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    "NUL in a value": (400, get(b"A: b\0c\r\n")),
    "a control character in a value": (400, get(b"A: b\x01c\r\n")),
    "DEL in a value": (400, get(b"A: b\x7fc\r\n")),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, get(b"Host: y\r\n")),
    "two Hosts alike": (400, get(b"Host: x\r\n")),
    "a Host that is none": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "a Host with a user": (400, b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    "another expectation": (417, get(b"Expect: the-unexpected\r\n")),
    # Where the body ends
    "Content-Length and Transfer-Encoding": (
        400, POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "Transfer-Encoding and Content-Length": (
        400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    "two lengths alike": (400, POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
    "a list of lengths": (400, POST + b"Content-Length: 5, 5\r\n\r\nabcde"),
    "a plus sign": (400, POST + b"Content-Length: +5\r\n\r\nabcde"),
    "a minus sign": (400, POST + b"Content-Length: -5\r\n\r\nabcde"),
    "a hexadecimal length": (400, POST + b"Content-Length: 0x5\r\n\r\nabcde"),
    "a length with a space": (400, POST + b"Content-Length: 5 5\r\n\r\nabcde"),
    "no length": (400, POST + b"Content-Length:\r\n\r\nabcde"),
    "a length with an underscore": (400, POST + b"Content-Length: 1_0\r\n\r\nabcdeabcde"),
    "a coding that is unknown": (501, POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    "nearly chunked": (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "an unknown coding below chunked": (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked not last": (400, POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "chunked twice": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunked in two fields": (
        400, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked behind a control character": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "no length in HTTP/1.0": (411, b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n"),
    "chunked in HTTP/1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    # Chunks
    "a space behind the size": (400, CHUNKED + b"5 \r\nabcde\r\n0\r\n\r\n"),
    "a space before the size": (400, CHUNKED + b" 5\r\nabcde\r\n0\r\n\r\n"),
    "a size with 0x": (400, CHUNKED + b"0x5\r\nabcde\r\n0\r\n\r\n"),
    "a size with a sign": (400, CHUNKED + b"+5\r\nabcde\r\n0\r\n\r\n"),
    "an empty size": (400, CHUNKED + b"\r\nabc"),
    "LF behind the size": (400, CHUNKED + b"5\nabcde\r\n0\r\n\r\n"),
    "LF behind the data": (400, CHUNKED + b"5\r\nabcde\n0\r\n\r\n"),
    "data longer than its size": (400, CHUNKED + b"5\r\nabcdefg\r\n0\r\n\r\n"),
    "LF in an extension": (400, CHUNKED + b"5;a\nabcde\r\n0\r\n\r\n"),
    "CR in an extension": (400, CHUNKED + b"5;a\rb\r\nabcde\r\n0\r\n\r\n"),
    "NUL in an extension": (400, CHUNKED + b"5;a\0b\r\nabcde\r\n0\r\n\r\n"),
    "an empty extension": (400, CHUNKED + b"5;\r\nabcde\r\n0\r\n\r\n"),
    "a size of 64 bits": (413, CHUNKED + b"ffffffffffffffff\r\nabc"),
    "a size that is 5 modulo 2**64": (413, CHUNKED + b"10000000000000005\r\nabcde\r\n0\r\n\r\n"),
    "a trailer without a colon": (400, CHUNKED + b"0\r\nA b\r\n\r\n"),
    "a folded trailer": (400, CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n"),
    "LF behind a trailer": (400, CHUNKED + b"0\r\nA: b\n\r\n"),
    "LF behind the last chunk": (400, CHUNKED + b"0\r\n\n"),
}  # fmt: skip

REQUIREMENTS = {
    "binary garbage": "9112-5",
    "text that is no HTTP": "9112-5",
    "white space before the first field": "9112-3",
    "bare CR in a value": "9112-4",
    "an unknown method": "9112-6",
    "no Host": "9112-8",
    "two Hosts": "9112-8",
    "a Host that is none": "9112-8",
    "a space before the colon": "9112-12",
    "obs-fold": "9112-13",
    "an unknown coding below chunked": "9112-16",
    "a coding that is unknown": "9112-16",
    "Content-Length and Transfer-Encoding": "9112-17",
    "chunked in HTTP/1.0": "9112-18",
    "chunked not last": "9112-20",
    "a minus sign": "9112-21",
    "a plus sign": "9112-21",
    "a list of lengths": "9112-21",
    "a hexadecimal length": "9112-21",
    "a size of 64 bits": "9112-24",
    "a size that is 5 modulo 2**64": "9112-24",
    "HTTP/2.0": "9112-34",
    "a version in lower case": "9112-34",
    "NUL in a value": "9110-9",
}


def cases() -> list[object]:
    found = []
    for name, (status, octets) in REFUSED.items():
        marks = [pytest.mark.req(REQUIREMENTS[name])] if name in REQUIREMENTS else []
        found.append(pytest.param(status, octets, id=name, marks=marks))
    return found


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize(("status", "octets"), cases())
def test_it_is_refused_and_the_connection_ends(world: World, status: int, octets: bytes, bytewise: bool) -> None:
    world.serve(echo)
    client = world.connect()
    client.send(octets + get(line=b"GET /hidden HTTP/1.1"), bytewise=bytewise)
    world.run(20 * MILLISECOND)
    answer = client.answer()  # one: whatever is behind it is not looked at
    assert answer.status == status, answer.body
    assert answer.headers["Connection"] == "close"
    assert client.is_ended
    assert b"hidden" not in client.received


ACCEPTED = {
    "nothing special": (get(), b"GET /  1.1 "),
    "empty lines in front": (b"\r\n\r\n" + get(), b"GET /  1.1 "),
    "no space behind the colon": (get(b"A:b\r\n"), b"GET /  1.1 "),
    "tabs around a value": (get(b"A:\t b \t\r\n"), b"GET /  1.1 "),
    "an empty value": (get(b"A:\r\n"), b"GET /  1.1 "),
    "not ASCII in a value": (get(b"A: b\xe4\xff\r\n"), b"GET /  1.1 "),
    "an empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", b"GET /  1.1 "),
    "an IPv6 Host": (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", b"GET /  1.1 "),
    "a later minor version": (get(line=b"GET / HTTP/1.7"), b"GET /  1.1 "),
    "HTTP/1.0 without a Host": (b"GET / HTTP/1.0\r\n\r\n", b"GET /  1.0 "),
    "an absolute URI": (get(line=b"GET http://y/a?b HTTP/1.1"), b"GET /a b 1.1 "),
    "an absolute URI without a path": (get(line=b"GET http://y?b HTTP/1.1"), b"GET / b 1.1 "),
    "dots and empty segments": (get(line=b"GET //a/./b/%2e%2E/c/. HTTP/1.1"), b"GET /a/c/  1.1 "),
    "escapes": (get(line=b"GET /%C3%A4%20b?%41 HTTP/1.1"), "GET /\u00e4 b %41 1.1 ".encode()),
    "all OPTIONS": (get(line=b"OPTIONS * HTTP/1.1"), b"OPTIONS *  1.1 "),
    "an upgrade nobody knows": (get(b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), b"GET /  1.1 "),
    "a body": (POST + b"Content-Length: 5\r\n\r\nabcde", b"POST /  1.1 abcde"),
    "white space around a length": (POST + b"Content-Length: \t5 \t\r\n\r\nabcde", b"POST /  1.1 abcde"),
    "an empty body": (POST + b"Content-Length: 0\r\n\r\n", b"POST /  1.1 "),
    "a length with zeros": (POST + b"Content-Length: 0005\r\n\r\nabcde", b"POST /  1.1 abcde"),
    "a body of GET": (get(b"Content-Length: 3\r\n") + b"abc", b"GET /  1.1 abc"),
    "chunks": (CHUNKED + b"5\r\nabcde\r\n2\r\nfg\r\n0\r\n\r\n", b"POST /  1.1 abcdefg"),
    "no chunk": (CHUNKED + b"0\r\n\r\n", b"POST /  1.1 "),
    "a size with zeros": (CHUNKED + b"0000000000000000000005\r\nabcde\r\n000\r\n\r\n", b"POST /  1.1 abcde"),
    "a size with letters": (CHUNKED + b"0A\r\nabcdefghij\r\n0\r\n\r\n", b"POST /  1.1 abcdefghij"),
    "extensions": (CHUNKED + b'5;x=y ; z="a;b"\r\nabcde\r\n0;last\r\n\r\n', b"POST /  1.1 abcde"),
    "trailers": (CHUNKED + b"5\r\nabcde\r\n0\r\nA: b\r\nContent-Length: 7\r\n\r\n", b"POST /  1.1 abcde"),
    "chunked in capitals": (
        POST + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", b"POST /  1.1 abcde"),
}  # fmt: skip

ACCEPTED_REQUIREMENTS = {
    "empty lines in front": ["9112-2"],
    "not ASCII in a value": ["9112-1"],
    "a later minor version": ["9110-20"],
    "an absolute URI": ["9112-9"],
    "all OPTIONS": ["9112-10"],
    "an upgrade nobody knows": ["9110-27"],
    "chunks": ["9112-14"],
    "extensions": ["9112-25"],
}


def accepted() -> list[object]:
    found = []
    for name, (octets, echoed) in ACCEPTED.items():
        marks = [pytest.mark.req(*ACCEPTED_REQUIREMENTS[name])] if name in ACCEPTED_REQUIREMENTS else []
        found.append(pytest.param(octets, echoed, id=name, marks=marks))
    return found


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize(("octets", "echoed"), accepted())
def test_it_is_taken_and_the_next_one_too(world: World, octets: bytes, echoed: bytes, bytewise: bool) -> None:
    world.serve(echo)
    client = world.connect()
    client.send(octets + get(b"Connection: close\r\n", b"GET /next HTTP/1.1"), bytewise=bytewise)
    world.run(20 * MILLISECOND)
    answers = client.answers()
    assert answers[0].status == 200 and answers[0].body == echoed
    if b"HTTP/1.0" not in octets:
        assert [answer.body for answer in answers[1:]] == [b"GET /next  1.1 "]


@pytest.mark.req("9112-9", "9110-19")
def test_the_host_of_an_absolute_uri_counts(world: World) -> None:
    hosts = []

    def handler(request):  # type: ignore[no-untyped-def]
        hosts.append(request.host)
        return echo(request)

    world.serve(handler)
    world.ask(get(line=b"GET http://other:8080/ HTTP/1.1"))
    world.ask(get())
    assert hosts == ["other:8080", "x"]
