"""The `tapstack` command.

Exit codes: 0 done, 1 something outside is not as it must be (a device, privileges, a file), 2 the command line or the
configuration cannot be used. Errors are one line on standard error.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from stack import __version__
from stack.cli import logs, output
from stack.errors import ConfigurationError, DeviceError
from stack.io.configuration import OPTIONS, ServeSettings, is_application, load


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command line with one line instead of a usage text."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = _Parser(
        prog="tapstack", description="A TCP/IP stack in user space, on Linux TAP devices.", allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=f"tapstack {__version__}")
    commands = top.add_subparsers(dest="command", metavar="serve | run | fetch | demo | pkt", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve HTTP on a TAP device, until Ctrl-C",
        description="Serve HTTP on a TAP device with our own TCP/IP stack, until SIGINT or SIGTERM.",
        epilog="Opening a device needs CAP_NET_ADMIN (sudo; privileges are dropped once it is open), or one that"
        " was made for you: sudo ip tuntap add tap0 mode tap user $USER",
        allow_abbrev=False,
    )
    serve.add_argument(
        "what",
        metavar="DIR|MODULE:NAME",
        nargs="?",
        help="the directory or the ASGI or WSGI application to serve (default: a page about the stack itself)",
    )
    _add_options(serve, of_server=True)
    run = commands.add_parser(
        "run",
        help="run a Python program on the stack",
        description="Run a Python program in this process, with the stack on a TAP device: the program's sockets and"
        " event loops have the stack's networks on the stack, and everything else where it was.",
        epilog="Example: tapstack run -- uvicorn --host 10.77.0.2 --port 80 app:app",
        usage="tapstack run [options] -- PROGRAM [ARGUMENT ...]",
        allow_abbrev=False,
    )
    _add_options(run, of_server=False)
    run.add_argument(
        "program",
        metavar="PROGRAM",
        nargs=argparse.REMAINDER,
        help="a file, -m MODULE, or a command of an installed package, and its arguments",
    )
    _add_fetch(commands.add_parser)
    demo = commands.add_parser(
        "demo",
        help="show a request's way through the stack; needs no root",
        description="Bring the stack up in a network namespace of its own, send it an HTTP request and pings from the"
        " Linux kernel, and show what happened, layer by layer. Needs no root.",
        allow_abbrev=False,
    )
    demo.add_argument("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    pkt = commands.add_parser(
        "pkt",
        help="run scripts in packetdrill's language",
        description="Run scripts in packetdrill's language against the stack, in virtual time. Exit code: 0 all passed,"
        " 1 the stack did something else than a script says, 2 a script cannot be read.",
        allow_abbrev=False,
    )
    pkt.add_argument("files", metavar="FILE", type=Path, nargs="+", help="a script")
    pkt.add_argument("-v", "--verbose", action="store_true", help="print each event as it happens")
    return top


def _add_fetch(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    fetch = add_parser(
        "fetch",
        help="fetch a URL over the stack, and say how long it took",
        description="Fetch a URL over the stack on a TAP device, and say how long each phase took. What is behind this"
        " machine is reached if it forwards for the stack. Exit codes are curl's.",
        allow_abbrev=False,
    )
    fetch.add_argument("url", metavar="URL", help="http or https")
    fetch.add_argument("-o", "--output", metavar="FILE", type=Path, help="where the content goes (default: stdout)")
    fetch.add_argument("-v", "--segments", action="store_true", help="show every segment as it passes")
    fetch.add_argument("-f", "--fail", action="store_true", help="exit code 22 for a status of 400 or above")
    fetch.add_argument("-k", "--insecure", action="store_true", help="accept any certificate")
    fetch.add_argument("--cacert", metavar="FILE", type=Path, help="the certificates to trust (default: the system's)")
    fetch.add_argument("--max-time", metavar="SECONDS", type=_seconds, default=60.0, help="give up then (default: 60)")
    _add_options(fetch, of_server=False)


def _seconds(text: str) -> float:
    if not (seconds := float(text)) > 0:  # nan neither
        raise ValueError
    return seconds


_seconds.__name__ = "number of seconds"  # what argparse calls it


def _add_options(command: argparse.ArgumentParser, *, of_server: bool) -> None:
    """The options of a command that brings the stack up."""
    for option in OPTIONS:
        if option.name in ("directory", "application") or (option.of_server and not of_server):
            continue
        text = option.help if option.default in (None, False, "") else f"{option.help} (default: {option.default})"
        if option.toml is bool:
            command.add_argument(f"-{option.name[0]}", f"--{option.name}", action="store_true", help=text)
        else:
            command.add_argument(f"--{option.name}", metavar=option.metavar, help=text)
    command.add_argument(
        "--config", metavar="FILE", type=Path, help="a TOML file with these options, by the same names"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: the process's own); returns the exit code."""
    output.ensure_streams()
    try:
        return _run(vars(parser().parse_args(arguments)))
    except ConfigurationError as error:
        print(f"tapstack: {error}", file=sys.stderr)
        return 2
    except DeviceError as error:
        print(f"tapstack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except output.OutputError as error:
        if str(error):
            print(f"tapstack: {error}", file=sys.stderr)
        return 1


def _run(options: dict[str, Any]) -> int:
    # Each command is imported when it is asked for: a wrong command line is to be answered at once.
    if options["command"] == "demo":
        from stack.cli import demo

        return demo.run(in_namespace=options["in_namespace"])
    if options["command"] == "pkt":
        from stack.cli import pkt

        return pkt.run(options["files"], verbose=options["verbose"])
    if options["command"] == "run":
        from stack.cli import run

        command = options["program"]
        return run.run(_settings(options), command[1:] if command[:1] == ["--"] else command)
    if options["command"] == "fetch":
        from stack.cli import fetch

        return fetch.run(_settings(options), fetch.Order(**{each: options[each] for each in fetch.Order.__slots__}))
    if options["what"] is not None:
        options["application" if is_application(options["what"]) else "directory"] = options["what"]
    settings = _settings(options)
    logs.set_up(verbose=settings.verbose)
    if settings.application is not None:
        from stack.cli import application

        return application.run(settings, settings.application)
    from stack.cli import serve

    return serve.run(settings)


def _settings(options: dict[str, Any]) -> ServeSettings:
    return load({name.replace("_", "-"): value for name, value in options.items()}, options["config"])


if __name__ == "__main__":
    sys.exit(main())
