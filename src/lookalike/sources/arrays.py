"""Vectors in a NumPy file (.npy), with their items in a file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InputError
from lookalike.sources.sidecar import Sidecar
from lookalike.tables import TablePart, rows_to_a_part


class NpyTable:
    """ports.VectorTable over an array that is mapped, not loaded.

    Args:
        path: The array: (n, dim) of float16, float32 or float64.
        items: What each row is of.

    Raises:
        InputError: It is not such an array.
    """

    def __init__(self, path: Path, items: Sidecar) -> None:
        self.name = str(path)
        self._values = map_array(path)
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
                raise InputError(
                    f"has {self.n_rows:,} rows, and there are only {first + len(part):,} items for them: the two "
                    "files do not belong together.",
                    item=self.name,
                )
            yield TablePart(entries=part, values=values)
        n_more = sum(1 for _ in entries)
        if n_more:
            raise InputError(
                f"has {self.n_rows:,} rows, and there are {n_more:,} items more than that: the two files do not "
                "belong together.",
                item=self.name,
            )


def map_array(path: Path) -> NDArray[np.floating]:
    """(n, dim) float: the array in a file, mapped.

    Raises:
        InputError: There is none, or it is something else.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError("there is no such file.", item=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}.", item=str(path)) from error
    except (ValueError, EOFError) as error:
        raise InputError("is no array of numbers that NumPy wrote (.npy), or is cut off.", item=str(path)) from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "f" or not values.shape[1]:
        what = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "several arrays"
        raise InputError(f"is not an array of (rows, numbers) of a float type; it is {what}.", item=str(path))
    return values
