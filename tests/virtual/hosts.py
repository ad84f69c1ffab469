"""Hosts for networks, and the two ends of a transfer."""

import random

from stack.addresses import ipv4, mac
from stack.config import ArpConfig, HostConfig, InterfaceConfig, TcpConfig
from stack.events import END_OF_STREAM
from stack.host import Host
from stack.transport.tcp.states import State


def address(number):
    """That of the host `number`."""
    return ipv4(f"10.0.0.{number}")


SERVER = address(2)


class Sink:
    """Takes one connection, reads everything, and closes when the peer has."""

    def __init__(self, host, now, port=80):
        self.host = host
        self.data = bytearray()
        self.connection = None
        self.listener = host.listen(port, now)
        self.listener.handler = self.on_listener

    def on_listener(self, kinds, now):
        self.connection = self.host.accept(self.listener)
        self.connection.handler = self.on_connection

    def on_connection(self, kinds, now):
        while self.connection.readable:
            self.data += self.host.read(self.connection, 1 << 16, now)
        if kinds & END_OF_STREAM:
            self.host.close(self.connection, now)


class Source:
    """Connects, writes everything and closes."""

    def __init__(self, host, data, now, remote=SERVER):
        self.host = host
        self.left = memoryview(data)
        self.connection = host.connect(remote, 80, now)
        self.connection.handler = self.on_connection

    def on_connection(self, kinds, now):
        if self.connection.state is not State.ESTABLISHED:
            return
        while self.left:
            taken = self.host.write(self.connection, self.left[: 1 << 16], now)
            self.left = self.left[taken:]
            if not taken:
                return
        self.host.close(self.connection, now)


def make_host(number, arp=None, **tcp):
    interface = InterfaceConfig(mac(f"02:00:00:00:00:{number:02x}"), address(number), 24)
    config = HostConfig((interface,), arp=arp or ArpConfig(), tcp=TcpConfig(**tcp))
    return Host(config, secret=bytes([number]) * 16, random=random.Random(number))
