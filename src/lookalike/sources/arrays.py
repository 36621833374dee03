"""Vectors in a NumPy file (.npy), with their items in a file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lookalike.errors import InputError
from lookalike.sources.npy import map_vectors
from lookalike.sources.sidecar import Sidecar
from lookalike.tables import TablePart, rows_to_a_part


class NpyTable:
    """tables.VectorTable over an array that is mapped, not loaded.

    Args:
        path: The array: (n, dim) of float16, float32 or float64.
        items: What each row is of.

    Raises:
        InputError: It is not such an array.
    """

    def __init__(self, path: Path, items: Sidecar) -> None:
        self.name = str(path)
        self._values = map_vectors(path)
        self._items = items

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return len(self._values)

    @property
    def dim(self) -> int:
        """How many numbers a row has."""
        return int(self._values.shape[1])

    def parts(self) -> Iterator[TablePart]:
        """Its rows in order. InputError if there are not as many items as rows."""
        entries, size = self._items.entries(), rows_to_a_part(self.dim)
        for first in range(0, self.n_rows, size):
            values = self._values[first : first + size]
            part = list(islice(entries, len(values)))
            if len(part) < len(values):
                raise self._misfit(first + len(part))
            yield TablePart(entries=part, values=values)
        n_more = sum(1 for _ in entries)
        if n_more:
            raise self._misfit(self.n_rows + n_more)

    def _misfit(self, n_items: int) -> InputError:
        return InputError(
            f"has {self.n_rows:,} rows, and the list of items {n_items:,}: the two files do not belong together.",
            item=self.name,
        )
