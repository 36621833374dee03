"""The embedded store: one folder, one writer and any number of readers; a search looks at every vector.

    items.sqlite        items, contents, state and ledger (write-ahead log, synchronous)
    high-<n>.i8         the vector of each content, by slot, in fixed point: the high bytes; n is the generation, one
    low-<n>.i8          more with each compaction; and the low bytes
    codes-<n>-<m>.i8    their short codes, read first by a search; derived, so never the only copy of anything
    lock                held by the writer
    spaces.json         which spaces there are and which one is searched, see `pointer`; beside it spaces/<n>/, each a
                        whole store of another space

Vectors are on the disk before the transaction that names them commits. A reader looks at table `state` first, so it
sees whole batches only, new ones at its next call. `open_store` checks headers and lengths; `check` reads everything.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from lookalike.errors import InputError, StoreError, StoreFull, StoreSwitched
from lookalike.places import holds_index
from lookalike.spaces import Space
from lookalike.store import items as item_rows
from lookalike.store import lock, pointer
from lookalike.store.behind import unmark
from lookalike.store.database import Database, State
from lookalike.store.digests import Digests
from lookalike.store.faults import damaged, writing
from lookalike.store.ledger import SqliteLedger
from lookalike.store.nearest import Table, nearest
from lookalike.store.postings import Postings
from lookalike.store.table import VectorFiles
from lookalike.store.vacancy import require_vacant
from lookalike.types import Filter, Item, Rows, Scored, StoreStats
from lookalike.vectors import normalise, require_unit_rows

FILLING = "filling"
"""The lock of who fills a space, or takes it away."""

OVERTAKEN = 5
"""How often a read is begun anew because a compaction has removed the files under it."""


def create(folder: Path, space: Space) -> EmbeddedStore:
    """A new, empty store, open for writing.

    Raises:
        StoreError: There is one already, or files of somebody.
        StoreReadOnly: The folder cannot be made or written.
        StoreFull: The disk is full.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    database = Database(folder, write=True)
    if not (is_index := holds_index(folder)):
        require_vacant(folder)  # before the lock, which is a file of its own
    handle = lock.acquire(folder)
    try:
        if is_index or database.path.exists():
            raise StoreError(
                f"There is an index in {folder} already: open it, or choose another folder.", store=str(folder)
            )
        VectorFiles(folder, space.dim).create(generation=1)
        database.create(space)
        return EmbeddedStore(database, space, handle)
    except BaseException:
        lock.release(handle)
        raise


def open_store(folder: Path, *, write: bool = False, number: int | None = None) -> EmbeddedStore:
    """The store in a folder.

    Args:
        folder: The index.
        write: Whether items will be added or removed.
        number: The space to read, which stays open whatever is searched meanwhile; the one that is searched if left
            out, until that changes.

    Raises:
        StoreNotFound: There is none.
        StoreLocked: `write` was asked for, and another process is writing.
        StoreReadOnly: `write` was asked for, and the folder cannot be written.
        StoreTooNew: A newer version of lookalike wrote it.
        StoreCorrupt: A file of it is missing, cut off or not what was written.
    """
    if number is not None:
        pointer.read(folder).require(number, folder)
        return _opened(Database(pointer.folder_of(folder, number), write=False))
    for _ in range(OVERTAKEN):
        with suppress(StoreSwitched):
            return _open_current(folder, write=write)
    return _open_current(folder, write=write)


def open_beside(folder: Path, number: int) -> EmbeddedStore:
    """The store of a space that is filled, open for writing. StoreLocked if another process fills it."""
    beside = pointer.folder_of(folder, number)
    return _opened(Database(beside, write=True), locked=(beside, FILLING))


def _open_current(folder: Path, *, write: bool) -> EmbeddedStore:
    number = pointer.read(folder).current
    watch = pointer.Watch(folder, number)
    database = Database(pointer.folder_of(folder, number), write=write, watch=watch)
    return _opened(database, locked=(folder, lock.FILE) if write else None)


def _opened(database: Database, locked: tuple[Path, str] | None = None) -> EmbeddedStore:
    database.require_file()
    handle = lock.acquire(*locked) if locked else None
    try:
        if locked:
            database.upgrade()
        store = EmbeddedStore(database, database.space(), handle)
        store.verify()
    except BaseException:
        database.close()
        if handle is not None:
            lock.release(handle)
        raise
    return store


class EmbeddedStore:
    """VectorReader, VectorWriter and Catalogue over one folder; use `create` or `open_store`.

    Every method may be called from several threads at once.

    Attributes:
        space: The space that every vector belongs to.
        ledger: What became of each source object.
    """

    def __init__(self, database: Database, space: Space, handle: int | None) -> None:
        self.space = space
        self.ledger = SqliteLedger(database)
        self._database = database
        self._handle = handle
        self._files = VectorFiles(database.folder, space.dim)
        self._postings = Postings()
        self._digests = Digests()
        self._view: tuple[State, Table] | None = None
        self._view_lock = threading.Lock()

    def __enter__(self) -> EmbeddedStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files and, if this is the writer, let another one in."""
        self._database.close()
        self._view = None
        if self._handle is not None:
            lock.release(self._handle)
            self._handle = None

    @property
    def n_items(self) -> int:
        """How many items it holds."""
        with self._database.reading() as connection:
            return item_rows.read_state(connection).items

    def search(self, query: Rows, *, limit: int, where: Filter) -> tuple[list[Scored], int]:
        """The items nearest to a (dim,) float32 unit vector; see ports.VectorReader."""
        if limit < 1:
            raise InputError(f"A search must ask for at least one answer; limit is {limit}.")
        require_unit_rows(query[None, :], dim=self.space.dim, names=["query"])
        with self._snapshot() as (connection, state, table):
            posting = None if where.is_empty else self._postings.select(connection, state, where)
            slots, scores = nearest(query, table, limit=limit, among=None if posting is None else posting.slots)
            found: list[Scored] = []
            for slot, score in zip(slots.tolist(), scores.tolist(), strict=True):
                if len(found) >= limit and score < found[-1].similarity:
                    break
                found += [
                    Scored(item, score) for item in item_rows.items_of_slot(connection, slot) if where.admits(item)
                ]
        found.sort(key=lambda scored: (-scored.similarity, scored.item.project, scored.item.id))
        return found[:limit], state.items if posting is None else len(posting.items)

    def get(self, keys: Sequence[tuple[str, str]]) -> list[Item | None]:
        """The items of these (project, id) pairs, in order; None where there is none."""
        with self._database.reading() as connection:
            return [item_rows.read_item(connection, key) for key in keys]

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        """The stored vectors of these contents, (m, dim) unit rows, and the m contents that were found, in order."""
        with self._snapshot() as (connection, state, table):
            known = self._digests.slots_of(connection, state, contents)
            found = [content for content in contents if content in known]
            slots = np.array([known[content] for content in found], dtype=np.int64)
            return normalise(table.rows(slots)), found

    def stats(self) -> StoreStats:
        """What the store holds."""
        with self._database.reading() as connection:
            state = item_rows.read_state(connection)
            dead = item_rows.count_dead(connection)
            return StoreStats(
                items=state.items,
                contents=state.slots - dead,
                dead_slots=dead,
                n_bytes=sum(map(_size, self._database.folder.iterdir())),
                projects=item_rows.projects(connection),
                space=self.space,
                unchecked=item_rows.count_unchecked(connection),
                version=state.version,
            )

    def items(self, where: Filter, *, after: tuple[str, str] | None = None) -> Iterator[Item]:
        """Every item that passes, by (project, id); see ports.Catalogue."""
        with self._database.reading() as connection:
            names = list(item_rows.projects(connection))
        for name in names if where.project is None else [where.project]:
            for item in item_rows.items_of_project(self._database, name, after=after):
                if where.admits(item):
                    yield item

    def newest(self, where: Filter, *, limit: int, after: str = "") -> tuple[list[Item], str]:
        """Items that pass, the last added or replaced first; see ports.Catalogue."""
        with self._database.reading() as connection:
            return item_rows.newest_items(connection, where, limit=limit, after=after)

    def sample(self, n: int, *, seed: int, project: str | None = None) -> tuple[list[str], Rows]:
        """At most n contents in use, drawn evenly, and their vectors; see ports.Catalogue."""
        with self._snapshot() as (connection, state, table):
            if project is None:
                alive = np.delete(np.arange(state.slots), table.dead)
            else:
                alive = self._postings.select(connection, state, Filter(project=project)).slots
            drawn = np.sort(np.random.default_rng(seed).choice(alive, min(n, len(alive)), replace=False))
            return item_rows.contents_of(connection, drawn), normalise(table.rows(drawn))

    def add(self, items: Sequence[Item], contents: Sequence[str], vectors: Rows) -> None:
        """Store items and the vectors of new contents, all or nothing; see ports.VectorWriter.

        Raises:
            InputError: A vector is not a finite float32 unit row; it is named.
            VectorMissing: The content of an item has none; the item is named.
            StoreFull: The disk is full; the store is as it was.
        """
        require_unit_rows(vectors, dim=self.space.dim, names=contents)
        if len({content.lower() for content in contents}) != len(contents):
            raise InputError("The contents of one call must be distinct.")
        # Vectors are encoded and go to the disk in a thread of their own, while SQLite takes contents and items.
        with self._database.writing() as connection, ThreadPoolExecutor(1) as aside:
            state = item_rows.read_state(connection)
            encoding = aside.submit(self._files.encoder(connection, state), vectors)
            known = self._digests.slots_of(connection, state, {*contents, *(item.content for item in items)})
            slots, new = item_rows.insert_contents(connection, contents, known, first=state.slots)
            if new:
                writing_rows = aside.submit(lambda: self._files.append(state, encoding.result(), new))
            item_rows.insert_items(connection, items, slots)
            unmark(connection, [(item.project, item.id) for item in items])
            if new:
                state = self._files.counted(connection, state, len(new), writing_rows.result())
            item_rows.write_state(connection, state)
        if self._files.screen_is_due(state):
            # The batch is stored; codes that found no room are tried again with the next one.
            with suppress(StoreFull):
                self._refit()

    def delete(self, keys: Sequence[tuple[str, str]]) -> int:
        """Delete these (project, id) pairs; the number that existed. Vectors stay until `compact`."""
        with self._database.writing() as connection:
            state = item_rows.read_state(connection)
            deleted = item_rows.delete_items(connection, keys)
            if unmark(connection, keys) or deleted:
                item_rows.write_state(connection, state)
            return deleted

    def compact(self) -> int:
        """Give back the space of vectors that no item uses; the number freed. Readers go on undisturbed."""
        with self._database.writing() as connection:
            before = item_rows.read_state(connection)
            kept = item_rows.slots(connection, "contents_alive")
            if len(kept) == before.slots:
                return 0
            state = self._files.rewrite(connection, before, kept)
            item_rows.renumber(connection, kept)
            if self._files.screen_is_due(state):
                state = self._files.refit(connection, state)
            item_rows.write_state(connection, state)
        self._files.sweep(state)
        return before.slots - state.slots

    def verify(self) -> None:
        """Look at every file's header and length; cheap, `open_store` does it. StoreCorrupt, naming the file."""
        with self._snapshot():
            pass

    def check(self) -> None:
        """Read everything: every row against its checksum, every code, the database's own check. Slow.

        Raises:
            StoreCorrupt: Something is not what was written; the message names the file.
        """
        with self._snapshot() as (connection, state, table):
            item_rows.check(connection, self._database.path)
            self._files.check(connection, state, table)

    def _refit(self) -> None:
        with self._database.writing() as connection:
            state = self._files.refit(connection, item_rows.read_state(connection))
            item_rows.write_state(connection, state)
        self._files.sweep(state)

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[sqlite3.Connection, State, Table]]:
        """A read transaction, its state, and the vectors that this state counts."""
        missing: FileNotFoundError | None = None
        for _ in range(OVERTAKEN):
            with self._database.reading() as connection:
                state = item_rows.read_state(connection)
                try:
                    table = self._table(connection, state)
                except FileNotFoundError as error:
                    missing = error
                    continue
                yield connection, state, table
                return
        raise damaged(Path(str(missing and missing.filename)), "is missing") from missing

    def _table(self, connection: sqlite3.Connection, state: State) -> Table:
        with self._view_lock:
            view = self._view
        if view is None or view[0] != state:
            view = (state, self._files.view(connection, state))
            self._database.require_same_file()  # or the segments are those of another index
            with self._view_lock:
                self._view = view
        else:
            self._files.require_whole(*view)
        return view[1]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # removed by a compaction, or by SQLite
        return 0
