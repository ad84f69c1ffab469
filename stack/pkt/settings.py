"""What the head of a script sets: the addresses, the tolerance, and the host's configuration.

--tolerance_usecs=4000          how far a time may be off
--tolerance_percent=0           and by how much of the time since the event before
--tcp_ts_tick_usecs=1000        check the time stamps that are sent, which tick like this
--strict_segments               a line is one segment, and not what a run of them carries
--local_ip, --remote_ip, --gateway_ip, --netmask_ip, --bind_port, --connect_port, --mtu
--tcp_config=delayed_ack=40ms   any field of stack.config.TcpConfig
`sysctl -q net.ipv4.tcp_sack=0` Linux's names, for what they have in common with ours

Pacing is off unless --tcp_config=pacing=true: a script says what may be sent at a time, and not how it is spread.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from stack.addresses import Ipv4Address, Network, ipv4, mac
from stack.clock import MICROSECOND, MILLISECOND, SECOND, Duration
from stack.config import HostConfig, InterfaceConfig, RouteConfig, TcpConfig
from stack.errors import ConfigurationError
from stack.pkt.syntax import Script, ScriptError
from stack.transport.tcp.congestion import ALGORITHMS

STACK_MAC: Final = mac("02:00:00:00:00:01")
GATEWAY_MAC: Final = mac("02:00:00:00:00:02")  # of everybody else, since the host sees one Ethernet neighbour

_UNITS: Final = {"": 1, "ns": 1, "us": MICROSECOND, "ms": MILLISECOND, "s": SECOND}
_NUMBER: Final = re.compile(r"(\d+)(|ns|us|ms|s)\Z")
_WORDS: Final = {"true": True, "false": False, "none": None}


@dataclass(slots=True)
class Settings:
    """What a script runs with."""

    local_ip: Ipv4Address
    remote_ip: Ipv4Address
    gateway_ip: Ipv4Address
    netmask_ip: Ipv4Address
    tcp: TcpConfig
    bind_port: int = 8080
    connect_port: int = 8080
    mtu: int = 1500
    tolerance_usecs: int = 4000
    tolerance_percent: int = 0
    tcp_ts_tick_usecs: int = 0  # 0: the time stamps that are sent are not checked
    strict_segments: bool = False

    def host_config(self) -> HostConfig:
        """The configuration of the host under test: one interface, with the gateway as the way to everywhere."""
        prefix = self.netmask_ip.bit_count()
        interface = InterfaceConfig(mac=STACK_MAC, address=self.local_ip, prefix_length=prefix, mtu=self.mtu)
        route = RouteConfig(Network.of(0, 0), self.gateway_ip)
        return HostConfig(interfaces=(interface,), routes=(route,), tcp=self.tcp)

    def tolerance(self, elapsed: Duration) -> Duration:
        """How far off a time may be that lies `elapsed` behind the event before."""
        return max(self.tolerance_usecs * MICROSECOND, elapsed * self.tolerance_percent // 100)


def settings_of(script: Script) -> Settings:
    """What the head of `script` says. Raises ScriptError."""
    addresses = ipv4("192.168.0.1"), ipv4("192.0.2.1"), ipv4("192.168.0.2"), ipv4("255.255.0.0")  # packetdrill's
    settings = Settings(*addresses, TcpConfig(pacing=False))
    for line, name, value in script.options:
        try:
            _set(settings, name, value)
        except (ConfigurationError, ValueError) as error:
            raise ScriptError(f"{script.name}:{line}: expected an option, found '--{name}={value}': {error}") from None
    for line, name, value in script.sysctls:
        try:
            settings.tcp = _with_sysctl(settings.tcp, name, value)
        except ValueError as error:
            raise ScriptError(f"{script.name}:{line}: expected a sysctl, found '{name}={value}': {error}") from None
    try:
        settings.host_config()
    except ConfigurationError as error:
        raise ScriptError(f"{script.name}:1: expected a host that can be, found: {error}") from None
    return settings


def _set(settings: Settings, name: str, value: str) -> None:
    if name == "tcp_config":
        key, _, text = value.partition("=")
        settings.tcp = _with_field(settings.tcp, key, text)
    elif name == "strict_segments":
        settings.strict_segments = True
    elif name in ("local_ip", "remote_ip", "gateway_ip", "netmask_ip"):
        setattr(settings, name, ipv4(value))
    elif name in Settings.__slots__ and name != "tcp":
        setattr(settings, name, int(value))
    else:
        raise ValueError(
            f"there are {', '.join(f'--{each}' for each in Settings.__slots__ if each != 'tcp')}, --tcp_config=..."
        )


def _with_field(config: TcpConfig, name: str, text: str) -> TcpConfig:
    if name not in {each.name for each in fields(TcpConfig)}:
        raise ValueError(f"stack.config.TcpConfig has no field {name!r}")
    number = _NUMBER.match(text)
    value: Any = int(number[1]) * _UNITS[number[2]] if number is not None else _WORDS.get(text.lower(), text)
    if isinstance(value, str) != isinstance(getattr(config, name), str):
        raise ValueError("a value is a number (with ns, us, ms or s), true, false, none or a name")
    return _checked(replace(config, **{name: value}))


# sysctls

_SYSCTLS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "tcp_timestamps": lambda text: {"timestamps": text != "0"},
    "tcp_window_scaling": lambda text: {"window_scaling": text != "0"},
    "tcp_sack": lambda text: {"sack": text != "0"},
    "tcp_ecn": lambda text: {"ecn": {"0": "off", "1": "request", "2": "accept"}[text]},
    "tcp_congestion_control": lambda text: {"congestion": {"reno": "newreno"}.get(text, text)},
    "tcp_keepalive_time": lambda text: {"keep_alive_idle": int(text) * SECOND},
    "tcp_keepalive_intvl": lambda text: {"keep_alive_interval": int(text) * SECOND},
    "tcp_keepalive_probes": lambda text: {"keep_alive_probes": int(text)},
    "tcp_fin_timeout": lambda text: {"fin_wait_2_timeout": int(text) * SECOND},
    "tcp_retries1": lambda text: {"retransmit_r1": int(text)},
    "tcp_min_snd_mss": lambda text: {"minimum_send_mss": int(text)},
    "tcp_rmem": lambda text: dict(zip(("initial_receive_buffer", "receive_buffer"), _buffer_sizes(text), strict=True)),
    "tcp_wmem": lambda text: dict(zip(("initial_send_buffer", "send_buffer"), _buffer_sizes(text), strict=True)),
}
"""Linux's names below net.ipv4, and the fields of TcpConfig that mean the same."""


def _buffer_sizes(text: str) -> tuple[int, int]:
    """Linux has three numbers: the least, the default, the most."""
    _, default, most = text.split()
    return int(default), int(most)


def _with_sysctl(config: TcpConfig, name: str, text: str) -> TcpConfig:
    convert = _SYSCTLS.get(name.removeprefix("net.ipv4."))
    if not name.startswith("net.ipv4.") or convert is None:
        raise ValueError(f"there is nothing like it in TcpConfig; there is for {', '.join(_SYSCTLS)}")
    try:
        return _checked(replace(config, **convert(text)))
    except KeyError:
        raise ValueError("there is no such value") from None


def _checked(config: TcpConfig) -> TcpConfig:
    if config.congestion not in ALGORITHMS:
        raise ValueError(f"there is {', '.join(ALGORITHMS)}")
    return config
