"""A thread that looks out for new orders while a worker works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def beside(look: Callable[[Event], None]) -> Iterator[None]:
    """Run this in a thread of its own while the block runs; it returns soon after the event is set."""
    over = Event()
    thread = Thread(target=look, args=(over,), name="jobs-listen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
