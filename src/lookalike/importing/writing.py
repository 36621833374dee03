"""Rows of a table become items and vectors of a store, each with an outcome on record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from lookalike.chunks import chunked
from lookalike.contents import content_of, is_unread, trust_in
from lookalike.errors import InputError, VectorMissing
from lookalike.facts import NAMES as FILE_FACTS
from lookalike.importing.finding import Found, find_all, uri_of
from lookalike.ingest import WritableStore, add_what_fits
from lookalike.ports import Ledger
from lookalike.progress import Tally
from lookalike.tables import Entry, Pictures, TablePart
from lookalike.types import Item, LedgerEntry, Outcome, Rows
from lookalike.vectors import normalise, scaled

HASHED_ROWS = 512
"""Rows to a batch where pictures are read and hashed: so much work a kill can cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an import writes.

    Attributes:
        store: Where items and vectors go.
        ledger: Where outcomes go.
        pictures: Finds the pictures.
        project: Of rows that name none.
        threads: Threads that hash pictures.
    """

    store: WritableStore
    ledger: Ledger
    pictures: Pictures
    project: str = "default"
    threads: int = 2


@dataclass(frozen=True, slots=True)
class _Row:
    """A row on its way into the store.

    Attributes:
        place: Where its vector is in the part.
        item: What it becomes.
        file: Its picture, if that is a file of this machine.
        problem: Why it cannot be stored; empty if it can.
        before: The item of that name that there is.
        known: The ledger's entry for its place.
    """

    place: int
    item: Item
    file: Found
    problem: str
    before: Item | None
    known: LedgerEntry | None


class Writer:
    """Writes the parts of one table.

    Args:
        destination: Where to.
        pool: Its threads look for pictures and hash them.
        tally: Told every outcome.
        is_checked: Whether a sample of the table was found to be the model's vectors.

    Attributes:
        n_unread: Rows that are now filed under their vector, because nobody has read their picture.
    """

    def __init__(self, destination: Destination, pool: ThreadPoolExecutor, tally: Tally, *, is_checked: bool) -> None:
        self.n_unread = 0
        self._to = destination
        self._pool = pool
        self._tally = tally
        self._is_checked = is_checked

    def write(self, part: TablePart) -> None:
        """Store what is new in a part; returns when that is durable."""
        values, problems = unit_rows(part)
        raw = np.asarray(part.values)  # of a mapped file, each row would be made an object that knows it
        files = find_all(self._to.pictures, part.entries, self._pool)
        size = HASHED_ROWS if self._is_checked and any(files) else max(len(files), 1)
        for places in chunked(range(len(files)), size):
            found = [(place, part.entries[place], files[place], problems.get(place, "")) for place in places]
            try:
                self._store(self._rows(found, raw), values)
            except VectorMissing:  # another process has compacted since these were looked up: they are again
                self._store(self._rows(found, raw), values)

    def _rows(self, found: Sequence[tuple[int, Entry, Found, str]], raw: Rows) -> list[_Row]:
        items = [self._item(entry, file) for _, entry, file, _ in found]
        known = self._known(items)
        before = self._to.store.get([(item.project, item.id) for item in items])
        digests = self._digests([file for _, _, file, _ in found], known)
        rows = []
        for n, (place, _, file, problem) in enumerate(found):
            content = digests[n] or content_of(raw[place].tobytes(), is_checked=self._is_checked)
            item = _known_better(replace(items[n], content=content), before[n])
            rows.append(_Row(place, item, file, problem, before[n], known[n]))
        return rows

    def _item(self, entry: Entry, file: Found) -> Item:
        """The item of a row, without its content."""
        uri = uri_of(self._to.pictures, entry, file)
        return Item(
            id=entry.id or uri,
            content="",
            project=entry.project or self._to.project,
            uri=uri,
            caption=entry.caption,
            metadata=entry.metadata,
        )

    def _store(self, rows: Sequence[_Row], values: Rows) -> None:
        to_write = [row for row in rows if not row.problem and row.item != row.before]
        _, stored = self._to.store.vectors(list(dict.fromkeys(row.item.content for row in to_write)))
        new: dict[str, int] = {}
        outcomes: dict[int, Outcome] = {}
        for row in to_write:
            content = row.item.content
            is_known = content in new or content in stored
            is_own = row.before is not None and row.before.content == content  # its caption has changed, say
            outcomes[row.place] = Outcome.DUPLICATE if is_known and not is_own else Outcome.STORED
            if not is_known:
                new[content] = row.place
        vectors = {content: values[place] for content, place in new.items()}
        refused = add_what_fits(self._to.store, [row.item for row in to_write], vectors)
        if refused:
            rows = [
                replace(row, problem=row.problem or refused.get((row.item.project, row.item.id), "")) for row in rows
            ]
        entries = [self._entry(row, outcomes.get(row.place, Outcome.UNCHANGED)) for row in rows]
        fresh = [entry for row, entry in zip(rows, entries, strict=True) if not _says_the_same(row.known, entry)]
        if fresh:
            self._to.ledger.record(fresh)
        self.n_unread += sum(is_unread(row.item.content) for row in rows if not row.problem)
        self._tally.finish(entries, sum(row.file.n_bytes for row in rows if row.file))

    def _known(self, items: Sequence[Item]) -> list[LedgerEntry | None]:
        by_project: dict[str, list[str]] = defaultdict(list)
        for item in items:
            by_project[item.project].append(item.uri or item.id)
        known = {project: self._to.ledger.known(project, uris) for project, uris in by_project.items()}
        return [known[item.project].get(item.uri or item.id) for item in items]

    def _digests(self, files: Sequence[Found], known: Sequence[LedgerEntry | None]) -> list[str]:
        """sha256 of each picture that is here and of a table that was checked; empty for the others."""
        if not self._is_checked:
            # Their vectors must not pass for those of the pictures.
            return [""] * len(files)
        return list(self._pool.map(self._digest, files, known))

    def _digest(self, file: Found, known: LedgerEntry | None) -> str:
        if file is None:
            return ""
        if known is not None and known.stamp == file.stamp and known.content and not is_unread(known.content):
            return known.content
        try:
            return self._to.pictures.digest(file)
        except InputError:  # it is there, but not to be read: as good as on another machine
            return ""

    def _entry(self, row: _Row, outcome: Outcome) -> LedgerEntry:
        item = row.item
        # Without a stamp, an index of the folder looks at the picture itself, and makes the vector anew.
        is_read = row.file is not None and not is_unread(item.content)
        return LedgerEntry(
            project=item.project,
            item_id=item.id,
            uri=item.uri or item.id,
            stamp=row.file.stamp if row.file and is_read else "",
            outcome=Outcome.FAILED if row.problem else outcome,
            content="" if row.problem else item.content,
            reason=row.problem,
        )


def unit_rows(part: TablePart) -> tuple[Rows, dict[int, str]]:
    """(n, dim) float32 of unit length; and why a row cannot be stored, by its place."""
    with np.errstate(over="ignore", invalid="ignore"):
        raw = scaled(part.values)
        lengths = np.sqrt(np.einsum("ij,ij->i", raw, raw))
        values = normalise(raw)
    problems = dict.fromkeys(np.flatnonzero(lengths == 0).tolist(), "its vector is all zeros.")
    not_finite = np.flatnonzero(~np.isfinite(lengths)).tolist()
    problems |= dict.fromkeys(not_finite, "its vector has numbers that are not finite.")
    problems |= {place: "its texts are not valid Unicode." for place, e in enumerate(part.entries) if not _is_text(e)}
    return values, problems | dict(part.problems)


def _known_better(item: Item, before: Item | None) -> Item:
    """The item with what is known better of it: its content, and what the file of that content says of itself."""
    if before is None:
        return item
    content = before.content if trust_in(before.content) > trust_in(item.content) else item.content
    facts = {name: value for name, value in before.metadata.items() if name in FILE_FACTS}
    kept = facts if before.content == content else {}
    return replace(item, content=content, metadata={**kept, **item.metadata})


def _says_the_same(known: LedgerEntry | None, entry: LedgerEntry) -> bool:
    if known is None:
        return False
    is_failed = (known.outcome is Outcome.FAILED, entry.outcome is Outcome.FAILED)
    return is_failed[0] == is_failed[1] and replace(known, outcome=entry.outcome) == entry


def _is_text(entry: Entry) -> bool:
    texts = (entry.id, entry.uri, entry.caption, entry.project, *entry.metadata, *entry.metadata.values())
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
