"""Two stores of one index that hold the same items in two spaces: what the one has that the other does not.

An item whose picture could not be read stays behind. The ledger of the store that lacks it says so, as a failure with
a stamp of its own, so that an ingest tries its object again and nobody takes it for one that was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from lookalike.chunks import chunked
from lookalike.ports import Ledger
from lookalike.store.embedded import EmbeddedStore
from lookalike.store.items import PAGE
from lookalike.types import Filter, Item, LedgerEntry, Outcome

LEFT_BEHIND = "left behind"
"""The stamp of such an entry; no source gives it."""

Key = tuple[str, str]
"""(project, id)."""


def news(source: EmbeddedStore, target: EmbeddedStore) -> Iterator[list[Item]]:
    """The items that the target has not, or not as they are in the source; page by page."""
    for items in chunked(source.items(Filter()), PAGE):
        there = target.get([(item.project, item.id) for item in items])
        yield [item for item, old in zip(items, there, strict=True) if item != old]


def gone(source: EmbeddedStore, target: EmbeddedStore) -> Iterator[list[Key]]:
    """The items that the target has and the source has not any more; page by page."""
    for items in chunked(target.items(Filter()), PAGE):
        there = source.get([(item.project, item.id) for item in items])
        lost = [item for item, found in zip(items, there, strict=True) if found is None]
        behind = _left_behind(source.ledger, lost)
        yield [(item.project, item.id) for item in lost if (item.project, item.id) not in behind]


def count_differences(source: EmbeddedStore, target: EmbeddedStore) -> int:
    """How many items would have to be brought over, or removed, to make the two hold the same."""
    return sum(map(len, news(source, target))) + sum(map(len, gone(source, target)))


def bring_over(source: EmbeddedStore, target: EmbeddedStore, reasons: Mapping[str, str]) -> int:
    """Make the target hold what the source holds, as far as it has the vectors; how many items stay behind.

    Args:
        source: Only read.
        target: Open for writing.
        reasons: Why a content has no vector there, where that is known.
    """
    behind: set[Key] = set()
    for items in news(source, target):
        _, stored = target.vectors(list({item.content for item in items}))
        known = set(stored)
        ready = [item for item in items if item.content in known]
        left = [item for item in items if item.content not in known]
        if ready:
            target.add(ready, [], np.empty((0, target.space.dim), np.float32))
        if left:
            # One that was there as another picture must not go on being found by what it was.
            target.delete([(item.project, item.id) for item in left])
            target.ledger.record(_failure(item, reasons) for item in left)
            behind.update((item.project, item.id) for item in left)
    for keys in gone(source, target):
        target.delete(keys)
    _bring_ledger(source.ledger, target.ledger, behind)
    return len(behind)


def _bring_ledger(source: Ledger, target: Ledger, behind: set[Key]) -> None:
    for entries in chunked(source.under(None, ""), PAGE):
        wanted = [entry for entry in entries if (entry.project, entry.item_id) not in behind]
        wanted = [entry for entry in wanted if entry.stamp != LEFT_BEHIND]
        known = _known(target, wanted)
        target.record(entry for entry in wanted if known.get((entry.project, entry.uri)) != entry)
    for entries in chunked(target.under(None, ""), PAGE):
        known = _known(source, entries)
        lost = [entry for entry in entries if (entry.project, entry.uri) not in known]
        lost = [entry for entry in lost if (entry.project, entry.item_id) not in behind]
        for project, group in groupby(lost, lambda entry: entry.project):
            target.forget(project, [entry.uri for entry in group])


def _known(ledger: Ledger, entries: Iterable[LedgerEntry]) -> dict[Key, LedgerEntry]:
    """What a ledger says of the objects of these entries, which are in order of project; by (project, uri)."""
    return {
        (project, uri): entry
        for project, group in groupby(entries, lambda entry: entry.project)
        for uri, entry in ledger.known(project, [entry.uri for entry in group]).items()
    }


def _left_behind(ledger: Ledger, items: Sequence[Item]) -> set[Key]:
    """Those of these items, in order of project, that a fill had to leave behind."""
    return {
        (project, entry.item_id)
        for project, group in groupby(items, lambda item: item.project)
        for entry in ledger.known(project, [_place(item) for item in group]).values()
        if entry.stamp == LEFT_BEHIND
    }


def _failure(item: Item, reasons: Mapping[str, str]) -> LedgerEntry:
    return LedgerEntry(
        project=item.project,
        item_id=item.id,
        uri=_place(item),
        stamp=LEFT_BEHIND,
        outcome=Outcome.FAILED,
        content=item.content,
        reason=reasons.get(item.content, "it has no vector in this space yet: run `lookalike spaces fill`."),
    )


def _place(item: Item) -> str:
    """What its entry in a ledger is called by; one that was handed in as bytes has no place of its own."""
    return item.uri or item.id
