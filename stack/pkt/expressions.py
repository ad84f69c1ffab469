"""The grammar of system calls, and the names of constants in them.

call       = ["..." seconds] name "(" [value {"," value}] ")" "=" value [errno] ["(" note ")"]
value      = primary {"|" primary}
primary    = "..." | number | string ["..."] | constant | "htons" "(" n ")" | "inet_addr" "(" string ")"
           | "[" values "]" | "{" values or name "=" value pairs "}"
"""

import errno
import fcntl
import os
import select
import socket
from typing import Final

from stack.addresses import ipv4
from stack.errors import ConfigurationError
from stack.pkt.lexer import Reader
from stack.pkt.syntax import Call, Value

ARGUMENTS: Final = {
    "socket": (3,), "bind": (3,), "listen": (2,), "accept": (3,), "connect": (3,), "read": (3,), "write": (3,),
    "readv": (3,), "writev": (3,), "recv": (4,), "send": (4,), "recvfrom": (6,), "sendto": (6,), "recvmsg": (3,),
    "sendmsg": (3,), "shutdown": (2,), "close": (1,), "fcntl": (2, 3), "poll": (3,), "getsockopt": (5,),
    "setsockopt": (5,),
}  # fmt: skip
"""The calls that there are, and how many arguments each may have."""

_CONSTANTS: Final = (socket, select, fcntl, os, errno)  # the modules that know them


def parse_call(reader: Reader) -> Call:
    """A call and what is to come of it. Raises ScriptError."""
    ends = None
    if reader.token.kind == "ellipsis":
        reader.next()
        ends = reader.time()
    token = reader.take("word", "a packet ('<', '>'), a call or %{ an assertion }%")
    if token.text not in ARGUMENTS:
        reader.fail(f"a call ({', '.join(ARGUMENTS)})", token)
    arguments = tuple(_values(reader, "(", ")"))
    if len(arguments) not in ARGUMENTS[token.text]:
        reader.fail(f"{' or '.join(map(str, ARGUMENTS[token.text]))} arguments of {token.text}()", token)
    text = reader.text_since(token)
    reader.expect("=")
    result = _value(reader)
    error = _error(reader) if result == -1 and reader.token.kind == "word" else None
    if reader.accept("("):
        while not reader.accept(")"):
            if reader.token.kind == "end":
                reader.fail("')' behind a note")
            reader.next()
    return Call(token.text, arguments, result, error, ends, text)


def _error(reader: Reader) -> str:
    token = reader.take("word", "the name of the error behind -1")
    if not token.text.startswith("E") or not hasattr(errno, token.text):
        reader.fail("the name of an error (EAGAIN, ECONNRESET, ...)", token)
    return token.text


def _values(reader: Reader, opening: str, closing: str) -> list[Value]:
    reader.expect(opening)
    values: list[Value] = []
    while not reader.accept(closing):
        if values:
            reader.expect(",")
        values.append(_value(reader))
    return values


def _value(reader: Reader) -> Value:
    value = _primary(reader)
    while reader.accept("|"):
        other = _primary(reader)
        if not isinstance(value, int) or not isinstance(other, int):
            reader.fail("'|' between numbers only")
        value |= other
    return value


def _primary(reader: Reader) -> Value:
    token = reader.token
    if token.kind == "ellipsis":
        reader.next()
        return ...
    if token.kind == "string":
        reader.next()
        if reader.token.kind == "ellipsis":
            reader.next()
        try:
            return token.text[1:-1].encode().decode("unicode_escape").encode("latin-1")
        except UnicodeError:
            reader.fail("a string of octets, with escapes such as \\n and \\x0a", token)
    if reader.accept("-"):
        return -reader.integer("a number")
    if token.kind in ("integer", "hex"):
        return reader.integer("a number", (1 << 63) - 1)
    if token.text == "[":
        return _values(reader, "[", "]")
    if token.text == "{":
        return _structure(reader)
    return _word(reader)


def _word(reader: Reader) -> Value:
    token = reader.take("word", "an argument (a number, a constant, a string, '...')")
    if token.text == "htons":
        reader.expect("(")
        number = reader.integer("a port", 0xFFFF)
        reader.expect(")")
        return number
    if token.text == "inet_addr":
        reader.expect("(")
        address = reader.take("string", "an address in quotes")
        reader.expect(")")
        try:
            return ipv4(address.text[1:-1])
        except ConfigurationError:
            reader.fail("an IPv4 address", address)
    for module in _CONSTANTS:
        value = getattr(module, token.text, None)
        if isinstance(value, int) and token.text.isupper():
            return int(value)
    reader.fail("a constant of the system calls that is known here", token)


def _structure(reader: Reader) -> Value:
    """`{fd=3, events=POLLIN}` as a dict; `{..., 1000}` as a list."""
    if reader.follower.kind != "word":
        return _values(reader, "{", "}")
    reader.expect("{")
    fields: dict[str, Value] = {}
    while not fields or not reader.accept("}"):
        if fields:
            reader.expect(",")
        name = reader.take("word", "the name of a field").text
        count = None
        if reader.accept("("):  # msg_name(...), msg_iov(2)
            count = _value(reader)
            reader.expect(")")
        reader.expect("=")
        fields[name] = value = _value(reader)
        if isinstance(count, int) and isinstance(value, list) and count != len(value):
            reader.fail(f"{count} elements of {name}")
    return fields
