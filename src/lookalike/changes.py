"""What of a source is new, changed or gone, and how each of its objects ends: for an ingest, and for its dry run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lookalike.chunks import chunked
from lookalike.errors import InputError
from lookalike.ports import Ledger, Source, VectorReader
from lookalike.types import Item, LedgerEntry, Outcome, SourceObject

LOOKUP_SIZE = 512
"""Objects whose ledger entries are asked for together."""

Before = Sequence[tuple[str, Item | None]]
"""For each object the id of its item, and the item that there is."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An object after reading: its bytes and their sha256, or why there are none."""

    obj: SourceObject
    content: str = ""
    data: bytes = field(default=b"", repr=False)
    reason: str = ""


def read_objects(source: Source, objects: Sequence[SourceObject], max_bytes: int) -> list[Picture]:
    """Read and hash; an object that cannot be read is returned with the reason."""
    pictures = []
    for obj in objects:
        try:
            if obj.problem:
                raise InputError(obj.problem, item=obj.uri)
            data = source.read(obj, max_bytes=max_bytes)
        except InputError as error:
            pictures.append(Picture(obj, reason=error.reason))
        else:
            pictures.append(Picture(obj, hashlib.sha256(data).hexdigest(), data))
    return pictures


def changed(
    source: Source, ledger: Ledger, project: str, seen: set[int], on_unchanged: Callable[[int], None]
) -> Iterator[SourceObject]:
    """The objects of a source that are not stored as they are now; adds the hash of every uri to `seen`."""
    for batch in chunked(source.objects(), LOOKUP_SIZE):
        known = ledger.known(project, [obj.uri for obj in batch])
        seen.update(hash(obj.uri) for obj in batch)
        fresh = [obj for obj in batch if not _is_unchanged(obj, known.get(obj.uri))]
        if len(fresh) < len(batch):
            on_unchanged(len(batch) - len(fresh))
        yield from fresh


def known_items(store: VectorReader, ledger: Ledger, project: str, pictures: Sequence[Picture]) -> Before:
    """What the objects are until now; an item that was imported has an id of its own."""
    uris = [picture.obj.uri for picture in pictures]
    known = ledger.known(project, uris)
    ids = [known[uri].item_id if uri in known else uri for uri in uris]
    return list(zip(ids, store.get([(project, item_id) for item_id in ids]), strict=True))


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
    source: Source, ledger: Ledger, project: str, seen: set[int], warn: Callable[[str], None]
) -> Iterator[LedgerEntry]:
    """What the ledger knows below a source that its last listing did not show, except where that is unsure.

    Args:
        source: Listed to its end.
        ledger: What is known.
        project: Of this project.
        seen: Hashes of the uris that were listed.
        warn: Told a sentence for each place that is unsure and holds items.
    """
    if not source.prefix.endswith("/"):  # a single file: there is nothing below it
        return
    unsure = tuple(source.unsure())
    kept: Counter[str] = Counter()
    for entry in ledger.under(project, source.prefix):
        if hash(entry.uri) in seen:
            continue
        place = next((prefix for prefix in unsure if entry.uri.startswith(prefix)), None)
        if place is None:
            yield entry
        else:
            kept[place] += 1
    for place, count in kept.items():
        warn(
            f"{place} shows no pictures now, and {count} are indexed from it: kept them, in case its drive is not "
            f"mounted. If they are gone for good: lookalike forget {place}"
        )


def _is_unchanged(obj: SourceObject, entry: LedgerEntry | None) -> bool:
    return entry is not None and entry.outcome is not Outcome.FAILED and bool(obj.stamp) and entry.stamp == obj.stamp
