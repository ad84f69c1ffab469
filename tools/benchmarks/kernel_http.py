"""A small HTTP server on the Linux kernel's TCP: asyncio and httptools, the parser that ours uses, and nothing around.

python -m tools.benchmarks.kernel_http
"""

import asyncio
from typing import Final

import httptools

PORT: Final = 80
BODY: Final = bytes(64)
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n" % len(BODY)
ANSWERS: Final = {True: HEAD + b"\r\n" + BODY, False: HEAD + b"Connection: close\r\n\r\n" + BODY}  # by keep-alive


class Protocol(asyncio.Protocol):
    """One connection; httptools calls the methods named on_..."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        keep_alive = self._parser.should_keep_alive()
        self._transport.write(ANSWERS[keep_alive])
        if not keep_alive:
            self._transport.close()


async def serve() -> None:
    """Serve until we are killed."""
    server = await asyncio.get_running_loop().create_server(Protocol, "", PORT, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
