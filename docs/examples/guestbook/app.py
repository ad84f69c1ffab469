"""A guestbook: dynamic pages and a database beside static files, as in every tutorial, on a stack of its own.

tapstack serve app:app, in this directory. DATABASE_URL names the database: sqlite:///FILE, or postgresql://USER@HOST/NAME.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, func, insert, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

HERE = Path(__file__).parent
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
SHOWN = 50  # entries on the page
LONGEST_FORM = 8 << 10  # octets

metadata = MetaData()
entries = Table(
    "entries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(60), nullable=False),
    Column("message", String(500), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
templates = Jinja2Templates(HERE / "templates")


def open_database(url: str) -> AsyncEngine:
    """The database at `url`, by an asyncio driver."""
    parts = make_url(url)
    return create_async_engine(parts.set(drivername=DRIVERS.get(parts.drivername, parts.drivername)))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """Open the database when the server starts, close it when it stops."""
    database = open_database(os.environ.get("DATABASE_URL", "sqlite:///guestbook.sqlite"))
    try:
        async with database.begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield {"database": database}
    finally:
        await database.dispose()


async def page(request: Request, problem: str = "", name: str = "", message: str = "") -> Response:
    """The book, the latest entry first, and a form to write in it."""
    database: AsyncEngine = request.state.database
    async with database.connect() as connection:
        count = await connection.scalar(select(func.count()).select_from(entries))
        latest = await connection.execute(select(entries).order_by(entries.c.id.desc()).limit(SHOWN))
        context = {
            "count": count,
            "entries": latest.all(),
            "database": database.dialect.name,
            "client": request.client,
            "problem": problem,
            "name": name,
            "message": message,
        }
    return templates.TemplateResponse(request, "page.html", context, status_code=400 if problem else 200)


async def sign(request: Request) -> Response:
    """Write an entry, then show the page by a redirect: loading that again writes nothing (RFC 9110 15.4.4)."""
    form = await read_form(request)
    name, message = form.get("name", "").strip(), form.get("message", "").strip()
    if not name or not message:
        return await page(request, "A name and a few words, please.", name, message)
    if len(name) > entries.c.name.type.length or len(message) > entries.c.message.type.length:
        return await page(request, "That is too long for one entry.", name, message)
    database: AsyncEngine = request.state.database
    async with database.begin() as connection:
        await connection.execute(insert(entries).values(name=name, message=message, at=datetime.now(UTC)))
    return RedirectResponse("/", status_code=303)


async def read_form(request: Request) -> dict[str, str]:
    """The fields of an HTML form. Raises HTTPException when it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM:
            raise HTTPException(413)
    return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=10))


app = Starlette(
    routes=[
        Route("/", page, methods=["GET"]),
        Route("/", sign, methods=["POST"]),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ],
    lifespan=lifespan,
)
