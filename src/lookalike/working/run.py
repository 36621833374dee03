"""A worker: takes orders from a queue and does them, until it is told to stop."""

from __future__ import annotations

from threading import Event

from lookalike.errors import StoreSwitched
from lookalike.orders import Claim, JobFeed, Order
from lookalike.working.indexing import Indexer, Workplace


def run_feed(feed: JobFeed, place: Workplace, *, concurrency: int, stopping: Event) -> bool:
    """Do orders until told to stop, then finish those that were begun.

    Args:
        feed: Hands out orders.
        place: What they are done with.
        concurrency: How many are done at the same time; several fill the model's batches.
        stopping: Set when it shall end.

    Returns:
        Whether it ended by itself, as the index was switched to another space: what is done with has to be opened
        anew, and the orders that met with it wait.
    """
    index = Indexer(place, held=feed.held)
    ending = _Either(stopping)

    def do(order: Order, claim: Claim) -> None:
        try:
            index(order, claim)
        except StoreSwitched:
            ending.set()
            raise

    feed.work(do, concurrency=concurrency, stopping=ending)
    return not stopping.is_set()


class _Either(Event):
    """Set when it is, or another one."""

    def __init__(self, other: Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """Whether one of them is."""
        return super().is_set() or self._other.is_set()
