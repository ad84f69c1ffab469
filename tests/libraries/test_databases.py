"""asyncpg and redis.asyncio, and the real PostgreSQL and Redis at the other end."""

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import redis.asyncio

from tests.libraries import databases
from tests.libraries.conftest import Certificates, Link
from tests.libraries.databases import PASSWORD, USER, Database, spliced
from tests.libraries.links import SERVER_NAME, Place

pytestmark = pytest.mark.libraries


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Database]:
    with databases.postgresql() as running:
        yield running


@pytest.fixture(scope="module")
def a_redis() -> Iterator[Database]:
    with databases.redis() as running:
        yield running


def of_postgresql(place: Place) -> dict[str, Any]:
    return {"host": SERVER_NAME, "user": USER, "password": PASSWORD, "database": "postgres", "ssl": False}


def test_asyncpg_with_queries_copies_and_notifications(paced_link: Link, postgresql: Database) -> None:
    rows = [(number, f"the entry {number} " * 20) for number in range(5_000)]

    async def use(place: Place, served: None) -> None:
        connection = await asyncpg.connect(**of_postgresql(place))
        await connection.execute("CREATE TEMPORARY TABLE entries (id int, content text)")
        await connection.copy_records_to_table("entries", records=rows)
        assert await connection.fetchval("SELECT sum(id) FROM entries") == sum(range(5_000))
        assert [tuple(row) for row in await connection.fetch("SELECT * FROM entries ORDER BY id")] == rows
        await connection.executemany("DELETE FROM entries WHERE id = $1", [(number,) for number in range(1000)])
        assert await connection.fetchval("SELECT count(*) FROM entries") == 4_000
        heard = asyncio.get_running_loop().create_future()
        await connection.add_listener("news", lambda *told: heard.set_result(told[-1]))
        await connection.execute("NOTIFY news, 'hello'")
        assert await heard == "hello"
        await connection.close()

    assert paced_link.run(functools.partial(spliced, database=postgresql), use).connections == 1


def test_asyncpg_with_a_pool_and_a_query_that_is_given_up(paced_link: Link, postgresql: Database) -> None:
    async def use(place: Place, served: None) -> None:
        async with asyncpg.create_pool(**of_postgresql(place), min_size=5, max_size=5) as pool:
            asked = (pool.fetchval("SELECT $1::int * 2", number) for number in range(100))
            assert await asyncio.gather(*asked) == [2 * number for number in range(100)]
            async with pool.acquire() as connection:
                with pytest.raises(TimeoutError):  # the server is asked to give it up, on a connection of its own
                    await connection.fetchval("SELECT pg_sleep(60)", timeout=0.2)
                with pytest.raises(asyncpg.DivisionByZeroError):
                    async with connection.transaction():
                        await connection.execute("SELECT 1 / 0")
                assert await connection.fetchval("SELECT 7") == 7

    assert paced_link.run(functools.partial(spliced, database=postgresql), use).connections == 6


def test_asyncpg_over_tls(paced_link: Link, postgresql: Database, certificates: Certificates) -> None:
    async def use(place: Place, served: None) -> None:
        options = of_postgresql(place) | {"ssl": certificates.client_context()}
        async with asyncpg.create_pool(**options, min_size=3, max_size=3) as pool:
            asked = (pool.fetchval("SELECT repeat('abc', $1)", 100_000) for _ in range(6))
            assert set(await asyncio.gather(*asked)) == {"abc" * 100_000}

    serve = functools.partial(spliced, database=postgresql, tls_of_postgresql=certificates.server_context())
    assert paced_link.run(serve, use).connections == 3


def test_redis(paced_link: Link, a_redis: Database) -> None:
    async def use(place: Place, served: None) -> None:
        async with redis.asyncio.Redis(host=SERVER_NAME, password=PASSWORD) as client:
            await client.flushall()
            content = bytes(range(256)) * 4096
            await client.set("content", content)
            assert await client.get("content") == content
            async with client.pipeline() as pipeline:
                for _ in range(1000):
                    pipeline.incr("count")
                assert await pipeline.execute() == list(range(1, 1001))
            counted = await asyncio.gather(*(client.incr("count") for _ in range(10)))
            assert sorted(counted) == list(range(1001, 1011))
            assert await client.blpop("queue", timeout=0.1) is None
            async with client.pubsub() as heard:
                await heard.subscribe("news")
                await client.publish("news", "hello")
                told = [message async for message in _first(heard, 2)]
                assert [(each["type"], each["data"]) for each in told] == [("subscribe", 1), ("message", b"hello")]

    paced_link.run(functools.partial(spliced, database=a_redis), use)


async def _first(heard: Any, count: int) -> Any:
    async for message in heard.listen():
        yield message
        count -= 1
        if not count:
            return
