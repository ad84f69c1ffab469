"""What glue.c calls: C's arguments into those of a Process, its results and errors back. Runs inside packetdrill."""

import errno
import importlib
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from stack.clock import MICROSECOND
from stack.pkt.syntax import Value
from tools.packetdrill.process import Outcome, Process

_LINGER: Final = (socket.SOL_SOCKET, socket.SO_LINGER)
_TEXT: Final = (socket.SOL_TCP, socket.TCP_CONGESTION)
_INT: Final = struct.Struct("i")
_LINGER_VALUE: Final = struct.Struct("ii")
_processes: list[Process] = []  # the one
_F = TypeVar("_F", bound=Callable[..., Any])

ffi: Any = importlib.import_module("tapstack_packetdrill").ffi  # there is such a module in the shared object only


def _exported(function: _F) -> _F:
    """Make `function` the one of exports.h; an exception, which would be a bug, is printed and returns -1."""
    ffi.def_extern(error=-1)(function)
    return function


def _call(name: str, *arguments: Value) -> Outcome:
    outcome = _processes[0].call(name, arguments)
    if outcome.error is not None:
        ffi.errno = outcome.error.errno or errno.EIO
    return outcome


def _result(name: str, *arguments: Value) -> int:
    result = _call(name, *arguments).result
    return -1 if result is None else result


def _address(ip: int, port: int) -> Value:
    return {"sin_addr": ip, "sin_port": port}


def _buffers(vector: Any, count: int) -> Sequence[Any]:
    return [ffi.buffer(vector[index].iov_base, vector[index].iov_len) for index in range(count)]


def tapstack_start(flags: Any) -> None:
    process = Process("" if flags == ffi.NULL else ffi.string(flags).decode())
    process.sockets.new_number = lambda: os.open(os.devnull, os.O_RDWR)  # packetdrill closes them itself at the end
    _processes.append(process)


ffi.def_extern()(tapstack_start)  # which returns nothing


@_exported
def tapstack_socket(domain: int, kind: int, protocol: int) -> int:
    return _result("socket", domain, kind, protocol)


@_exported
def tapstack_bind(fd: int, ip: int, port: int) -> int:
    return _result("bind", fd, _address(ip, port), ...)


@_exported
def tapstack_listen(fd: int, backlog: int) -> int:
    return _result("listen", fd, backlog)


@_exported
def tapstack_accept(fd: int, ip: Any, port: Any) -> int:
    result = _result("accept", fd, ..., ...)
    latest = _processes[0].sockets.latest
    if result >= 0 and latest is not None:
        ip[0], port[0] = latest.key.remote_addr, latest.key.remote_port
    return result


@_exported
def tapstack_connect(fd: int, ip: int, port: int) -> int:
    return _result("connect", fd, _address(ip, port), ...)


@_exported
def tapstack_receive(fd: int, vector: Any, count: int, flags: int) -> int:
    buffers = _buffers(vector, count)
    outcome = _call("recv", fd, ..., sum(map(len, buffers)), flags)
    data = outcome.data
    for buffer in buffers:
        part, data = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(part)] = part
    return -1 if outcome.result is None else outcome.result


@_exported
def tapstack_send(fd: int, vector: Any, count: int, flags: int, has_address: int, ip: int, port: int) -> int:
    data = b"".join(bytes(buffer) for buffer in _buffers(vector, count))
    if has_address:
        return _result("sendto", fd, data, len(data), flags, _address(ip, port), ...)
    return _result("send", fd, data, len(data), flags)


@_exported
def tapstack_fcntl(fd: int, command: int, argument: int) -> int:
    return _result("fcntl", fd, command, argument)


@_exported
def tapstack_close(fd: int) -> int:
    result = _result("close", fd)
    if not result:
        os.close(fd)
    return result


@_exported
def tapstack_shutdown(fd: int, how: int) -> int:
    return _result("shutdown", fd, how)


@_exported
def tapstack_getsockopt(fd: int, level: int, option: int, value: Any, length: Any) -> int:
    try:
        found = _processes[0].sockets.option(fd, level, option)
    except OSError as error:
        ffi.errno = error.errno or errno.EIO
        return -1
    octets = found if isinstance(found, bytes) else _INT.pack(found)
    length[0] = min(len(octets), length[0])
    ffi.buffer(value, length[0])[:] = octets[: length[0]]
    return 0


@_exported
def tapstack_setsockopt(fd: int, level: int, option: int, value: Any, length: int) -> int:
    octets = bytes(ffi.buffer(value, length))
    setting: Value
    if (level, option) == _TEXT:
        setting = octets.rstrip(b"\0")
    elif (level, option) == _LINGER and length >= _LINGER_VALUE.size:
        onoff, seconds = _LINGER_VALUE.unpack_from(octets)
        setting = {"onoff": onoff, "linger": seconds}
    else:
        setting = [int.from_bytes(octets[: _INT.size], "little", signed=True)]
    return _result("setsockopt", fd, level, option, setting, length)


@_exported
def tapstack_poll(entries: Any, count: int, timeout: int) -> int:
    asked: list[Value] = [{"fd": entries[each].fd, "events": entries[each].events} for each in range(count)]
    result = _result("poll", asked, count, timeout)
    for each in range(count):
        entries[each].revents = _processes[0].sockets.events(entries[each].fd, entries[each].events)
    return result


@_exported
def tapstack_netdev_send(packet: Any, size: int) -> int:
    _processes[0].receive(bytes(ffi.buffer(packet, size)))
    return 0


@_exported
def tapstack_netdev_receive(packet: Any, size: Any, time_usecs: Any) -> int:
    sent = _processes[0].take()
    octets = b"" if sent is None else sent.octets[: size[0]]
    ffi.buffer(packet, size[0])[: len(octets)] = octets
    size[0] = len(octets)
    time_usecs[0] = 0 if sent is None else sent.at // MICROSECOND
    return 0


@_exported
def tapstack_usleep(usec: int) -> int:
    _processes[0].sleep(usec * MICROSECOND)
    return 0


@_exported
def tapstack_clock() -> int:
    return _processes[0].clock() // MICROSECOND
