"""The client for programs that run on asyncio: each call runs in a thread and ends by its own deadline."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from lookalike import client

P = ParamSpec("P")
T = TypeVar("T")
Blocking = Callable[Concatenate[client.Client, P], T]


def _in_a_thread(method: Blocking[P, T]) -> Callable[Concatenate[Client, P], Coroutine[Any, Any, T]]:
    @functools.wraps(method)
    async def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(method, self.blocking, *args, **kwargs)

    return call


class Client:
    """`lookalike.Client` with methods to await; close it, or use it in an `async with` statement.

    Attributes:
        blocking: The client that does the work.
    """

    def __init__(self, base_url: str, **options: Any) -> None:
        self.blocking = client.Client(base_url, **options)

    embed_image = _in_a_thread(client.Client.embed_image)
    embed_images = _in_a_thread(client.Client.embed_images)
    embed_text = _in_a_thread(client.Client.embed_text)
    embed_texts = _in_a_thread(client.Client.embed_texts)
    search = _in_a_thread(client.Client.search)
    find = _in_a_thread(client.Client.find)
    item = _in_a_thread(client.Client.item)
    picture = _in_a_thread(client.Client.picture)
    thumbnail = _in_a_thread(client.Client.thumbnail)
    add_items = _in_a_thread(client.Client.add_items)
    job = _in_a_thread(client.Client.job)
    ready = _in_a_thread(client.Client.ready)

    def close(self) -> None:
        """Close the connections."""
        self.blocking.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
