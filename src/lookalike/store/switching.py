"""The spaces of a folder: each a whole store, made beside the others, filled from the current one, and switched to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from lookalike.changeover import Missing, SpaceEntry
from lookalike.chunks import chunked
from lookalike.errors import StoreError, StoreSwitched
from lookalike.files import keep
from lookalike.spaces import Space
from lookalike.store import items as item_rows
from lookalike.store import lock, pointer
from lookalike.store.behind import left_behind
from lookalike.store.database import Database
from lookalike.store.digests import Digests
from lookalike.store.embedded import FILLING, EmbeddedStore, create, open_beside, open_store
from lookalike.store.items import PAGE
from lookalike.store.pointer import Pointer
from lookalike.store.twins import bring_over, count_differences
from lookalike.types import Item, Rows

CHANGING = "spaces.lock"
"""The lock of who changes what spaces there are."""

MARK = "filled.json"
"""In the folder of a space: of which other it holds everything, as of which versions of the two."""


@dataclass(frozen=True, slots=True)
class EmbeddedSpaces:
    """changeover.SpaceKeeper over a folder."""

    folder: Path

    def entries(self) -> list[SpaceEntry]:
        """All of them, by number."""
        found = pointer.read(self.folder)
        if set(found.precisions) == {1}:
            open_store(self.folder).close()  # or there is no index
        return [self._entry(found, number) for number in sorted(found.precisions)]

    def add(self, space: Space, *, precision: str) -> int:
        """Make an empty space beside the others; its number."""
        open_store(self.folder).close()
        with self._changing() as before:
            number = before.last + 1
            beside = pointer.folder_of(self.folder, number)
            shutil.rmtree(beside, ignore_errors=True)  # left by one who was killed before it was on the list
            create(beside, space).close()
            after = {**before.precisions, number: precision}
            pointer.write(self.folder, replace(before, last=number, precisions=after))
        return number

    def switch(self, number: int, *, allow_missing: bool = False) -> int:
        """Let this space be the one that is searched; see changeover.SpaceKeeper."""
        with self._changing() as before:
            before.require(number, self.folder)
            if number == before.current:
                return 0
            # A walk over all items goes first, while others still may write; then only what came meanwhile counts.
            self._require_whole(before.current, number, allow_missing=allow_missing)
            with open_store(self.folder, write=True) as source, open_beside(self.folder, number) as target:
                n = self._require_whole(before.current, number, allow_missing=allow_missing)
                if n:  # what stays behind goes on record, or a fill of the way back would take it for deleted
                    n = bring_over(source, target, {})
                else:  # for the way back: what this space has beside all of the current one's, that one once lacked
                    n_extra = target.n_items - source.n_items
                    _note(self.folder, number, before.current, n_behind=n_extra)
                pointer.write(self.folder, replace(before, current=number))
        return n

    def drop(self, number: int) -> None:
        """Remove a space with its files; a process that still reads them ends with an error of its own."""
        with self._changing() as before:
            before.require(number, self.folder)
            if number == before.current:
                raise StoreError(
                    f"Space {number} of {self.folder} is the one that is searched: switch to another first.",
                    store=str(self.folder),
                )
            beside = pointer.folder_of(self.folder, number)
            handle = lock.acquire(beside, FILLING)
            try:
                left = {other: name for other, name in before.precisions.items() if other != number}
                pointer.write(self.folder, replace(before, precisions=left))
                _remove(beside, self.folder)
            finally:
                lock.release(handle)

    def _require_whole(self, current: int, number: int, *, allow_missing: bool) -> int:
        """How many items a space lacks of the current one's; StoreError if that is not allowed."""
        n = _n_behind(self.folder, current, number)
        if n is None:
            versions = _version(self.folder, current), _version(self.folder, number)
            with open_store(self.folder, number=current) as source, open_store(self.folder, number=number) as target:
                n = count_differences(source, target)
            _note(self.folder, current, number, versions=versions, n_behind=n)
        if n and not allow_missing:
            raise StoreError(
                f"{n:,} items of {self.folder} are not in space {number} as they are now. Run: lookalike spaces fill "
                f"{number}. Or switch with --allow-missing: what it lacks is not found then.",
                store=str(self.folder),
            )
        return n

    def _entry(self, found: Pointer, number: int) -> SpaceEntry:
        with open_store(self.folder, number=number) as store:
            stats = store.stats()
            return SpaceEntry(
                number=number,
                space=store.space,
                precision=found.precisions[number],
                is_current=number == found.current,
                n_vectors=stats.contents + stats.dead_slots,
                n_bytes=stats.n_bytes,
            )

    @contextmanager
    def _changing(self) -> Iterator[Pointer]:
        handle = lock.acquire(self.folder, CHANGING)
        try:
            yield pointer.read(self.folder)
        finally:
            lock.release(handle)


class EmbeddedFilling:
    """changeover.Filling of one space of a folder from the current one; use `open_filling`."""

    def __init__(self, folder: Path, source: tuple[int, EmbeddedStore], target: tuple[int, EmbeddedStore]) -> None:
        self._folder = folder
        self._source_number, self._source = source
        self._number, self._target = target
        self.space = self._target.space

    def __enter__(self) -> EmbeddedFilling:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of both spaces."""
        self._target.close()
        self._source.close()

    def n_missing(self) -> int:
        """How many pictures in use have no vector in it."""
        return sum(map(len, self._pages()))

    def missing(self) -> Iterator[Missing]:
        """Each of them, with the places where it may be."""
        database, digests, left = _database(self._folder, self._source_number), Digests(), self._left_behind()
        try:
            for page in self._pages():
                with database.reading() as connection:
                    slots = digests.slots_of(connection, item_rows.read_state(connection), page)
                    found = {content: item_rows.items_of_slot(connection, slots[content]) for content in slots}
                for content in page:
                    items = found.get(content) or left.get(content)
                    if items:  # or it was deleted meanwhile
                        uris = dict.fromkeys(item.uri for item in items if item.uri)
                        yield Missing(content=content, item=items[0].id, uris=tuple(uris))
        finally:
            database.close()

    def put(self, contents: Sequence[str], vectors: Rows) -> None:
        """Store vectors; the items that they are of come with `settle`."""
        self._target.add([], contents, vectors)

    def settle(self, reasons: dict[str, str]) -> int:
        """Bring over items and ledger, and what was removed; how many items stay behind for want of a vector."""
        if self._number == self._source_number:
            return 0
        version = _version(self._folder, self._source_number)
        n_behind = bring_over(self._source, self._target, reasons)
        versions = version, _version(self._folder, self._number)
        _note(self._folder, self._source_number, self._number, versions=versions, n_behind=n_behind)
        return n_behind

    def _pages(self) -> Iterator[list[str]]:
        left = self._left_behind()
        seen: set[int] = set()
        for page in _contents(_database(self._folder, self._source_number)):
            for content in page:
                left.pop(content, None)
            missing = [content for content in self._without_vector(page) if hash(content) not in seen]
            seen.update(map(hash, missing))
            yield missing
        for page in chunked(left, PAGE):
            yield self._without_vector(page)

    def _left_behind(self) -> dict[str, list[Item]]:
        """What the current space lacks as well, by content: its picture may be readable by now."""
        if self._number == self._source_number:  # there an ingest tries it again
            return {}
        items = sorted(left_behind(self._source.ledger), key=attrgetter("content"))
        return {content: list(group) for content, group in groupby(items, key=attrgetter("content"))}

    def _without_vector(self, contents: Sequence[str]) -> list[str]:
        _, stored = self._target.vectors(contents)
        known = set(stored)
        return [content for content in contents if content not in known]


def open_filling(folder: Path, number: int) -> EmbeddedFilling:
    """The filling of a space.

    Raises:
        StoreError: There is no such space, or another process fills it.
    """
    found = pointer.read(folder)
    found.require(number, folder)
    source = open_store(folder, number=found.current)
    try:
        target = source if number == found.current else open_beside(folder, number)
    except BaseException:
        source.close()
        raise
    filling = EmbeddedFilling(folder, (found.current, source), (number, target))
    if pointer.read(folder).current != found.current:  # before this one's lock kept a switch to it out
        filling.close()
        raise StoreSwitched(f"{folder} was switched to another space just now: try again.", store=str(folder))
    return filling


def _database(folder: Path, number: int) -> Database:
    return Database(pointer.folder_of(folder, number), write=False)


def _version(folder: Path, number: int) -> int:
    """What changes with every item and vector of a space."""
    database = _database(folder, number)
    try:
        with database.reading() as connection:
            return item_rows.read_state(connection).version
    finally:
        database.close()


def _contents(database: Database) -> Iterator[list[str]]:
    """Every content in use, a page at a time; from the beginning, if the store is compacted meanwhile."""
    first, n_slots, generation = 0, 1, 0
    try:
        while first < n_slots:
            with database.reading() as connection:
                state = item_rows.read_state(connection)
                if state.generation != generation:
                    first, generation = 0, state.generation  # each has another slot now
                n_slots = state.slots
                dead = set(item_rows.slots(connection, "read_dead").tolist())
                slots = [slot for slot in range(first, min(first + PAGE, n_slots)) if slot not in dead]
                page = item_rows.contents_of(connection, slots)
            yield page
            first += PAGE
    finally:
        database.close()


def _note(
    folder: Path, source: int, target: int, *, versions: tuple[int, int] | None = None, n_behind: int = 0
) -> None:
    """Note how many items space `target` lacks of `source`, as of these versions of the two, or the present ones."""
    seen, own = versions or (_version(folder, source), _version(folder, target))
    facts = {"of": source, "version": seen, "own_version": own, "behind": n_behind}
    # Losing it costs a walk over all items, no more.
    keep(pointer.folder_of(folder, target) / MARK, json.dumps(facts).encode())


def _n_behind(folder: Path, source: int, target: int) -> int | None:
    """How many items `target` lacks, if neither has changed since that was noted; None if it is not known."""
    try:
        facts = json.loads((pointer.folder_of(folder, target) / MARK).read_bytes())
        noted = (facts["of"], facts["version"], facts["own_version"])
        n_behind = int(facts["behind"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return n_behind if noted == (source, _version(folder, source), _version(folder, target)) else None


def _remove(beside: Path, folder: Path) -> None:
    """Delete the files of a space; the first one's lie among the index's own."""
    if beside != folder:
        shutil.rmtree(beside, ignore_errors=True)
        return
    for pattern in ("items.sqlite*", "*-*.i8", MARK):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
