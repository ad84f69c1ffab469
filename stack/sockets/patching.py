"""patch(): the standard library's sockets, and with them every library's, go to the stack where the stack is meant."""

import select
import selectors
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Final

from stack.aio.selector import StackSelector
from stack.sockets.driver import Driver
from stack.sockets.methods import Methods
from stack.sockets.net import Net

_FUNCTIONS: Final = ("getaddrinfo", "getnameinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr")
_TLS: Final = ("do_handshake", "read", "write", "unwrap")
_SELECTORS: Final = (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector)
_patched: list[Net] = []


@contextmanager
def patch(net: Net | None = None, **options: Any) -> Iterator[Net]:
    """Until its end, sockets of the whole process are `net`'s where addresses of its are named, else the kernel's.

    It is socket.socket's methods that are replaced, so it makes no difference when a library was imported, and what
    is derived from socket.socket (ssl.SSLSocket) is meant, too; and the module's functions that ask for names. See
    stack.sockets.methods for what goes where. Without `net`, a TAP device is opened with `options`, as by
    Net.attached(), and let go of at the end. Raises RuntimeError within another patch().

    The thread of an event loop that has the stack in it may block in these calls, in TLS and in select(), too. It must
    not wait for another thread that waits for the stack: nobody would drive it.
    """
    if _patched:
        raise RuntimeError("the sockets of this process are patched already")
    with ExitStack() as undo:
        if net is None:
            net = undo.enter_context(Net.attached(**options))
        _patched.append(net)
        undo.callback(_patched.pop)
        for owner, name, value in _replacements(net):
            undo.callback(_restore, owner, name, vars(owner).get(name))
            setattr(owner, name, value)
        yield net


def _replacements(net: Net) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """What is set as which attribute of what."""
    for name, function in Methods(net).functions().items():
        yield socket.socket, name, function
    for name in _FUNCTIONS:
        yield socket, name, getattr(net.names, name)
    for name in _TLS:
        yield ssl.SSLSocket, name, _lending(net.driver, getattr(ssl.SSLSocket, name))
    for selector in _SELECTORS:
        yield selector, "select", _lending(net.driver, selector.select)
    yield select, "select", _lending(net.driver, select.select)


def _lending(driver: Driver, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which blocks in the kernel: see stack.sockets.methods."""

    @wraps(function)
    def lending(*arguments: Any, **options: Any) -> Any:
        # An event loop's own selector is where it drives the hosts from.
        if not driver.is_held_here or isinstance(arguments[0], StackSelector):
            return function(*arguments, **options)
        with driver.lent():
            return function(*arguments, **options)

    return lending


def _restore(owner: object, name: str, value: object) -> None:
    if value is None:
        delattr(owner, name)  # what is inherited shows again
    else:
        setattr(owner, name, value)
