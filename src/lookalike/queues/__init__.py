"""Queues of orders to index pictures, on record until each is done or dead with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.orders import JobFeed
from lookalike.places import Address, Place

if TYPE_CHECKING:
    from lookalike.queues.postgres import PostgresQueue
    from lookalike.queues.sqlite import SqliteQueue


def open_queue(place: Place) -> PostgresQueue | SqliteQueue:
    """The queue of the index at this place; see `.postgres` and `.sqlite`."""
    if isinstance(place, Address):
        from lookalike.queues import postgres

        return postgres.open_queue(place)
    from lookalike.queues import sqlite

    return sqlite.open_queue(place.expanduser())


def open_feed(place: Place) -> JobFeed:
    """The working half of the queue of the index at this place."""
    if isinstance(place, Address):
        from lookalike.queues import postgres

        return postgres.open_feed(place)
    from lookalike.queues import sqlite

    return sqlite.open_feed(place.expanduser())
