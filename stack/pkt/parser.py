"""The grammar: a script's events, one function per kind; packets here, calls in expressions.py.

event  = time, ( packet | call | assertion )
time   = ["+"] seconds | "*" | ["+"] seconds "~" ["+"] seconds
packet = ( "<" | ">" ) ["[" IP fields "]"], ( TCP | "udp" ... | "icmp" ... )
TCP    = [port ">" port] flags first ":" end "(" length ")" ["ack" n] ["win" n] ["urg" n] ["<" options ">"]
"""

import ast
import re
from typing import Final

from stack.pkt.expressions import parse_call
from stack.pkt.lexer import Reader, Token
from stack.pkt.syntax import (
    ECN,
    FLAGS,
    ICMP_CODES,
    ICMP_TYPES,
    OPTIONS,
    Assertion,
    Event,
    IcmpPacket,
    IpFields,
    Option,
    Packet,
    Script,
    TcpPacket,
    UdpPacket,
    When,
)
from stack.wire import icmp, tcp, tcp_options, udp

_SYSCTL: Final = re.compile(r"""sysctl\s+-q\s+(?:-w\s+)?([\w.]+)=("[^"]*"|\S+)\Z""")
_LONGEST: Final = 0xFFFF  # what arrives in one batch: several segments, where the MTU is smaller
_OPTION_NUMBERS: Final = {"mss": 0xFFFF, "wscale": 0xFF}  # those with one number: how large it may be
_LENGTHS: Final = {tcp_options.END: 1, tcp_options.NOP: 1, tcp_options.MSS: 4, tcp_options.WINDOW_SCALE: 3}
_IN_ASSERTIONS: Final = (
    ast.Module, ast.Assert, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Name, ast.Constant,
    ast.Tuple, ast.boolop, ast.operator, ast.unaryop, ast.cmpop, ast.expr_context,
)  # fmt: skip


def parse(text: str, name: str) -> Script:
    """The script `text`, called `name` in errors. Raises ScriptError."""
    reader = Reader(text, name)
    script = Script(name)
    while reader.token.kind == "option":
        token = reader.next()
        option, _, value = token.text[2:].partition("=")
        script.options.append((token.line, option, value))
    while reader.token.kind == "shell":
        script.sysctls.extend(_sysctls(reader, reader.next()))
    try:
        while reader.token.kind != "end":
            script.events.append(_event(reader))
    except RecursionError:
        reader.fail("brackets that are not nested so deeply")
    return script


def _sysctls(reader: Reader, token: Token) -> list[tuple[int, str, str]]:
    settings = []
    for number, line in enumerate(token.text.strip("`").split("\n")):
        command = line.partition("#")[0].strip()
        match = _SYSCTL.match(command)
        if match is not None:
            settings.append((token.line + number, match[1], match[2].strip('"')))
        elif command:
            found = Token("shell", command, token.line + number, token.start, token.end)
            reader.fail("`sysctl -q NAME=VALUE`, since no other command is run", found)
    return settings


def _event(reader: Reader) -> Event:
    line = reader.token.line
    when = _when(reader)
    if reader.at("<", ">"):
        packet = _packet(reader)
        if packet.inbound and when.earliest != when.latest:
            reader.fail("one point in time for a packet that arrives")
        return Event(line, when, packet)
    if reader.token.kind == "shell":
        reader.fail("an event: `sysctl` stands before the first one")
    if when.earliest != when.latest:
        reader.fail("'>', since only what the stack sends may have a range of times or '*'")
    if reader.token.kind == "code":
        return Event(line, when, _assertion(reader))
    return Event(line, when, parse_call(reader))


def _when(reader: Reader) -> When:
    if reader.accept("*"):
        return When(0, None, is_relative=True)
    is_relative = reader.accept("+")
    if not is_relative and reader.token.kind not in ("integer", "decimal"):
        reader.fail("the time of an event (0.1, +0.1, *, +0.1~+0.2)")
    earliest = latest = reader.time()
    if reader.accept("~"):
        reader.accept("+")
        latest = reader.time()
        if latest < earliest:
            reader.fail("a range of times that does not end before it begins")
    return When(earliest, latest, is_relative)


# Packets


def _packet(reader: Reader) -> Packet:
    inbound = reader.next().text == "<"
    ip = _ip_fields(reader)
    if reader.accept("icmp"):
        return _icmp(reader, inbound, ip)
    if reader.accept("udp"):
        ports = _ports(reader)
        reader.expect("(")
        length = reader.integer("the length of the datagram's data", udp.MAXIMUM_PAYLOAD)
        reader.expect(")")
        return UdpPacket(inbound, length, ip, ports)
    return _tcp(reader, inbound, ip)


def _ip_fields(reader: Reader) -> IpFields:
    if not reader.at("[", "("):
        return IpFields()
    closing = "]" if reader.next().text == "[" else ")"
    ecn = tos = ttl = None
    while True:
        token = reader.take("word", "noecn, ect0, ect1, ce, tos or ttl")
        if token.text in ECN:
            ecn = ECN[token.text]
        elif token.text == "tos":
            tos = reader.integer("a type of service", 0xFF)
        elif token.text == "ttl":
            ttl = reader.integer("a time to live", 0xFF)
        else:
            reader.fail("noecn, ect0, ect1, ce, tos or ttl", token)
        if not reader.accept(","):
            break
    reader.expect(closing)
    return IpFields(ecn, tos, ttl)


def _ports(reader: Reader) -> tuple[int, int] | None:
    if reader.token.kind != "integer":
        return None
    source = reader.integer("a source port", 0xFFFF)
    reader.expect(">")
    return source, reader.integer("a destination port", 0xFFFF)


def _tcp(reader: Reader, inbound: bool, ip: IpFields) -> TcpPacket:
    ports = _ports(reader)
    flags = _flags(reader)
    start, length = _octets(reader, _LONGEST if inbound else 0xFFFF_FFFF)
    if reader.at("ack") != bool(flags & tcp.ACK):
        reader.fail("'ack' and a number, which belong to the flag '.'" if flags & tcp.ACK else "no 'ack' without '.'")
    ack = reader.integer("an acknowledgment number") if reader.accept("ack") else 0
    window = reader.integer("a window", 0xFFFF) if reader.accept("win") else None
    if inbound and window is None:
        reader.fail("'win' and a number, as in every packet that arrives")
    urgent = reader.integer("an urgent pointer", 0xFFFF) if reader.accept("urg") else None
    options = _options(reader)
    if inbound and options is None:
        reader.fail("the options of a packet that arrives, or none")
    return TcpPacket(inbound, flags, start, length, ack, window, urgent, options, ip, ports)


def _flags(reader: Reader) -> int:
    expected = "the flags of a TCP segment (S, F., P., ...)"
    if reader.accept("-"):
        return 0
    flags = 0
    token = reader.token
    if token.kind == "word":
        for letter in token.text:
            if letter not in FLAGS or flags & FLAGS[letter]:
                reader.fail(expected)
            flags |= FLAGS[letter]
        reader.next()
    if reader.accept("."):
        flags |= tcp.ACK
    if not flags:
        reader.fail(expected)
    return flags


def _octets(reader: Reader, longest: int = 0xFFFF_FFFF) -> tuple[int, int]:
    """`first:end(length)`: first and length."""
    token = reader.token
    start = reader.integer("a sequence number")
    reader.expect(":")
    end = reader.integer("the sequence number behind the last octet")
    reader.expect("(")
    length = reader.integer("the number of octets", longest)
    reader.expect(")")
    if (end - start) & 0xFFFF_FFFF != length:
        reader.fail(f"{start}:{start + length}({length}) or another length", token)
    return start, length


def _options(reader: Reader) -> tuple[Option, ...] | None:
    token = reader.token
    if not reader.accept("<"):
        return ()
    if reader.token.kind == "ellipsis":
        reader.next()
        reader.expect(">")
        return None
    options = [_option(reader)]
    while reader.accept(","):
        options.append(_option(reader))
    if sum(_LENGTHS.get(each.kind, 2 + 4 * len(each.numbers)) for each in options) % 4:
        reader.fail("options of whole words, padded with 'nop' or 'eol'", token)
    reader.expect(">")
    return tuple(options)


def _option(reader: Reader) -> Option:
    token = reader.take("word", f"a TCP option ({', '.join(OPTIONS)})")
    kind = OPTIONS.get(token.text)
    if kind is None:
        reader.fail(f"a TCP option ({', '.join(OPTIONS)})", token)
    if token.text in _OPTION_NUMBERS:
        return Option(kind, (reader.integer(f"the value of {token.text}", _OPTION_NUMBERS[token.text]),))
    if token.text == "TS":
        reader.expect("val")
        value = reader.integer("a time stamp")
        reader.expect("ecr")
        return Option(kind, (value, reader.integer("the time stamp that is echoed")))
    edges: list[int] = []
    while token.text == "sack" and reader.token.kind == "integer":
        edges.append(reader.integer("a left edge"))
        reader.expect(":")
        edges.append(reader.integer("a right edge"))
    return Option(kind, tuple(edges))


def _icmp(reader: Reader, inbound: bool, ip: IpFields) -> IcmpPacket:
    token = reader.take("word", f"a type of ICMP message ({', '.join(ICMP_TYPES)})")
    kind = ICMP_TYPES.get(token.text)
    if kind is None:
        reader.fail(f"a type of ICMP message ({', '.join(ICMP_TYPES)})", token)
    codes = ICMP_CODES.get(kind, ())
    code = codes.index(reader.next().text) if reader.token.text in codes else 0
    mtu = reader.integer("an MTU", 0xFFFF) if reader.accept("mtu") else None
    identifier = reader.integer("an identifier", 0xFFFF) if reader.accept("id") else None
    quoted = None
    if inbound and kind in icmp.ERROR_TYPES and reader.accept("["):
        quoted = _octets(reader)
        reader.expect("]")
    if reader.token.kind == "word":
        reader.fail(f"one of {', '.join(codes)}" if codes else "the end of the ICMP message")
    return IcmpPacket(inbound, kind, code, mtu, identifier, quoted, ip)


# Assertions


def _assertion(reader: Reader) -> Assertion:
    token = reader.next()
    lines = token.text[2:-2].replace("\\\n", " ").splitlines()
    source = "\n".join(line.strip() for line in lines)
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        reader.fail(f"assertions in Python ({error.msg})", token)
    statements = []
    for statement in tree.body:
        if not isinstance(statement, ast.Assert):
            reader.fail("`assert` statements and nothing else", token)
        statements.append((statement, ast.unparse(statement)))
    strange = next((node for node in ast.walk(tree) if not isinstance(node, _IN_ASSERTIONS)), None)
    if strange is not None:
        reader.fail(f"assertions about names and numbers, without {type(strange).__name__}", token)
    return Assertion(tuple(statements))
