"""A PostgreSQL and a Redis of the tests' own, on UNIX sockets in private directories, and a host's way to them."""

import asyncio
import os
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import NOBODY, wait_for
from tests.libraries.links import Place

USER, PASSWORD = "tester", "a password"
SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL's manual, Message Formats


@dataclass(frozen=True, slots=True)
class Database:
    """Where it can be reached: on `path`, of which its clients know as `port`."""

    path: Path
    port: int


@contextmanager
def postgresql() -> Iterator[Database]:
    """A running PostgreSQL, with a database `postgres` for USER with PASSWORD. It refuses root: nobody runs it then."""
    programs = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), *os.get_exec_path()]
    initdb, server = (_program(name, programs, "postgresql") for name in ("initdb", "postgres"))
    options = ("fsync=off", "shared_buffers=16MB", "listen_addresses=", "password_encryption=scram-sha-256")
    with _directory() as (directory, as_user):
        (directory / "password").write_text(PASSWORD)
        made = subprocess.run(
            [initdb, f"--pgdata={directory}/data", f"--username={USER}", f"--pwfile={directory}/password",
             "--auth=scram-sha-256", "--no-sync", "--no-locale", "--encoding=UTF8"],
            cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, **as_user,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout
        settings = [word for option in options for word in ("-c", option)]
        command = [server, "-D", f"{directory}/data", "-k", str(directory), *settings]
        path = directory / ".s.PGSQL.5432"
        with _running(command, directory, as_user, path):
            yield Database(path, 5432)


@contextmanager
def redis() -> Iterator[Database]:
    """A running Redis, with PASSWORD."""
    server = _program("redis-server", os.get_exec_path(), "redis-server")
    with _directory() as (directory, as_user):
        path = directory / "redis"
        settings = ("--port", "0", "--unixsocket", str(path), "--save", "", "--requirepass", PASSWORD)
        with _running([server, *settings, "--dir", str(directory)], directory, as_user, path):
            yield Database(path, 6379)


@asynccontextmanager
async def spliced(
    place: Place, database: Database, tls_of_postgresql: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """`database`, as if it were the server of a link; with TLS, as PostgreSQL begins it by TCP, but not on AF_UNIX."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():  # which TLS cannot
                writer.write_eof()
            else:
                writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        if tls_of_postgresql is not None:
            assert await reader.readexactly(8) == SSL_REQUEST
            writer.write(b"S")
            await writer.start_tls(tls_of_postgresql)
        there_reader, there_writer = await asyncio.open_unix_connection(database.path)
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))
        for each in (writer, there_writer):
            each.close()
            with suppress(OSError):
                await each.wait_closed()

    async with await asyncio.start_server(take, place.server, database.port):
        yield
        await asyncio.gather(*filter(None, tasks))


def _program(name: str, folders: Sequence[Any], package: str) -> str:
    found = shutil.which(name, path=os.pathsep.join(map(str, folders)))
    if found is None:
        pytest.fail(f"{name} is not installed: sudo apt-get install {package}", pytrace=False)
    return found


@contextmanager
def _directory() -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """A directory, and how subprocess is told of the user that it belongs to, who is not root."""
    directory = Path(tempfile.mkdtemp(prefix="tapstack-"))
    as_user: Mapping[str, Any] = {}
    if os.geteuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
        as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    try:
        yield directory, as_user
    finally:
        shutil.rmtree(directory)


@contextmanager
def _running(command: Sequence[str], directory: Path, as_user: Mapping[str, Any], path: Path) -> Iterator[None]:
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **as_user
        )
    try:
        wait_for(lambda: path.exists() or process.poll() is not None, command[0])
        assert process.poll() is None, (directory / "log").read_text()
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait()


async def _splice(address: str, path: str, port: str) -> None:
    async with spliced(Place(address, ""), Database(Path(path), int(port))):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_splice(*sys.argv[1:]))
