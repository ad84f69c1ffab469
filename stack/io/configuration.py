"""What `tapstack serve` is to do, from a TOML file and from the command line, which wins; stack.aio reads the same.

Both know the same options, listed once in OPTIONS. Whatever cannot be used raises ConfigurationError with one line
that names where it stands: `--port` or `tapstack.toml: port`.
"""

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stack.addresses import Ipv4Address, Network, can_be_a_source, interface_address, ipv4, show_ipv4
from stack.config import MAXIMUM_MTU, MINIMUM_MTU
from stack.errors import ConfigurationError
from stack.io.tap import check_name


@dataclass(frozen=True, slots=True)
class AddressAndPrefix:
    """An interface's address and the length of its network's prefix."""

    address: Ipv4Address
    prefix_length: int

    @property
    def network(self) -> Network:
        """The network that the address is in."""
        return Network.of(self.address, self.prefix_length)

    def __str__(self) -> str:
        return f"{show_ipv4(self.address)}/{self.prefix_length}"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Everything that `tapstack serve` can be told, checked."""

    directory: Path | None
    application: str | None
    interface: str
    tap: str
    host_address: AddressAndPrefix
    address: AddressAndPrefix
    port: int
    mtu: int
    offload: str
    workers: int
    dns_servers: tuple[Ipv4Address, ...]
    hosts: Mapping[str, str]
    capture: Path | None
    verbose: bool

    @property
    def default_subnet(self) -> bool:
        """Whether nobody has chosen the network."""
        return self.address.network == _address(DEFAULT_ADDRESS).network

    @property
    def url(self) -> str:
        """Where the server is found."""
        port = "" if self.port == 80 else f":{self.port}"
        return f"http://{show_ipv4(self.address.address)}{port}/"


def _application(text: str) -> str:
    if not is_application(text):
        raise ConfigurationError(f"{text!r} is not a module and a name in it, such as app:app")
    return text


def is_application(text: str) -> bool:
    """Whether `text` names an application, MODULE:NAME, and no directory."""
    return _APPLICATION.fullmatch(text) is not None and not os.path.exists(text)


def _path(text: str) -> Path:
    # Path("") would be ".", which whoever has an unset variable on the command line did not mean.
    if not text or "\0" in text:
        raise ConfigurationError(f"{text!r} is not the name of a file or directory")
    return Path(text)


def _device(text: str) -> str:
    return check_name(text)


def _address(text: str) -> AddressAndPrefix:
    value = AddressAndPrefix(*interface_address(text))
    network = value.network
    if not can_be_a_source(value.address):
        raise ConfigurationError(f"{show_ipv4(value.address)} is not an address that a host can have")
    if not 8 <= value.prefix_length <= 31:
        raise ConfigurationError(f"{text} leaves no room for two hosts, or too much: a prefix length is 8 to 31")
    if network.broadcast is not None and value.address in (network.address, network.broadcast):
        kind = "network" if value.address == network.address else "broadcast"
        raise ConfigurationError(f"{show_ipv4(value.address)} is the {kind} address of {network}, not a host's")
    return value


def _number(what: str, lowest: int, highest: int) -> Callable[[int | str], int]:
    def parse(given: int | str) -> int:
        text = str(given)
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(highest)) else -1
        if not lowest <= number <= highest:
            raise ConfigurationError(f"{given} is not {what}: {lowest} to {highest}")
        return number

    return parse


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(given: str) -> str:
        if given not in choices:
            raise ConfigurationError(f"{given!r} is not {' or '.join(choices)}")
        return given

    return parse


def _split(given: str) -> list[str]:
    return [part.strip() for part in given.split(",") if part.strip()]


def _servers(given: str | list[Any]) -> tuple[Ipv4Address, ...]:
    return tuple(ipv4(str(each)) for each in (_split(given) if isinstance(given, str) else given))


def _hosts(given: str | dict[str, Any]) -> dict[str, str]:
    entries = [entry.partition("=")[::2] for entry in _split(given)] if isinstance(given, str) else given.items()
    for name, address in entries:
        if not name or not address:
            raise ConfigurationError(
                f"a name and its address are needed, such as db=10.77.0.9, not {name!r}={address!r}"
            )
    return {name.lower(): show_ipv4(ipv4(str(address))) for name, address in entries}


@dataclass(frozen=True, slots=True)
class Option:
    """One option: `toml` is its type in a file, `parse` checks a value of it and raises ConfigurationError.

    The others are every command's that brings the stack up, those `of_server` only `tapstack serve`'s.
    """

    name: str
    metavar: str
    help: str
    default: Any
    toml: type
    parse: Callable[[Any], Any]
    of_server: bool = False


_APPLICATION: Final = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
DEFAULT_ADDRESS: Final = "10.77.0.2/24"

_TOML_TYPES: Final = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    list: "a list of strings",
    dict: "a table of strings",
}

OPTIONS: Final = (
    Option(
        "directory",
        "DIR",
        "the directory to serve (default: a page about the stack itself)",
        None,
        str,
        _path,
        True,
    ),
    Option("tap", "NAME", "the TAP device, created if it does not exist", "tap0", str, _device),
    Option("host-address", "ADDRESS/LENGTH", "this machine's address on it", "10.77.0.1/24", str, _address),
    Option("address", "ADDRESS/LENGTH", "the stack's address on it", DEFAULT_ADDRESS, str, _address),
    Option("port", "PORT", "the TCP port to serve on", 80, int, _number("a port number", 1, 65535), True),
    Option("mtu", "OCTETS", "largest IP packet of the device", 1500, int, _number("an MTU", MINIMUM_MTU, MAXIMUM_MTU)),
    Option(
        "offload",
        "MODE",
        "auto: checksums and segmentation are left to the kernel where it can; off: the stack does both",
        "auto",
        str,
        _choice("auto", "off"),
    ),
    Option(
        "workers",
        "N",
        "processes that share the connections, each with a queue of the device",
        1,
        int,
        _number("a number of workers", 1, 64),
        True,
    ),
    Option("application", "MODULE:NAME", "the application to serve", None, str, _application, True),
    Option(
        "interface",
        "NAME",
        "how the application is called: asgi, wsgi, or auto (by its parameters)",
        "auto",
        str,
        _choice("auto", "asgi", "wsgi"),
        True,
    ),
    Option("dns-servers", "ADDRESS,...", "name servers, for programs on the stack", "", list, _servers),
    Option("hosts", "NAME=ADDRESS,...", "names that need no name server", "", dict, _hosts),
    Option("capture", "FILE", "write every frame to this file, for Wireshark (pcapng)", None, str, _path),
    Option("verbose", "", "log every request, and details", False, bool, bool, True),
)
_BY_NAME: Final = {option.name: option for option in OPTIONS}


def load(given: Mapping[str, Any], file: Path | None, named: str = "--config") -> ServeSettings:
    """The settings from the command line's `given` (by option name; None: not given) and from `file`.

    `named` is what told of the file. Raises ConfigurationError.
    """
    values = _read_file(file, named) if file else {}
    if given.get("directory") or given.get("application"):
        values.pop("directory", None), values.pop("application", None)
    for option in OPTIONS:
        value = given.get(option.name)
        if value is not None and value is not False:
            where = "DIR" if option.name == "directory" else f"--{option.name}"
            values[option.name] = _parse(option, value, where)
    for option in OPTIONS:
        if option.name not in values:
            values[option.name] = None if option.default is None else option.parse(option.default)
    settings = ServeSettings(**{name.replace("-", "_"): value for name, value in values.items()})
    _check_together(settings)
    return settings


def _parse(option: Option, value: Any, where: str) -> Any:
    try:
        return option.parse(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _read_file(file: Path, named: str) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = tomllib.load(stream)
    except OSError as error:
        raise ConfigurationError(f"{named}: cannot read {file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: octets, numbers and depth have their own
        raise ConfigurationError(f"{named}: {file} is not TOML: {error}") from None
    values = {}
    for key, value in content.items():
        option = _BY_NAME.get(key)
        if option is None:
            raise ConfigurationError(f"{file}: {key!r} is not an option; there are {', '.join(_BY_NAME)}")
        if type(value) is not option.toml:
            raise ConfigurationError(f"{file}: {key} must be {_TOML_TYPES[option.toml]}, not {value!r}")
        values[key] = _parse(option, value, f"{file}: {key}")
        if isinstance(values[key], Path):
            values[key] = file.parent / values[key]
    return values


def _check_together(settings: ServeSettings) -> None:
    ours, theirs = settings.address, settings.host_address
    if ours.network != theirs.network:
        raise ConfigurationError(
            f"--address {ours} and --host-address {theirs} are in different networks, {ours.network} and"
            f" {theirs.network}: they are the two ends of one link"
        )
    if ours.address == theirs.address:
        raise ConfigurationError(f"--address and --host-address are both {ours}: the stack needs an address of its own")
    if settings.capture is not None and settings.workers > 1:
        raise ConfigurationError("--capture writes what one worker sees: it cannot go with --workers")
    if settings.application is not None and settings.directory is not None:
        raise ConfigurationError("directory and application: one of them is served, not both")
    if settings.application is not None and settings.workers > 1:
        raise ConfigurationError("--workers: an application has one process; start more behind other addresses")
    if settings.directory is not None:
        check_directory(settings.directory)


def check_directory(directory: Path) -> None:
    """Raise ConfigurationError unless `directory` can be served by whom we are now."""
    try:
        status = directory.stat()
    except FileNotFoundError:
        raise ConfigurationError(f"DIR: {directory} does not exist") from None
    except OSError as error:
        raise ConfigurationError(f"DIR: {directory} cannot be reached: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"DIR: {directory} is not a directory")
    if not os.access(directory, os.R_OK | os.X_OK):
        raise ConfigurationError(f"DIR: {directory} cannot be read: permission denied")
