"""A script's text as tokens, and the reader that the parser takes them from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

from stack.clock import SECOND, Duration
from stack.pkt.syntax import ScriptError

_TOKEN: Final = re.compile(
    r"""
    (?P<space>    [ \t\r\n]+ | //[^\n]* | /\*.*?\*/ )
  | (?P<option>   --\w+ (?: =\S* )? )
  | (?P<code>     %\{.*?\}% )
  | (?P<shell>    `[^`]*` )
  | (?P<string>   "[^"\n]*" )
  | (?P<ellipsis> \.\.\. )
  | (?P<hex>      0x[0-9a-fA-F]+ )
  | (?P<decimal>  \d*\.\d+ )
  | (?P<integer>  \d+ )
  | (?P<word>     [A-Za-z_]\w* )
  | (?P<symbol>   [-+*~:,.<>()\[\]{}=|] )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)

_MANY_DIGITS: Final = 40  # more than any number needs, and fewer than Python refuses to read


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the script: `kind` is a group of the pattern above or "end"; `start` and `end` are offsets."""

    kind: str
    text: str
    line: int
    start: int
    end: int

    def __str__(self) -> str:
        if self.kind == "end":
            return "the end of the script"
        return repr(self.text if len(self.text) <= 40 else f"{self.text[:40]}...")


def tokens(text: str, name: str) -> Iterator[Token]:
    """The tokens of `text`, without spaces and comments. Raises ScriptError."""
    at, line, last = 0, 1, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ScriptError(f"{name}:{line}: expected an event or a comment, found {text[at]!r}")
        kind, found = str(match.lastgroup), match[0]
        if kind != "space":
            yield Token(kind, found, line, at, match.end())
            last = line + found.count("\n")
        line += found.count("\n")
        at = match.end()
    yield Token("end", "", last, at, at)


class Reader:
    """Takes the tokens one by one; what does not fit is said with the line and with what was expected there."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._text = text
        self._tokens = list(tokens(text, name))
        self._at = 0

    @property
    def token(self) -> Token:
        """The next one."""
        return self._tokens[self._at]

    @property
    def follower(self) -> Token:
        """The one behind the next."""
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def fail(self, expected: str, token: Token | None = None) -> NoReturn:
        """Raise ScriptError: the next token, or `token`, is not what was `expected`."""
        token = token or self.token
        raise ScriptError(f"{self.name}:{token.line}: expected {expected}, found {token}")

    def next(self) -> Token:
        """Take whatever comes."""
        token = self.token
        if token.kind != "end":
            self._at += 1
        return token

    def at(self, *texts: str) -> bool:
        """Whether one of these words or symbols comes next."""
        return self.token.text in texts

    def accept(self, text: str) -> bool:
        """Take the word or symbol `text` if it comes next."""
        if self.token.text != text:
            return False
        self._at += 1
        return True

    def expect(self, text: str) -> Token:
        """Take the word or symbol `text`."""
        if self.token.text != text:
            self.fail(repr(text))
        return self.next()

    def take(self, kind: str, expected: str) -> Token:
        """Take a token of `kind`."""
        if self.token.kind != kind:
            self.fail(expected)
        return self.next()

    def integer(self, expected: str, highest: int = 0xFFFF_FFFF) -> int:
        """Take a decimal or hexadecimal number of at most `highest`."""
        token = self.token
        if token.kind not in ("integer", "hex"):
            self.fail(expected)
        base = 16 if token.kind == "hex" else 10
        if len(token.text) > _MANY_DIGITS or (number := int(token.text, base)) > highest:
            self.fail(f"{expected} (at most {highest})")
        self.next()
        return number

    def time(self) -> Duration:
        """Take a number of seconds."""
        if self.token.kind not in ("integer", "decimal"):
            self.fail("a time in seconds")
        if len(self.token.text) > _MANY_DIGITS:
            self.fail("a time in seconds that has fewer digits")
        return int(Decimal(self.next().text) * SECOND)

    def text_since(self, token: Token) -> str:
        """What stands in the script from `token` to the token taken last, on one line."""
        return " ".join(self._text[token.start : self._tokens[self._at - 1].end].split())
