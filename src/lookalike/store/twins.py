"""Two stores of one index that hold the same items in two spaces: what the one has that the other does not.

An item whose picture could not be read stays behind. The ledger of the store that lacks it says so twice: as a failure
of its picture, so that an ingest tries that again; and under a name of the item's own, since several items may have one
picture, so that nobody takes it for one that was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from lookalike.chunks import chunked
from lookalike.ports import Ledger
from lookalike.store.embedded import EmbeddedStore
from lookalike.store.items import PAGE
from lookalike.types import Filter, Item, LedgerEntry, Outcome

LEFT_BEHIND = "left behind"
"""The stamp of such entries; no source gives it."""

MARK = "left-behind:"
"""What the name of an item's own entry begins with; then comes its id."""

Key = tuple[str, str]
"""(project, id)."""


def differences(source: EmbeddedStore, target: EmbeddedStore) -> Iterator[tuple[Item | None, Item | None]]:
    """What the source and the target have of every key of which they have not the same, in order; None for nothing.

    Both are walked side by side, in their order, which is the same: no key is looked up.
    """
    ours, theirs = source.items(Filter()), target.items(Filter())
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None or other is not None:
        is_mine = other is None or (mine is not None and _key(mine) <= _key(other))
        is_other = mine is None or (other is not None and _key(other) <= _key(mine))
        if not (is_mine and is_other) or mine != other:
            yield mine if is_mine else None, other if is_other else None
        mine = next(ours, None) if is_mine else mine
        other = next(theirs, None) if is_other else other


def count_differences(source: EmbeddedStore, target: EmbeddedStore) -> int:
    """How many items would have to be brought over, or removed, to make the two hold the same."""
    n = 0
    for pairs in chunked(differences(source, target), PAGE):
        n += sum(mine is not None for mine, _ in pairs) + len(_gone(source, pairs))
    return n


def bring_over(source: EmbeddedStore, target: EmbeddedStore, reasons: Mapping[str, str]) -> int:
    """Make the target hold what the source holds, as far as it has the vectors; how many items stay behind.

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
        # One that was there as another picture must not go on being found by what it was.
        target.delete([*_gone(source, pairs), *map(_key, left)])
        told = _left_behind(target.ledger, left)  # and maybe why
        news = [item for item in left if item.content in reasons or _key(item) not in told]
        target.ledger.record(entry for item in news for entry in _entries(item, reasons))
        behind.update(map(_key, left))
    _bring_ledger(source.ledger, target.ledger, behind)
    return len(behind)


def _key(item: Item) -> Key:
    return item.project, item.id


def _gone(source: EmbeddedStore, pairs: Iterable[tuple[Item | None, Item | None]]) -> list[Key]:
    """Those that the target alone has, but for what a fill of the source had to leave behind."""
    lost = [other for mine, other in pairs if mine is None and other is not None]
    behind = _left_behind(source.ledger, lost)
    return [_key(item) for item in lost if _key(item) not in behind]


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
    """Those of these items, in order of project, that a fill had to leave behind, and that did not come since.

    The mark of one that came stays. Then its picture is on record as that item's, or, if it was deleted afterwards, not
    at all.
    """
    behind: set[Key] = set()
    for project, group in groupby(items, lambda item: item.project):
        some = list(group)
        marks = ledger.known(project, [f"{MARK}{item.id}" for item in some])
        pictures = ledger.known(project, [_place(item) for item in some])
        for item in some:
            entry, is_marked = pictures.get(_place(item)), f"{MARK}{item.id}" in marks
            if entry is None:
                continue
            is_own = entry.item_id == item.id
            # The first versions marked none.
            if (is_own and entry.stamp == LEFT_BEHIND) or (
                is_marked and (entry.outcome is Outcome.FAILED or not is_own)
            ):
                behind.add(_key(item))
    return behind


def _entries(item: Item, reasons: Mapping[str, str]) -> Iterator[LedgerEntry]:
    """What says that an item stays behind: of its picture, and of itself."""
    failure = LedgerEntry(
        project=item.project,
        item_id=item.id,
        uri=_place(item),
        stamp=LEFT_BEHIND,
        outcome=Outcome.FAILED,
        content=item.content,
        reason=reasons.get(item.content, "it has no vector in this space: fill it again, or index its picture."),
    )
    yield failure
    yield replace(failure, uri=f"{MARK}{item.id}", outcome=Outcome.UNCHANGED, reason="")  # no second failure to list


def _place(item: Item) -> str:
    """What its entry in a ledger is called by; one that was handed in as bytes has no place of its own."""
    return item.uri or item.id
