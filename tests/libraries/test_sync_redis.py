"""redis, in blocking calls, and a server that knows a few of its commands: both under patch(), on a virtual link."""

import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from stack.sockets import Net, patch
from tests.libraries.conftest import SERVER_NAME
from tests.sockets.conftest import LATE, SERVER, SOON, net, paced

pytestmark = pytest.mark.libraries

__all__ = ["net", "paced"]


class Handler(socketserver.StreamRequestHandler):
    """RESP2 (redis.io/docs/reference/protocol-spec): PING, SET, GET, PUBLISH, SUBSCRIBE, and OK to all else."""

    def handle(self) -> None:
        while header := self.rfile.readline():
            words = []
            for _ in range(int(header[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2])
            self.wfile.write(self.answer(words[0].upper(), *words[1:]))

    def answer(self, command: bytes, *words: bytes) -> bytes:
        state: Any = self.server
        match command:
            case b"HELLO":
                return b"-ERR unknown command\r\n"
            case b"PING":
                return b"+PONG\r\n"
            case b"SET":
                state.values[words[0]] = words[1]
                return b"+OK\r\n"
            case b"GET":
                value = state.values.get(words[0])
                return b"$-1\r\n" if value is None else bulk(value)
            case b"BLPOP":
                state.silence.wait(LATE)
                return b"*-1\r\n"
            case b"SUBSCRIBE":
                state.subscribers.append(self.wfile)
                return b"*3\r\n" + bulk(b"subscribe") + bulk(words[0]) + b":1\r\n"
            case b"PUBLISH":
                for each in state.subscribers:
                    each.write(b"*3\r\n" + bulk(b"message") + bulk(words[0]) + bulk(words[1]))
                return b":%d\r\n" % len(state.subscribers)
        return b"+OK\r\n"


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((SERVER, 6379), Handler)
        self.values: dict[bytes, bytes] = {}
        self.subscribers: list[Any] = []
        self.silence = threading.Event()


@pytest.fixture
def client(net: Net) -> Iterator[redis.Redis]:
    with patch(net), Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with redis.Redis(SERVER_NAME, protocol=2, socket_timeout=LATE) as made:
            yield made
        server.silence.set()
        server.shutdown()
        thread.join(LATE)


def test_values_and_a_pipeline(client: redis.Redis) -> None:
    assert client.ping() and client.get("nothing") is None
    value = bytes(range(256)) * 4_000
    assert client.set("large", value) and client.get("large") == value
    with client.pipeline(transaction=False) as pipeline:
        for number in range(500):
            pipeline.set(f"key {number}", number).get(f"key {number}")
        assert pipeline.execute()[1::2] == [str(number).encode() for number in range(500)]


def test_publish_and_subscribe(client: redis.Redis) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe("news")
        while client.publish("news", "hello") == 0:
            continue
        end = time.monotonic() + LATE
        while (message := channel.get_message(timeout=1)) is None:  # which asks select() or poll()
            assert time.monotonic() < end
        assert message["data"] == b"hello"


def test_a_time_out_and_a_connection_after_it(client: redis.Redis) -> None:
    with redis.Redis(SERVER_NAME, protocol=2, socket_timeout=SOON, retry=None) as impatient:
        with pytest.raises(redis.TimeoutError):
            impatient.blpop(["queue"])
        assert impatient.ping()
    with pytest.raises(redis.ConnectionError), redis.Redis(SERVER_NAME, 6380, retry=None) as nobody:
        nobody.ping()
