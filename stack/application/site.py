"""The sites that the daemon serves: one that tells about the stack, and one that is a directory."""

from pathlib import Path

from stack.application.http.messages import Handler, Request, Response
from stack.application.journey import Recorder
from stack.host import Host


def built_in_site(host: Host, recorder: Recorder) -> Handler:
    """The site that is served without a directory."""

    def answer(request: Request) -> Response:
        return Response(501)

    return answer


def directory_site(directory: Path, host: Host, recorder: Recorder) -> Handler:
    """The files of `directory`. What the built-in site has is found below /.tapstack/."""

    def answer(request: Request) -> Response:
        return Response(501)

    return answer
