"""Routing, as little of it as the built-in site needs."""

from typing import Final

from stack.application.http.messages import Handler, Refusal, Request, Response

_ALLOW: Final = ("Allow", "GET, HEAD, OPTIONS")
_OPTIONS: Final = Response(204, [_ALLOW])


def read_only(handler: Handler) -> Handler:
    """`handler` for GET and HEAD; OPTIONS is answered, also of "*", and other methods are refused."""

    def answer(request: Request) -> Response:
        if request.method == "GET" or request.method == "HEAD":
            return handler(request)
        if request.method == "OPTIONS":
            return _OPTIONS
        raise Refusal(405, f"{request.method} is not allowed here: this site can only be read.", [_ALLOW])

    return answer
