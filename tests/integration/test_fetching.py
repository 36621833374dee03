"""Pictures by URL for one request: several at once, and together no more bytes than one may have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from threading import Barrier

import pytest
from starlette.types import Message

from lookalike.errors import LookalikeError, Overloaded, TooLarge, Unavailable
from lookalike.http.body import BODIES_IN_MEMORY, Body, Load
from lookalike.http.fetching import Fetcher
from lookalike.http.inputs import FETCHES_AT_ONCE, Fetch, pictures
from lookalike.http.schemas import Picture
from lookalike.sources.url import UrlPolicy, UrlReader
from tests.integration.picture_server import Behaviour, Handler, PictureServer

PATIENCE_S = 20.0
MAX_BYTES = 1000


def sends(n_bytes: int, *, of: int | None = None, after: Barrier | None = None) -> Behaviour:
    """A picture of so many bytes; `of` is the length that is announced, `after` is whom it waits for before it goes."""

    def behaviour(handler: Handler) -> None:
        if after is not None:
            after.wait(PATIENCE_S)
        length = {} if of is None else {"Content-Length": str(of)}
        handler.answer(200, {"Content-Type": "image/png", **length}, b"x" * n_bytes)

    return behaviour


def fetched(
    server: PictureServer,
    work: Callable[[Fetch], Coroutine[None, None, None]],
    *,
    hold: Callable[[int], None] = lambda _: None,
) -> None:
    """Run `work` with what reads the pictures of one request."""
    fetcher = Fetcher(
        UrlReader(UrlPolicy(ports=frozenset({server.port}), is_allowed=lambda _: True)), max_bytes=MAX_BYTES
    )
    asyncio.run(work(fetcher.within(time.monotonic() + PATIENCE_S, hold=hold)))
    fetcher.close()


@pytest.mark.parametrize(("announced", "n_whole"), [(900, {1}), (None, {0, 1})])
def test_pictures_that_come_at_once_share_the_limit(announced: int | None, n_whole: set[int]) -> None:
    """However many are on their way when the first is here, no more comes than one request may have."""
    found: Sequence[bytes | LookalikeError] = ()

    async def work(fetch: Fetch) -> None:
        nonlocal found
        several = [Picture(url=f"http://127.0.0.1:{server.port}/") for _ in range(FETCHES_AT_ONCE)]
        found = await pictures(several, [""] * len(several), fetch)

    with PictureServer({"/": sends(900, of=announced, after=Barrier(FETCHES_AT_ONCE))}) as server:
        fetched(server, work)
    whole = [len(picture) for picture in found if isinstance(picture, bytes)]
    assert len(whole) in n_whole
    assert sum(whole) <= MAX_BYTES
    assert {type(error) for error in found if not isinstance(error, bytes)} == {TooLarge}


def test_what_could_not_be_read_leaves_its_room() -> None:
    """A picture that breaks off, or is too large by itself, takes nothing from the next one."""

    async def work(fetch: Fetch) -> None:
        url = f"http://127.0.0.1:{server.port}"
        with pytest.raises(Unavailable):
            await fetch(f"{url}/broken")
        with pytest.raises(TooLarge):
            await fetch(f"{url}/large")
        assert len(await fetch(f"{url}/whole")) == MAX_BYTES
        with pytest.raises(TooLarge, match="other URLs"):
            await fetch(f"{url}/never asked")

    with PictureServer(
        {"/broken": sends(10, of=900), "/large": sends(MAX_BYTES + 1), "/whole": sends(MAX_BYTES)}
    ) as server:
        fetched(server, work)
    assert "/never%20asked" not in server.seen


def test_the_pictures_of_all_requests_share_what_bodies_may_have() -> None:
    """What another request holds leaves no room, until that is answered; the service says so, and asks for patience."""
    load = Load(max_requests=2, max_body_bytes=MAX_BYTES)
    other, own = (Body(never, load, max_bytes=MAX_BYTES, timeout_s=PATIENCE_S) for _ in range(2))
    other.hold(BODIES_IN_MEMORY * MAX_BYTES - 899)

    async def work(fetch: Fetch) -> None:
        url = f"http://127.0.0.1:{server.port}/"
        with pytest.raises(Overloaded, match="other requests"):
            await fetch(url)
        assert own.n_bytes == 0
        load.leave(other.n_bytes)
        assert len(await fetch(url)) == own.n_bytes == 900

    with PictureServer({"/": sends(900)}) as server:
        fetched(server, work, hold=own.hold)


async def never() -> Message:
    raise AssertionError("nothing is received")
