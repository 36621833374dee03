"""What of a source is new, changed or gone, and how each of its objects ends: for an ingest, and for its dry run."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from lookalike.chunks import chunked
from lookalike.errors import InputError
from lookalike.facts import facts_of
from lookalike.ports import Ledger, Source
from lookalike.search import Searchable
from lookalike.types import Filter, Item, LedgerEntry, Outcome, SourceObject

LOOKUP_SIZE = 512
"""Objects whose ledger entries are asked for together."""

ASKING = 16
"""Objects that the source is asked for at the same time, whether they are gone: those of a bucket are waited for."""

Before = Sequence[tuple[str, Item | None]]
"""For each object the id of its item, and the item that there is."""


class Known(Protocol):
    """What there is before a run."""

    @property
    def store(self) -> Searchable:
        """The items."""
        ...

    @property
    def ledger(self) -> Ledger:
        """What became of each object."""
        ...

    @property
    def project(self) -> str:
        """The project of objects that do not say theirs."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """An object after reading: its bytes, their sha256 and what they say of themselves, or why there are none."""

    obj: SourceObject
    content: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    data: bytes = field(default=b"", repr=False)
    reason: str = ""


def read_object(source: Source, obj: SourceObject, max_bytes: int) -> Picture:
    """Read and hash; an object that cannot be read is returned with the reason."""
    try:
        if obj.problem:
            raise InputError(obj.problem, item=obj.uri)
        data = source.read(obj, max_bytes=max_bytes)
    except InputError as error:
        return Picture(obj, reason=error.reason)
    return Picture(replace(obj, n_bytes=len(data)), hashlib.sha256(data).hexdigest(), facts_of(data), data)


def project_of(obj: SourceObject, known: Known) -> str:
    """The project that an object belongs to: its own if it says so, else that of the run."""
    return (obj.order and obj.order.project) or known.project


def changed(
    source: Source, known: Known, seen: set[int], on_unchanged: Callable[[int], None]
) -> Iterator[SourceObject]:
    """The objects of a source that are not stored as they are now; adds the hash of each one's name to `seen`."""
    for batch in chunked(source.objects(), LOOKUP_SIZE):
        entries = _entries(known, batch)
        seen.update(_hash(project_of(obj, known), obj.uri) for obj in batch)
        fresh = [obj for obj, entry in zip(batch, entries, strict=True) if not _is_unchanged(obj, entry)]
        if len(fresh) < len(batch):
            fresh = _with_missing(batch, fresh, known)
        if len(fresh) < len(batch):
            on_unchanged(len(batch) - len(fresh))
        yield from fresh


def known_items(known: Known, pictures: Sequence[Picture]) -> Before:
    """What the objects are until now; an item that was imported, or that a table knows, has an id of its own."""
    objects = [picture.obj for picture in pictures]
    ids = [
        obj.order.id if obj.order else entry.item_id if entry else obj.uri
        for obj, entry in zip(objects, _entries(known, objects), strict=True)
    ]
    keys = [(project_of(obj, known), item_id) for obj, item_id in zip(objects, ids, strict=True)]
    return list(zip(ids, known.store.get(keys), strict=True))


def decided(picture: Picture, before: Item | None, reason: str, new: set[str]) -> Outcome:
    """How an object ends.

    Args:
        picture: The object, read.
        before: The item that it was until now.
        reason: Why it fails; empty if it does not.
        new: Contents that are embedded for the first time and have no item yet; the picture's is taken out.
    """
    if reason:
        return Outcome.FAILED
    if before is not None and before.content == picture.content:
        return Outcome.UNCHANGED  # touched, or stored by a run that was killed before it told
    if picture.content in new:
        new.discard(picture.content)  # the next one with these bytes is the duplicate
        return Outcome.STORED
    return Outcome.DUPLICATE


def gone(
    source: Source, known: Known, seen: set[int], warn: Callable[[str], None]
) -> tuple[list[LedgerEntry], list[Item]]:
    """What the ledger knows below a source that is not there any more, and the items that go with it.

    A listing does not tell alone: others may have stored an object after it passed by, and it passes over what is there
    but hidden, or promises no picture. So the source is asked again for each. An item that lies elsewhere by now stays,
    and so does everything where the source is unsure.

    Args:
        source: Listed to its end.
        known: What there is; of the run's project, or of all, where the source says whose its objects are.
        seen: Hashes of what was listed; see `changed`.
        warn: Told a sentence for each place that is unsure and holds items.
    """
    if not source.prefix.endswith("/"):  # a single file: there is nothing below it
        return [], []
    kept: Counter[str] = Counter()
    pairs = list(_not_there(source, known, _not_listed(source, known, seen, kept)))
    for place, count in kept.items():
        warn(
            f"{place} shows no pictures now, and {count} are indexed from it: kept them, in case its drive is not "
            f"mounted, or it cannot be listed. If they are gone for good: lookalike forget {place}"
        )
    items = [item for _, item in pairs if item is not None]
    return [entry for entry, _ in pairs], items if source.names_items else _lying_beside(items, known)


def _not_there(
    source: Source, known: Known, entries: Iterable[LedgerEntry]
) -> Iterator[tuple[LedgerEntry, Item | None]]:
    """Those of these entries whose object is not there, with their items; those without an item in any case."""
    with ThreadPoolExecutor(ASKING, thread_name_prefix="asking") as pool:
        for batch in chunked(entries, LOOKUP_SIZE):
            items = known.store.get([(entry.project, entry.item_id) for entry in batch])
            pairs = [(entry, _lying_at(entry, item, source)) for entry, item in zip(batch, items, strict=True)]
            yield from ((entry, None) for entry, item in pairs if item is None)
            with_item = [pair for pair in pairs if pair[1] is not None]
            is_there = pool.map(source.has, [entry for entry, _ in with_item])
            yield from (pair for pair, still in zip(with_item, is_there, strict=True) if not still)


def _lying_beside(items: Sequence[Item], known: Known) -> list[Item]:
    """These items, and the others of the same files, of which the ledger knows nothing: it has one entry for a file."""
    places = {(item.project, item.uri) for item in items}
    projects = dict.fromkeys(item.project for item in items)
    # A walk over everything, since no store finds items by their place; it takes no longer than the listing did.
    everything = (item for project in projects for item in known.store.items(Filter(project=project)))
    return [item for item in everything if (item.project, item.uri) in places]


def _not_listed(source: Source, known: Known, seen: set[int], kept: Counter[str]) -> Iterator[LedgerEntry]:
    """The entries below a source that its listing did not show; counts those of places that it is unsure of."""
    unsure = tuple(source.unsure())
    for entry in known.ledger.under(None if source.names_projects else known.project, source.prefix):
        if _hash(entry.project, entry.uri) in seen:
            continue
        place = next((prefix for prefix in unsure if entry.uri.startswith(prefix)), None)
        if place is None:
            yield entry
        elif entry.outcome is not Outcome.FAILED:  # what failed is no item
            kept[place] += 1


def _lying_at(entry: LedgerEntry, item: Item | None, source: Source) -> Item | None:
    """The item of an entry, unless it has come to lie elsewhere: its id was given to another picture since."""
    return item if item is not None and (source.names_items or item.uri == entry.uri) else None


def _entries(known: Known, objects: Sequence[SourceObject]) -> list[LedgerEntry | None]:
    """What the ledger has of these objects, in order."""
    uris: defaultdict[str, list[str]] = defaultdict(list)
    for obj in objects:
        uris[project_of(obj, known)].append(obj.uri)
    found = {project: known.ledger.known(project, names) for project, names in uris.items()}
    return [found[project_of(obj, known)].get(obj.uri) for obj in objects]


def _with_missing(batch: Sequence[SourceObject], fresh: list[SourceObject], known: Known) -> list[SourceObject]:
    """And those of a table whose item is not there any more: by its uri the ledger could not be told that it went."""
    ordered = [obj for obj in batch if obj.order is not None]
    items = known.store.get([(project_of(obj, known), obj.order.id) for obj in ordered if obj.order])
    missing = {obj.uri for obj, item in zip(ordered, items, strict=True) if item is None}
    kept = {obj.uri for obj in fresh} | missing
    return [obj for obj in batch if obj.uri in kept] if missing else fresh


def _hash(project: str, uri: str) -> int:
    return hash((project, uri))


def _is_unchanged(obj: SourceObject, entry: LedgerEntry | None) -> bool:
    return entry is not None and entry.outcome is not Outcome.FAILED and bool(obj.stamp) and entry.stamp == obj.stamp
