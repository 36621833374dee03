"""From a source to a store: list, read, hash, decode, embed, store; every object ends with an outcome on record.

    objects -> unchanged? -> read + sha256 -> known content? -> decode + embed -> store -> ledger

Reading and embedding run on threads of their own, a bounded window of chunks ahead; deciding and writing happen on the
calling thread, chunk by chunk in the source's order. That makes a run deterministic, embeds each content once, and
leaves at any kill a store and a ledger that the next run goes on from: an item is written before its outcome is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from lookalike.calls import error_of
from lookalike.changes import (
    LOOKUP_SIZE,
    Before,
    Picture,
    changed,
    decided,
    gone,
    known_items,
    project_of,
    read_object,
)
from lookalike.chunks import chunked
from lookalike.embed import Embedder
from lookalike.errors import BudgetExceeded, InputError, ProviderError, VectorMissing
from lookalike.facts import NAMES as FACTS
from lookalike.ports import Ledger, Source, VectorWriter
from lookalike.progress import Progress, Report, Tally
from lookalike.search import Searchable
from lookalike.types import Item, LedgerEntry, Outcome, Rows, SourceObject, Vectors

CHUNK_SIZE = 16
"""Objects that are embedded together: enough to fill the model's batch, few enough to commit often."""

CHUNK_BYTES = 32 * 2**20
"""A chunk ends early here: what is in flight is bounded by bytes, not only by number."""

READERS = 16
"""Objects that are read at the same time: those of a bucket are mostly waited for."""

DEAD_SHARE = 0.2
"""Vectors that no item uses, for each one in use, from which a run ends with giving their space back."""


class WritableStore(Searchable, VectorWriter, Protocol):
    """A store that can be written and asked what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a run writes, and with what.

    Attributes:
        store: Where items and vectors go.
        ledger: Where outcomes go.
        embedder: Makes the vectors; should use one core per call, so that `threads` of them fill the machine.
        project: The project of every item whose source does not say another.
        threads: Worker threads.
    """

    store: WritableStore
    ledger: Ledger
    embedder: Embedder
    project: str = "default"
    threads: int = 2


class Ingest:
    """Brings a store up to date with sources: new, changed and removed objects.

    Raises:
        SpaceMismatch: The target's embedder writes into another space than its store's.
    """

    def __init__(self, target: Target) -> None:
        target.store.space.require(target.embedder.space, doing="Indexing")
        self._target = target

    def run(self, sources: Sequence[Source], *, on_progress: Callable[[Progress], None] | None = None) -> Report:
        """Ingest everything that the sources list and that is not stored as it is now.

        Safe to interrupt at any point and to run again. Objects that failed before are tried again. Items whose
        object is gone are removed, unless it lay where the source is unsure: that may be a drive that is not mounted.

        Raises:
            StoreError: The store cannot be written; what it acknowledged before is safe.
            ModelError: The model cannot be used.
            BudgetExceeded: Going on would cost too much; what was paid for is stored.
            ProviderError: The provider did not do its part; what it did before is stored.
        """
        target, tally = self._target, Tally(on_progress)
        with (
            ThreadPoolExecutor(READERS, thread_name_prefix="reading") as readers,
            ThreadPoolExecutor(target.threads, thread_name_prefix="ingest") as pool,
        ):
            try:
                for source in sources:
                    seen: set[int] = set()
                    fresh = changed(source, target, seen, tally.skip)
                    flow = _Flow(target, source, readers, pool, tally)
                    try:
                        flow.run(fresh)
                    except (BudgetExceeded, ProviderError):
                        flow.keep_paid()
                        raise
                    self._remove_gone(source, seen, tally)
            except BaseException:
                readers.shutdown(wait=False, cancel_futures=True)
                pool.shutdown(cancel_futures=True)
                raise
        return tally.report()

    def _remove_gone(self, source: Source, seen: set[int], tally: Tally) -> None:
        target = self._target
        entries, items = gone(source, target, seen, tally.warn)
        for some in chunked(items, LOOKUP_SIZE):
            target.store.delete([(item.project, item.id) for item in some])
        for batch in chunked(entries, LOOKUP_SIZE):
            for project in {entry.project for entry in batch}:
                target.ledger.forget(project, [entry.uri for entry in batch if entry.project == project])
        if entries:
            tally.count({Outcome.REMOVED: len(items)})


class _Flow:
    """One source on its way through the stages, as two bounded queues: chunks being read, chunks being embedded."""

    def __init__(
        self, target: Target, source: Source, readers: ThreadPoolExecutor, pool: ThreadPoolExecutor, tally: Tally
    ) -> None:
        self._target = target
        self._read = partial(read_object, source, max_bytes=target.embedder.policy.max_bytes)
        self._readers = readers
        self._pool = pool
        self._tally = tally
        self._reading: deque[list[Future[Picture]]] = deque()
        self._embedding: deque[tuple[list[Picture], list[Picture], Future[Vectors]]] = deque()
        self._in_flight: set[str] = set()
        self._bad: dict[str, str] = {}
        self._passing: set[str] = set()  # of those: what had bad luck, and is good for all that is known

    def run(self, objects: Iterable[SourceObject]) -> None:
        window = self._target.threads + 1
        for chunk in chunked_by_bytes(objects):
            self._start(chunk)
            while len(self._reading) > window:
                self._embed([future.result() for future in self._reading.popleft()])
            while len(self._embedding) > window:
                self._store(*self._embedding.popleft())
        while self._reading or self._embedding:
            while self._reading:
                self._embed([future.result() for future in self._reading.popleft()])
            self._store(*self._embedding.popleft())

    def _start(self, chunk: Iterable[SourceObject]) -> None:
        self._reading.append([self._readers.submit(self._read, obj) for obj in chunk])

    def keep_paid(self) -> None:
        """After an error: store what other chunks have been embedded meanwhile, which may have cost money."""
        for pictures, fresh, future in self._embedding:
            if future.cancel() or future.exception() is not None:
                continue
            # The others of the chunk may rely on the content of a chunk that failed: they are the next run's.
            own = {picture.content for picture in fresh}
            self._store([picture for picture in pictures if picture.content in own], fresh, future)

    def _embed(self, pictures: list[Picture]) -> None:
        distinct = list(dict.fromkeys(picture.content for picture in pictures if picture.content))
        _, stored = self._target.store.vectors(distinct)
        skip = self._in_flight.union(stored, self._bad)
        fresh = []
        for picture in pictures:
            if picture.content and picture.content not in skip:
                skip.add(picture.content)
                fresh.append(picture)
        self._in_flight.update(picture.content for picture in fresh)
        future = self._pool.submit(
            self._target.embedder.embed_images,
            [picture.data for picture in fresh],
            names=[picture.obj.uri for picture in fresh],
            on_error="collect",
        )
        # The bytes are the worker's now, and free when it is done.
        pictures, fresh = [replace(one, data=b"") for one in pictures], [replace(one, data=b"") for one in fresh]
        self._embedding.append((pictures, fresh, future))

    def _store(self, pictures: list[Picture], fresh: list[Picture], future: Future[Vectors]) -> None:
        vectors = future.result()
        for warning in vectors.warnings:
            self._tally.warn(warning)
        for failure in vectors.failures:
            content = fresh[failure.position].content
            self._bad[content] = failure.reason
            if error_of(failure).retryable:
                self._passing.add(content)
        contents = [fresh[position].content for position in vectors.positions.tolist()]
        self._in_flight.difference_update(picture.content for picture in fresh)
        self._finish(pictures, dict(zip(contents, vectors.values, strict=True)))

    def _finish(self, pictures: Sequence[Picture], embedded: Mapping[str, Rows]) -> None:
        before = known_items(self._target, pictures)
        entries = self._outcomes(pictures, before, set(embedded))
        try:
            entries = self._write(pictures, entries, before, embedded)
        except VectorMissing:
            # Another process has compacted since these were found stored. Their bytes are gone: they begin anew.
            own = {"", *embedded, *self._bad}
            self._start(picture.obj for picture in pictures if picture.content not in own)
            self._finish([picture for picture in pictures if picture.content in own], embedded)
            return
        self._tally.finish(entries, sum(picture.obj.n_bytes for picture in pictures if picture.content))

    def _outcomes(self, pictures: Sequence[Picture], before: Before, new: set[str]) -> list[LedgerEntry]:
        entries = []
        for picture, (item_id, item) in zip(pictures, before, strict=True):
            reason = picture.reason or self._bad.get(picture.content, "")
            outcome = decided(picture, item, reason, new)
            entries.append(
                LedgerEntry(
                    project=project_of(picture.obj, self._target),
                    item_id=item_id,
                    uri=picture.obj.uri,
                    stamp=picture.obj.stamp,
                    outcome=outcome,
                    content="" if picture.content in self._passing else picture.content,
                    reason=reason,
                )
            )
        return entries

    def _write(
        self,
        pictures: Sequence[Picture],
        entries: Sequence[LedgerEntry],
        before: Before,
        fresh: Mapping[str, Rows],
    ) -> list[LedgerEntry]:
        """Store what did not fail, and put all outcomes on record; those, with what the store refused."""
        items = [
            _item(picture, entry, item)
            for picture, entry, (_, item) in zip(pictures, entries, before, strict=True)
            if entry.outcome is not Outcome.FAILED
        ]
        # Without a content nothing is known: a disk or a network that fails for a moment, or too little memory.
        spoiled = [
            (entry.project, entry.item_id) for entry in entries if entry.outcome is Outcome.FAILED and entry.content
        ]
        refused = add_what_fits(self._target.store, items, fresh)
        if spoiled:
            # A picture that was fine and is now broken must not go on being found by what it was.
            self._target.store.delete(spoiled)
        entries = [_told(entry, refused.get((entry.project, entry.item_id))) for entry in entries]
        self._target.ledger.record(entries)
        return entries


def add_what_fits(
    store: WritableStore, items: Sequence[Item], vectors: Mapping[str, Rows]
) -> dict[tuple[str, str], str]:
    """Store items; why those were refused that the store cannot take, by project and id. The others are stored.

    Args:
        store: Where to.
        items: With distinct keys.
        vectors: (dim,) float32 unit rows of the contents that are new.

    Raises:
        VectorMissing: A content is neither among these nor stored, or not any more; some items may be stored.
    """
    if not items:
        return {}
    contents = [content for content in dict.fromkeys(item.content for item in items) if content in vectors]
    rows = np.stack([vectors[content] for content in contents]) if contents else np.empty((0, store.space.dim))
    try:
        store.add(items, contents, rows.astype(np.float32, copy=False))
    except InputError as error:
        if len(items) == 1:
            return {(items[0].project, items[0].id): error.reason}
        half = len(items) // 2
        return {**add_what_fits(store, items[:half], vectors), **add_what_fits(store, items[half:], vectors)}
    return {}


def _told(entry: LedgerEntry, reason: str | None) -> LedgerEntry:
    """The outcome of an object, of one that the store refused for this reason."""
    return entry if reason is None else replace(entry, outcome=Outcome.FAILED, reason=reason)


def _item(picture: Picture, entry: LedgerEntry, before: Item | None) -> Item:
    """What an object is from now on."""
    facts = picture.facts
    if picture.obj.order is not None:  # its source has the last word
        says = picture.obj.order
        return Item(
            id=entry.item_id,
            content=entry.content,
            project=entry.project,
            uri=says.uri,
            caption=says.caption,
            metadata={**facts, **says.metadata},
        )
    if before is not None:  # what its owner said of it stays
        said = {name: value for name, value in before.metadata.items() if name not in FACTS}
        return replace(before, content=entry.content, uri=entry.uri, metadata={**said, **facts})
    return Item(id=entry.item_id, content=entry.content, project=entry.project, uri=entry.uri, metadata=facts)


def compact_if_due(store: WritableStore) -> None:
    """Give the space of vectors that no item uses back, if there are many."""
    stats = store.stats()
    if stats.dead_slots > stats.contents * DEAD_SHARE:
        store.compact()


def chunked_by_bytes(objects: Iterable[SourceObject]) -> Iterator[list[SourceObject]]:
    """Lists of at most CHUNK_SIZE objects and, but for one larger object, CHUNK_BYTES."""
    chunk: list[SourceObject] = []
    n_bytes = 0
    for obj in objects:
        if chunk and (len(chunk) == CHUNK_SIZE or n_bytes + obj.n_bytes > CHUNK_BYTES):
            yield chunk
            chunk, n_bytes = [], 0
        chunk.append(obj)
        n_bytes += obj.n_bytes
    if chunk:
        yield chunk
