"""Two stores of one index that hold the same items in two spaces: what the one has that the other does not.

An item whose picture could not be read stays behind, and the store that lacks it says so (see `behind`): nobody takes
it for one that was deleted, whatever spaces the index is switched to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import groupby

import numpy as np

from lookalike.chunks import chunked
from lookalike.ports import Ledger
from lookalike.store.behind import LEFT_BEHIND, entries_of, left_behind, left_by_earlier, those_behind
from lookalike.store.embedded import EmbeddedStore
from lookalike.store.items import PAGE
from lookalike.types import Filter, Item, LedgerEntry

Key = tuple[str, str]
"""(project, id)."""


UNKNOWN = "it has no vector in this space: fill it again, or index its picture."
"""Why an item stays behind, where nobody tried to read its picture."""


def differences(source: EmbeddedStore, target: EmbeddedStore) -> Iterator[tuple[Item | None, Item | None]]:
    """What the source knows and the target has of every key of which that is not the same, in order; None for nothing.

    Both are walked side by side, in their order, which is the same: no key is looked up.
    """
    ours, theirs = _known_items(source), target.items(Filter())
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None or other is not None:
        is_mine = other is None or (mine is not None and _key(mine) <= _key(other))
        is_other = mine is None or (other is not None and _key(other) <= _key(mine))
        if not (is_mine and is_other) or mine != other:
            yield mine if is_mine else None, other if is_other else None
        mine = next(ours, None) if is_mine else mine
        other = next(theirs, None) if is_other else other


def count_differences(source: EmbeddedStore, target: EmbeddedStore) -> int:
    """How many items would have to be brought over, or removed, to make the target hold what the source knows."""
    n = 0
    for pairs in chunked(differences(source, target), PAGE):
        n += sum(mine is not None for mine, _ in pairs) + len(_gone(source, pairs))
    return n


def bring_over(source: EmbeddedStore, target: EmbeddedStore, reasons: Mapping[str, str]) -> int:
    """Make the target hold what the source knows, as far as it has the vectors; how many items stay behind.

    Args:
        source: Only read.
        target: Open for writing.
        reasons: Why a content has no vector there, where that is known.
    """
    behind: set[Key] = set()
    for pairs in chunked(differences(source, target), PAGE):
        items = [mine for mine, _ in pairs if mine is not None]
        _, stored = target.vectors(list({item.content for item in items}))
        known = set(stored)
        ready = [item for item in items if item.content in known]
        left = [item for item in items if item.content not in known]
        if ready:
            target.add(ready, [], np.empty((0, target.space.dim), np.float32))
        told = {_key(item): item for item in those_behind(target.ledger, left)}  # and maybe why
        news = [item for item in left if item.content in reasons or told.get(_key(item)) != item]
        # One that was there as another picture must not go on being found by what it was.
        target.delete([*_gone(source, pairs), *map(_key, news)])
        target.ledger.record(entry for item in news for entry in entries_of(item, reasons.get(item.content, UNKNOWN)))
        behind.update(map(_key, left))
    _bring_ledger(source.ledger, target.ledger, behind, behind.union(map(_key, left_behind(source.ledger))))
    return len(behind)


def _key(item: Item) -> Key:
    return item.project, item.id


def _known_items(store: EmbeddedStore) -> Iterator[Item]:
    """What the index holds as far as this space knows: its items, and those that it lacks, by key."""
    both = merge(store.items(Filter()), left_behind(store.ledger), key=_key)
    return (next(same) for _, same in groupby(both, key=_key))  # earlier versions left the marks of those that came


def _gone(source: EmbeddedStore, pairs: Iterable[tuple[Item | None, Item | None]]) -> list[Key]:
    """Those that the target alone has, but for what a fill of the source had to leave behind."""
    lost = [other for mine, other in pairs if mine is None and other is not None]
    kept = left_by_earlier(source.ledger, lost)
    return [_key(item) for item in lost if _key(item) not in kept]


def _bring_ledger(source: Ledger, target: Ledger, behind: set[Key], kept: set[Key]) -> None:
    """Make the one say what the other says, but of items that one of the two lacks."""
    for entries in chunked(source.under(None, ""), PAGE):
        wanted = [entry for entry in entries if (entry.project, entry.item_id) not in behind]
        wanted = [entry for entry in wanted if entry.stamp != LEFT_BEHIND]
        known = _known(target, wanted)
        target.record(entry for entry in wanted if known.get((entry.project, entry.uri)) != entry)
    for entries in chunked(target.under(None, ""), PAGE):
        known = _known(source, entries)
        lost = [entry for entry in entries if (entry.project, entry.uri) not in known]
        lost = [entry for entry in lost if (entry.project, entry.item_id) not in kept]
        for project, group in groupby(lost, lambda entry: entry.project):
            target.forget(project, [entry.uri for entry in group])


def _known(ledger: Ledger, entries: Iterable[LedgerEntry]) -> dict[Key, LedgerEntry]:
    """What a ledger says of the objects of these entries, which are in order of project; by (project, uri)."""
    return {
        (project, uri): entry
        for project, group in groupby(entries, lambda entry: entry.project)
        for uri, entry in ledger.known(project, [entry.uri for entry in group]).items()
    }
