"""The vectors of a store on the disk: segments of the high and low bytes of rows, and of the codes that screen them."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lookalike.sql import statements
from lookalike.store import items
from lookalike.store.database import State
from lookalike.store.faults import damaged, writing
from lookalike.store.nearest import Table
from lookalike.store.segments import Segment, as_bytes, sync_folder
from lookalike.types import Rows
from lookalike.vectors import Codes, Screen, Slots, from_fixed, to_fixed

_SQL = statements("lookalike.store", "items.sql")

SCREEN_WIDTH = 128
"""Bytes to a code. 160 make every search of 624,000 rows 1.5 ms slower, and those that read many high bytes faster."""

SCREEN_FROM = 16_384
"""Rows from which on short codes pay: so many high bytes are scanned in a millisecond."""

REFIT_GROWTH = 8
"""The screen is fitted anew when the collection has grown so many times: old directions fit new pictures worse."""

SAMPLE = 8192
"""Rows that a screen is fitted to."""

CHUNK = 16_384
"""Rows rewritten at a time; as float32 they take 32 MiB at 512 dimensions."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Rows as they lie in the segments; `codes` is None while there is no screen."""

    high: Codes
    low: Codes
    codes: Codes | None


class VectorFiles:
    """Reads and writes the segments that a State names."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._folder = folder
        self._dim = dim

    def create(self, generation: int) -> None:
        """Empty segments of rows."""
        for segment in self._rows(generation):
            segment.create()
        with writing(self._folder):
            sync_folder(self._folder)

    def view(self, connection: sqlite3.Connection, state: State) -> Table:
        """What a search of this state reads. FileNotFoundError if a compaction has overtaken it."""
        high, low = (segment.read(state.slots) for segment in self._rows(state.generation))
        dead = items.slots(connection, "read_dead")
        if not state.screened:
            return Table(high, low, None, None, dead)
        screen = self._screen(connection)
        return Table(high, low, self._codes(state, screen.width).read(state.slots), screen, dead)

    def require_whole(self, state: State, table: Table) -> None:
        """StoreCorrupt, naming the file, if a segment under this view has been cut off."""
        for segment in self._rows(state.generation):
            segment.require(state.slots)
        if table.screen is not None:
            self._codes(state, table.screen.width).require(state.slots)

    def encoder(self, connection: sqlite3.Connection, state: State) -> Callable[[Rows], Encoded]:
        """What turns rows into what the segments of this state take; no use of the connection, so for any thread."""
        screen = self._screen(connection) if state.screened else None
        return lambda rows: Encoded(*to_fixed(rows), None if screen is None else screen.encode(rows))

    def append(self, state: State, encoded: Encoded, chosen: Sequence[int]) -> int:
        """Write the chosen rows behind those that count, on the disk when it returns; their checksum."""
        if encoded.codes is not None:
            self._codes(state, encoded.codes.shape[1]).write(state.slots, encoded.codes[chosen])
        return self._write(state.generation, state.slots, encoded.high[chosen], encoded.low[chosen])

    def counted(self, connection: sqlite3.Connection, state: State, n_rows: int, crc32: int) -> State:
        """The state that counts rows that were appended."""
        connection.execute(_SQL["write_batch"], (state.slots, n_rows, crc32))
        return replace(state, slots=state.slots + n_rows)

    def screen_is_due(self, state: State) -> bool:
        """Whether the collection has outgrown its screen, or the lack of one."""
        return state.slots >= max(SCREEN_FROM, REFIT_GROWTH * state.screened)

    def refit(self, connection: sqlite3.Connection, state: State) -> State:
        """Fit a screen to the rows as they are now and write the codes of all; the state that uses them."""
        table = self._unscreened(state)
        places = np.linspace(0, state.slots - 1, min(SAMPLE, state.slots)).astype(np.int64)
        screen = Screen.fit(table.rows(places), width=min(SCREEN_WIDTH, self._dim))
        state = replace(state, screened=state.slots)
        codes = self._codes(state, screen.width)
        codes.create()
        for first in range(0, state.slots, CHUNK):
            codes.write(first, screen.encode(table.rows(slice(first, first + CHUNK))))
        with writing(self._folder):
            sync_folder(self._folder)
        connection.execute(_SQL["write_screen"], (screen.to_bytes(),))
        return state

    def rewrite(self, connection: sqlite3.Connection, state: State, kept: Slots) -> State:
        """Copy the rows at these slots, in order, into a new generation; the state that uses it, not yet screened."""
        table = self._unscreened(state)
        self.create(state.generation + 1)
        connection.execute(_SQL["drop_batches"])
        for first in range(0, len(kept), CHUNK):
            slots = kept[first : first + CHUNK]
            crc32 = self._write(state.generation + 1, first, table.high[slots], table.low[slots])
            connection.execute(_SQL["write_batch"], (first, len(slots), crc32))
        return replace(state, generation=state.generation + 1, slots=len(kept), screened=0)

    def check(self, connection: sqlite3.Connection, state: State, table: Table) -> None:
        """Read every row and code. StoreCorrupt if one is not what was written."""
        for first, n_slots, crc32 in connection.execute(_SQL["read_batches"]):
            batch = slice(first, first + n_slots)
            if _checksum(table.high[batch], table.low[batch]) != crc32:
                names = " or ".join(segment.path.name for segment in self._rows(state.generation))
                raise damaged(self._folder / names, f"has damaged rows between {first} and {first + n_slots}")
            if table.screen is not None and table.codes is not None:
                expected = table.screen.encode(from_fixed(table.high[batch], table.low[batch]))
                self._check_codes(state, expected, table.codes[batch], first)

    def sweep(self, state: State) -> None:
        """Remove the segments of earlier generations, and of a writer that was killed."""
        current = {segment.path for segment in (*self._rows(state.generation), self._codes(state, 1))}
        with writing(self._folder):
            for path in self._folder.glob("*-*.i8"):
                if path not in current:
                    path.unlink(missing_ok=True)

    def _write(self, generation: int, first: int, high: Codes, low: Codes) -> int:
        for segment, part in zip(self._rows(generation), (high, low), strict=True):
            segment.write(first, part)
        return _checksum(high, low)

    def _check_codes(self, state: State, expected: Codes, codes: Codes, first: int) -> None:
        # Codes follow from the rows; another machine's arithmetic may round some to the next unit or two.
        differences = np.abs(codes.astype(np.int16) - expected)
        if len(differences) and differences.max() > 2:
            raise damaged(self._codes(state, 1).path, f"has damaged codes from row {first} on")

    def _unscreened(self, state: State) -> Table:
        high, low = (segment.read(state.slots) for segment in self._rows(state.generation))
        return Table(high, low, None, None, np.empty(0, np.int64))

    def _screen(self, connection: sqlite3.Connection) -> Screen:
        (parameters,) = connection.execute(_SQL["read_screen"]).fetchone()
        return Screen.from_bytes(parameters, dim=self._dim)

    def _rows(self, generation: int) -> tuple[Segment, Segment]:
        high, low = (
            Segment(self._folder / f"{part}-{generation}.i8", width=self._dim, identity=generation)
            for part in ("high", "low")
        )
        return high, low

    def _codes(self, state: State, width: int) -> Segment:
        path = self._folder / f"codes-{state.generation}-{state.screened}.i8"
        return Segment(path, width=width, identity=state.screened)


def _checksum(high: Codes, low: Codes) -> int:
    return zlib.crc32(as_bytes(low), zlib.crc32(as_bytes(high)))
