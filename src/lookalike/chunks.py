"""Long sequences in pieces, and pieces worked on side by side."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")


def chunked(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Lists of at most `size` values."""
    iterator = iter(values)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def in_window(
    pool: ThreadPoolExecutor, work: Callable[[Value], Result], values: Iterable[Value], *, ahead: int
) -> Iterator[Result]:
    """`work` done with each value in the pool's threads; results in order, at most `ahead` begun but not taken."""
    running: deque[Future[Result]] = deque()
    for value in values:
        running.append(pool.submit(work, value))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()
