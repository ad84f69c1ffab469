"""The small pages that the server makes itself: errors and listings of directories."""

from html import escape
from string import Template
from typing import Final

from stack.application.http.messages import REASONS, Refusal, Response

_PAGE: Final = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1c2330; --soft: #667085; --line: #e3e6eb; --page: #fbfbfa; --link: #1f5fbf }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --soft: #98a1b0; --line: #2b313b; --page: #14171c; --link: #8ab4f8 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 54rem; padding: clamp(1.5rem, 6vw, 4rem) 1.25rem; background: var(--page);
  color: var(--ink); font: 16px/1.6 system-ui, sans-serif }
h1 { margin: 0 0 1.25rem; font-size: 1.5rem; line-height: 1.25; font-weight: 650; overflow-wrap: anywhere }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
p { max-width: 40rem }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
th { color: var(--soft); font-weight: 500; font-size: .85rem; text-align: left }
td, th { padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line) }
td:first-child { overflow-wrap: anywhere }
td + td, th + th { white-space: nowrap; text-align: right; color: var(--soft); padding-right: 0; padding-left: .75rem }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem }
@media (max-width: 34rem) { .when { display: none } }
</style>
<h1>$heading</h1>
$content
<footer>tapstack: TCP/IP in user space</footer>
""")


def page(title: str, content: str) -> bytes:
    """A whole page; `title` is text, `content` is HTML."""
    text = escape(title)
    # A name that is not UTF-8 has surrogate escapes in it, which have no encoding.
    return _PAGE.substitute(title=text, heading=text, content=content).encode("utf-8", "replace")


HTML: Final = ("Content-Type", "text/html; charset=utf-8")


def error_response(refusal: Refusal) -> Response:
    """What a client is told."""
    title = f"{refusal.status} {REASONS[refusal.status]}"
    return Response(refusal.status, (HTML, *refusal.headers), page(title, f"<p>{escape(refusal.why)}"))
