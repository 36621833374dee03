"""The first walk over a table: whether its rows can be told apart, and some of them, spread out, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InputError
from lookalike.importing.finding import find_all, uri_of
from lookalike.tables import Entry, Pictures, TablePart, VectorTable
from lookalike.vectors import Slots, normalise, scaled

BEFORE, OWN, AFTER = range(3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Some rows of a table.

    Attributes:
        entries: What n rows are of.
        rows: (3, n, dim) float32: of each entry the row before its own, its own, and the one after; unit length, or
            all zero where there is none that can be used.
    """

    entries: tuple[Entry, ...]
    rows: NDArray[np.float32]

    def at(self, positions: list[int]) -> Sample:
        """The entries at these places of the sample."""
        return Sample(entries=tuple(self.entries[p] for p in positions), rows=self.rows[:, positions])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """What the first walk found.

    Attributes:
        n_rows: How many rows there are.
        sample: Some of them.
    """

    n_rows: int
    sample: Sample


def survey(table: VectorTable, pictures: Pictures, *, dim: int, project: str, size: int, threads: int = 1) -> Survey:
    """Walk over a table once, before anything is written.

    Args:
        table: What is to be imported.
        pictures: Finds the pictures; an item without an id is called by where its picture is.
        dim: How many numbers a row must have.
        project: Of rows that name none.
        size: How many rows to sample.
        threads: Threads that look for pictures.

    Raises:
        InputError: Its rows have another length or none, two items have one name, or one has none.
    """
    if table.n_rows and not table.dim:
        raise InputError("none of its rows has a vector.", item=table.name)
    if table.n_rows and table.dim != dim:
        raise InputError(
            f"these vectors have {table.dim} numbers, the model's {dim}: they were made by another model. Name that "
            "one with --model.",
            item=table.name,
        )
    wanted = np.unique(np.linspace(0, max(table.n_rows - 1, 0), min(size, table.n_rows)).round().astype(np.int64))
    collector, seen, first = _Collector(wanted, dim), _Seen(table.name, project), 0
    with ThreadPoolExecutor(threads, thread_name_prefix="finding") as pool:
        for part in table.parts():
            seen.look_at(part, _names(part, first, table.name, pictures, pool))
            collector.look_at(part, first)
            first += len(part.entries)
    seen.require_distinct()
    return Survey(n_rows=first, sample=collector.sample())


def _names(part: TablePart, first: int, table: str, pictures: Pictures, pool: Executor) -> list[str]:
    """The ids that items of these rows will have: "a.png" and "./a.png" are one."""
    for row, entry in enumerate(part.entries, first):
        if not entry.name:
            raise InputError(f"row {row:,} has neither an id nor the path of a picture.", item=table)
    nameless = [entry for entry in part.entries if not entry.id]
    files = iter(find_all(pictures, nameless, pool))
    return [entry.id or uri_of(pictures, entry, next(files)) for entry in part.entries]


class _Seen:
    """Names that came by, as 64-bit hashes: a table may have millions. Two that differ never meet, but by accident."""

    def __init__(self, table: str, project: str) -> None:
        self._table = table
        self._project = project
        self._hashes: set[int] = set()
        self._n_twice = 0
        self._example = ""

    def look_at(self, part: TablePart, names: Sequence[str]) -> None:
        for entry, name in zip(part.entries, names, strict=True):
            key = hash((entry.project or self._project, name))
            if key in self._hashes:
                self._n_twice += 1
                self._example = self._example or entry.name
            self._hashes.add(key)

    def require_distinct(self) -> None:
        if self._n_twice:
            raise InputError(
                f"{self._n_twice:,} rows have a name that another row of their project has too, such as "
                f"{self._example!r}: each item needs an id of its own. Say which column has it: --column id=NAME.",
                item=self._table,
            )


class _Collector:
    """Picks the wanted rows, and their neighbours, as they come by."""

    def __init__(self, wanted: Slots, dim: int) -> None:
        self._wanted = wanted
        self._entries: list[Entry] = []
        self._rows = np.zeros((3, len(wanted), dim), np.float32)

    def look_at(self, part: TablePart, first: int) -> None:
        end = first + len(part.entries)
        for neighbour, offset in ((BEFORE, -1), (OWN, 0), (AFTER, 1)):
            rows = self._wanted + offset
            here = np.flatnonzero((rows >= first) & (rows < end))
            self._rows[neighbour, here] = _usable(part, rows[here] - first)
        here = self._wanted[(self._wanted >= first) & (self._wanted < end)]
        self._entries += [part.entries[row] for row in (here - first).tolist()]

    def sample(self) -> Sample:
        """What was picked."""
        entries = tuple(self._entries)
        return Sample(entries=entries, rows=self._rows[:, : len(entries)])


def _usable(part: TablePart, rows: Slots) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        values = normalise(scaled(part.values[rows]))
        values[~np.isfinite(np.linalg.norm(values, axis=1))] = 0
    values[[row in part.problems for row in rows.tolist()]] = 0
    return values
