"""The client for programs that run on asyncio: each call runs in a thread of its own and ends by its own deadline.

Not in an executor: the loop's has a few threads for the whole program, and no program ends before such threads do.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import replace
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from lookalike import client
from lookalike.client.client import POLICY
from lookalike.errors import DeadlineExceeded
from lookalike.retry import LONGEST_S, RetryPolicy

P = ParamSpec("P")
T = TypeVar("T")
Blocking = Callable[Concatenate[client.Client, P], T]

_call: ContextVar[Future[Any]] = ContextVar("what becomes of the call that this thread makes")


def _in_a_thread(method: Blocking[P, T]) -> Callable[Concatenate[Client, P], Coroutine[Any, Any, T]]:
    @functools.wraps(method)
    async def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        timeout_s = cast("float | None", kwargs.get("timeout_s"))
        longest_s = min(LONGEST_S, self.blocking.timeout_s if timeout_s is None else timeout_s)
        made: Future[T] = Future()
        work = functools.partial(method, self.blocking, *args, **kwargs)
        make = functools.partial(copy_context().run, _make, made, work)
        threading.Thread(target=make, name="lookalike-call", daemon=True).start()
        try:
            async with asyncio.timeout(longest_s):
                return await asyncio.wrap_future(made)
        except TimeoutError as error:
            raise DeadlineExceeded(
                "The service did not answer in time: give the call more seconds (timeout_s) or less to do."
            ) from error

    return call


def _make(call: Future[T], work: Callable[[], T]) -> None:
    _call.set(call)
    with suppress(InvalidStateError):  # nobody waits for it any more
        try:
            call.set_result(work())
        except BaseException as error:
            call.set_exception(error)


def _heeding(clock: Callable[[], float]) -> Callable[[], float]:
    """The clock, which ends a call that nobody waits for any more: the client looks at it before every step."""

    def now_s() -> float:
        if (call := _call.get(None)) is not None and call.cancelled():
            raise CancelledError
        return clock()

    return now_s


class Client:
    """`lookalike.Client` with methods to await; close it, or use it in an `async with` statement.

    Each call has a thread and a connection for as long as it lasts: start no more at once than you want of these. One
    that is cancelled asks for nothing more.

    Attributes:
        blocking: The client that does the work.
    """

    def __init__(self, base_url: str, *, policy: RetryPolicy = POLICY, **options: Any) -> None:
        policy = replace(policy, clock=_heeding(policy.clock))
        self.blocking = client.Client(base_url, policy=policy, **options)

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
