"""Blocking work beside the event loop: a few threads of one kind, a bounded queue, a deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from lookalike.errors import DeadlineExceeded, Overloaded

Result = TypeVar("Result")


class Threads:
    """Threads for one kind of work.

    Args:
        name: What they do, for messages: "searches".
        n_threads: How many.
        max_waiting: How much work may wait for one of them.
    """

    def __init__(self, name: str, *, n_threads: int, max_waiting: int = 64) -> None:
        self._name = name
        self._room = threading.Semaphore(n_threads + max_waiting)
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix=f"lookalike-{name}")

    async def run(
        self, work: Callable[[], Result], *, until: float, unheard: Callable[[Result], None] | None = None
    ) -> Result:
        """The result of a function, computed in one of the threads.

        What has not begun when its time is over, or when its caller has gone, is dropped; what has begun goes on
        unheard.

        Args:
            work: What to do.
            until: When the result is worth nothing any more, on time.monotonic().
            unheard: Is given a result that nobody waits for any more, in whatever thread: to close what is open.

        Raises:
            Overloaded: Too much is waiting.
            DeadlineExceeded: The time is over.
        """
        if not self._room.acquire(blocking=False):
            raise Overloaded(f"Too many {self._name} are waiting already: ask again shortly.", retry_after_s=1)
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self._room.release())
        is_heard = False
        try:
            async with asyncio.timeout(until - time.monotonic()):
                result = await asyncio.wrap_future(future)
                is_heard = True
                return result
        except TimeoutError as error:
            raise DeadlineExceeded(f"The request's time was over before its turn among the {self._name}.") from error
        finally:
            if unheard is not None and not is_heard:
                future.add_done_callback(partial(_hand_over, unheard))

    def close(self) -> None:
        """Take no more work, and drop what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _hand_over(take: Callable[[Result], None], future: Future[Result]) -> None:
    if not future.cancelled() and future.exception() is None:
        take(future.result())
