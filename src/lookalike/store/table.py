"""The vectors of a store on the disk: segments of float16 rows, and of the codes that screen them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.store import items
from lookalike.store.database import State
from lookalike.store.faults import writing
from lookalike.store.nearest import Table
from lookalike.store.segments import Segment, checksum, damaged, sync_folder
from lookalike.store.sql import statements
from lookalike.types import Rows
from lookalike.vectors import Screen, Slots

_SQL = statements("items.sql")

SCREEN_WIDTH = 128
"""Bytes to a code. Narrower saves little (a row costs more than its bytes), wider reads more of every row."""

SCREEN_FROM = 1024
"""Rows from which on a screen pays, and can be fitted."""

REFIT_GROWTH = 4
"""The screen is fitted anew when the collection has grown so many times: old directions fit new pictures worse."""

SAMPLE = 16_384
"""Rows that a screen is fitted to."""

CHUNK = 65_536
"""Rows rewritten at a time, 64 MiB at 512 dimensions."""


class VectorFiles:
    """Reads and writes the segments that a State names."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._folder = folder
        self._dim = dim

    def create(self, generation: int) -> Segment[np.float16]:
        """An empty segment of rows."""
        segment = self._rows(generation)
        segment.create()
        with writing(self._folder):
            sync_folder(self._folder)
        return segment

    def view(self, connection: sqlite3.Connection, state: State) -> Table:
        """What a search of this state reads. FileNotFoundError if a compaction has overtaken it."""
        rows = self._rows(state.generation).read(state.slots)
        dead = items.slots(connection, "read_dead")
        if not state.screened:
            return Table(rows, None, None, dead)
        screen = self._screen(connection)
        return Table(rows, self._codes(state, screen.width).read(state.slots), screen, dead)

    def append(self, connection: sqlite3.Connection, state: State, values: Rows) -> State:
        """Write rows behind those that count, on the disk when it returns; the state that counts them too."""
        rows = values.astype(np.float16)
        self._rows(state.generation).write(state.slots, rows)
        if state.screened:
            screen = self._screen(connection)
            self._codes(state, screen.width).write(state.slots, screen.encode(rows.astype(np.float32)))
        connection.execute(_SQL["write_batch"], (state.slots, len(rows), checksum(rows)))
        return replace(state, slots=state.slots + len(rows))

    def screen_is_due(self, state: State) -> bool:
        """Whether the collection has outgrown its screen, or the lack of one."""
        return state.slots >= max(SCREEN_FROM, REFIT_GROWTH * state.screened)

    def refit(self, connection: sqlite3.Connection, state: State) -> State:
        """Fit a screen to the rows as they are now and write the codes of all; the state that uses them."""
        rows = self._rows(state.generation).read(state.slots)
        places = np.linspace(0, state.slots - 1, min(SAMPLE, state.slots)).astype(np.int64)
        screen = Screen.fit(rows[places].astype(np.float32), width=min(SCREEN_WIDTH, self._dim))
        state = replace(state, screened=state.slots)
        codes = self._codes(state, screen.width)
        codes.create()
        for first in range(0, state.slots, CHUNK):
            codes.write(first, screen.encode(rows[first : first + CHUNK].astype(np.float32)))
        with writing(self._folder):
            sync_folder(self._folder)
        connection.execute(_SQL["write_screen"], (screen.to_bytes(),))
        return state

    def rewrite(self, connection: sqlite3.Connection, state: State, kept: Slots) -> State:
        """Copy the rows at these slots, in order, into a new generation; the state that uses it, not yet screened."""
        old = self._rows(state.generation).read(state.slots)
        new = self.create(state.generation + 1)
        connection.execute(_SQL["drop_batches"])
        for first in range(0, len(kept), CHUNK):
            rows = old[kept[first : first + CHUNK]]
            new.write(first, rows)
            connection.execute(_SQL["write_batch"], (first, len(rows), checksum(rows)))
        return replace(state, generation=state.generation + 1, slots=len(kept), screened=0)

    def check(self, connection: sqlite3.Connection, state: State, table: Table) -> None:
        """Read every row and code. StoreCorrupt if one is not what was written."""
        for first, n_slots, crc32 in connection.execute(_SQL["read_batches"]):
            rows = table.rows[first : first + n_slots]
            if checksum(rows) != crc32:
                what = f"has damaged rows between {first} and {first + n_slots}"
                raise damaged(self._rows(state.generation).path, what)
            if table.screen is not None and table.codes is not None:
                self._check_codes(state, table.screen.encode(rows.astype(np.float32)), table.codes, first)

    def sweep(self, state: State) -> None:
        """Remove the segments of earlier generations, and of a writer that was killed."""
        current = {self._rows(state.generation).path, self._codes(state, 1).path}
        with writing(self._folder):
            for path in self._segments():
                if path not in current:
                    path.unlink(missing_ok=True)

    def _check_codes(self, state: State, expected: NDArray[np.int8], codes: NDArray[np.int8], first: int) -> None:
        # Codes follow from the rows; another machine's arithmetic may round a value to the next unit.
        differences = np.abs(codes[first : first + len(expected)].astype(np.int16) - expected)
        if len(differences) and differences.max() > 1:
            raise damaged(self._codes(state, 1).path, f"has damaged codes from row {first} on")

    def _segments(self) -> Iterator[Path]:
        yield from self._folder.glob("vectors-*.f16")
        yield from self._folder.glob("codes-*.i8")

    def _screen(self, connection: sqlite3.Connection) -> Screen:
        (parameters,) = connection.execute(_SQL["read_screen"]).fetchone()
        return Screen.from_bytes(parameters, dim=self._dim)

    def _rows(self, generation: int) -> Segment[np.float16]:
        path = self._folder / f"vectors-{generation}.f16"
        return Segment(path, dtype=np.float16, width=self._dim, identity=generation)

    def _codes(self, state: State, width: int) -> Segment[np.int8]:
        path = self._folder / f"codes-{state.generation}-{state.screened}.i8"
        return Segment(path, dtype=np.int8, width=width, identity=state.screened)
