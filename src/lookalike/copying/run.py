"""Items, their vectors, and what the ledger says of each object, brought from one index into another.

The target is its own record of how far a copy has come: what is there already is compared, not written again. So a copy
that was killed anywhere is finished by running it once more, and one that is complete changes nothing. A batch is
written all or nothing, items before the ledger: what a killed copy leaves can be searched, and an ingest into it looks
again at whatever has no entry yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol, TypeVar

from lookalike.chunks import chunked, in_window
from lookalike.errors import InputError, VectorMissing
from lookalike.ports import Catalogue, Ledger, VectorReader, VectorWriter
from lookalike.progress import Progress
from lookalike.types import Filter, Item, LedgerEntry, Outcome

BATCH = 4096
"""Items to a transaction: enough that its cost is spread, and 8 MB of vectors of 512 numbers."""

WRITERS = 2
"""Batches under way at the same time: while a database works on one, the next is read and packed."""

NO_VECTOR = "Its picture has no vector in the index that is copied: index the picture there again, or fill the space."

Value = TypeVar("Value")


class CopyableStore(VectorReader, VectorWriter, Catalogue, Protocol):
    """A store as a whole."""

    @property
    def ledger(self) -> Ledger:
        """What became of each source object."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What a copy did.

    Attributes:
        new: Items that were not there.
        replaced: Items that were there, but not the same, or without their vectors.
        unchanged: Items that were there already.
        entries: Entries of the ledger that were new or not the same.
        failures: What the target refused, by item or place, and why.
        elapsed_s: Seconds that it took.
    """

    new: int
    replaced: int
    unchanged: int
    entries: int
    failures: tuple[tuple[str, str], ...]
    elapsed_s: float


def copy(
    source: CopyableStore,
    target: CopyableStore,
    *,
    project: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> CopyReport:
    """Bring into `target` all that `source` holds; memory is bounded by a few batches. Run it again if it was ended.

    Vectors that no item uses are left behind. A picture that has a vector in the target keeps that one.

    Args:
        source: Only read.
        target: Of the same space, open for writing. What it holds beside stays as it is.
        project: Only this project; all if left out.
        on_progress: Told after every batch.

    Raises:
        SpaceMismatch: The indexes are of two spaces. Nothing was written.
        StoreError: One of them cannot go on. What was copied stays; run it again.
    """
    target.space.require(source.space, doing="Copying")
    run = _Run(source, target)
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="copy") as pool:
        for batch in in_window(pool, run.copied, chunked(source.items(Filter(project=project)), BATCH), ahead=WRITERS):
            run.count(batch)
            if on_progress:
                on_progress(run.progress())
    for entries in chunked(source.ledger.under(project, ""), BATCH):
        run.take_entries(entries)
    return run.report()


def known_entries(ledger: Ledger, entries: Sequence[LedgerEntry]) -> list[LedgerEntry | None]:
    """For each of these entries, which are in order of project, the ledger's own."""
    known: list[LedgerEntry | None] = []
    for project, group in groupby(entries, lambda entry: entry.project):
        uris = [entry.uri for entry in group]
        found = ledger.known(project, uris)
        known += [found.get(uri) for uri in uris]
    return known


@dataclass(slots=True)
class _Batch:
    """What became of the items of a batch."""

    new: int = 0
    replaced: int = 0
    unchanged: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


class _Run:
    """A copy under way, and what it has done so far."""

    def __init__(self, source: CopyableStore, target: CopyableStore) -> None:
        self._source = source
        self._target = target
        self._sum = _Batch()
        self._entries = 0
        self._began_s = time.monotonic()

    def copied(self, items: Sequence[Item]) -> _Batch:
        """Write those of these items that the target has not; may be called from several threads."""
        try:
            return self._copied(items)
        except VectorMissing:  # another process has compacted the target since it was asked
            return self._copied(items)

    def _copied(self, items: Sequence[Item]) -> _Batch:
        there = self._target.get([(item.project, item.id) for item in items])
        contents = {item.content for item in items}
        lacking = contents.difference(self._target.vectors(sorted(contents))[1])
        rows, found = self._source.vectors(sorted(lacking))
        row_of = {content: n for n, content in enumerate(found)}
        # An item alone is not found by a search: one whose vector is yet to come is written once more.
        news = [(item, old) for item, old in zip(items, there, strict=True) if item != old or item.content in row_of]
        lost = [(item.id, NO_VECTOR) for item, _ in news if item.content in lacking and item.content not in row_of]
        batch = _Batch(unchanged=len(items) - len(news), failures=lost)
        replaced = {(old.project, old.id) for _, old in news if old is not None}
        changed = [item for item, _ in news if item.content not in lacking or item.content in row_of]

        def add(some: Sequence[Item]) -> None:
            new = sorted({item.content for item in some}.intersection(row_of))
            self._target.add(some, new, rows[[row_of[content] for content in new]])
            n_replaced = sum((item.project, item.id) in replaced for item in some)
            batch.replaced += n_replaced
            batch.new += len(some) - n_replaced

        batch.failures += _each_good(changed, add, lambda item: item.id)
        return batch

    def count(self, batch: _Batch) -> None:
        self._sum.new += batch.new
        self._sum.replaced += batch.replaced
        self._sum.unchanged += batch.unchanged
        self._sum.failures += batch.failures

    def take_entries(self, entries: Sequence[LedgerEntry]) -> None:
        known = known_entries(self._target.ledger, entries)
        changed = [entry for entry, there in zip(entries, known, strict=True) if entry != there]

        def record(some: Sequence[LedgerEntry]) -> None:
            self._target.ledger.record(some)
            self._entries += len(some)

        self._sum.failures += _each_good(changed, record, lambda entry: entry.uri)

    def progress(self) -> Progress:
        n_failed = len(self._sum.failures)
        done = self._sum.new + self._sum.replaced + self._sum.unchanged + n_failed
        return Progress(counts={Outcome.FAILED: n_failed}, done=done, n_bytes=0, elapsed_s=self._elapsed_s())

    def report(self) -> CopyReport:
        return CopyReport(
            new=self._sum.new,
            replaced=self._sum.replaced,
            unchanged=self._sum.unchanged,
            entries=self._entries,
            failures=tuple(self._sum.failures),
            elapsed_s=self._elapsed_s(),
        )

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s


def _each_good(
    values: Sequence[Value], write: Callable[[Sequence[Value]], None], name: Callable[[Value], str]
) -> list[tuple[str, str]]:
    """Write these; where one of them is refused, the others, and it is in the answer with the reason.

    By halves: a refusal may not say whose it is.
    """
    if not values:
        return []
    try:
        write(values)
    except InputError as error:
        if len(values) == 1:
            return [(name(values[0]), error.reason)]
        half = len(values) // 2
        return _each_good(values[:half], write, name) + _each_good(values[half:], write, name)
    return []
