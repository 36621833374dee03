"""Items that a fill had to leave behind in another space: how the ledger of the store that lacks them says so.

Twice: as a failure of the picture, so that an ingest tries that again; and by a mark under a name of the item's own,
which alone says whether it is still behind, since its picture may have moved, or be that of several items. Whoever
writes the item, or deletes it, takes the mark away.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from lookalike.ports import Ledger
from lookalike.sql import statements
from lookalike.types import Item, LedgerEntry, Outcome

LEFT_BEHIND = "left behind"
"""The stamp of such entries; no source gives it."""

MARK = "left-behind:"
"""What the name of a mark begins with; then comes the item's id."""

_SQL = statements("lookalike.store", "ledger.sql")


def left_behind(ledger: Ledger) -> Iterator[Item]:
    """The items that a store lacks, as they were when they were left behind, by (project, id)."""
    return _items(ledger.under(None, MARK))


def those_behind(ledger: Ledger, items: Iterable[Item]) -> Iterator[Item]:
    """Those of these items, in order of project, that a store lacks, as they were when they were left behind."""
    for project, group in groupby(items, lambda item: item.project):
        yield from _items(ledger.known(project, [f"{MARK}{item.id}" for item in group]).values())


def left_by_earlier(ledger: Ledger, items: Iterable[Item]) -> set[tuple[str, str]]:
    """The keys of those, in order of project, of which earlier versions said less: that the picture was left behind."""
    found: set[tuple[str, str]] = set()
    for project, group in groupby(items, lambda item: item.project):
        names = [name for item in group for name in (f"{MARK}{item.id}", place_of(item))]
        entries = ledger.known(project, names).values()
        found.update((project, entry.item_id) for entry in entries if entry.stamp == LEFT_BEHIND)
    return found


def entries_of(item: Item, reason: str) -> Iterator[LedgerEntry]:
    """What says that an item is left behind: of its picture, and of itself."""
    failure = LedgerEntry(
        project=item.project,
        item_id=item.id,
        uri=place_of(item),
        stamp=LEFT_BEHIND,
        outcome=Outcome.FAILED,
        content=item.content,
        reason=reason,
    )
    yield failure
    # No second failure to list; so its reason has room for what no other space may know any more.
    said = {"uri": item.uri, "caption": item.caption, "metadata": dict(item.metadata)}
    yield replace(failure, uri=f"{MARK}{item.id}", outcome=Outcome.UNCHANGED, reason=json.dumps(said))


def place_of(item: Item) -> str:
    """What its picture's entry is called by; one that was handed in as bytes has no place of its own."""
    return item.uri or item.id


def unmark(connection: sqlite3.Connection, keys: Iterable[tuple[str, str]]) -> int:
    """Take away what says that these items are left behind; how many were."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for project, item_id in keys:
        ids[project].append(item_id)
    n = 0
    for project in ids:
        if connection.execute(_SQL["any_marked"], (project,)).fetchone():  # rarely: then nothing more is asked
            n += sum(_unmark(connection, project, item_id) for item_id in ids[project])
    return n


def _unmark(connection: sqlite3.Connection, project: str, item_id: str) -> bool:
    row = connection.execute(_SQL["unmark"], (project, f"{MARK}{item_id}")).fetchone()
    if row is not None and row[0]:
        place = json.loads(row[0])["uri"] or item_id
        connection.execute(_SQL["forget_failure"], (project, place, item_id, LEFT_BEHIND))
    return row is not None


def _items(marks: Iterable[LedgerEntry]) -> Iterator[Item]:
    for mark in marks:
        if mark.reason:  # earlier versions did not say what the item is
            yield Item(project=mark.project, id=mark.item_id, content=mark.content, **json.loads(mark.reason))
