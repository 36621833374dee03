"""Tables in Parquet files: rows with a column of vectors, and rows about vectors that are elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InputError, MissingDependency
from lookalike.sources.columns import resolve
from lookalike.tables import Entry, TablePart, rows_to_a_part

NO_VECTOR = "has no vector."


class ParquetTable:
    """ports.VectorTable over Parquet files, read a part at a time.

    Args:
        paths: One or several files with the same columns, in order.
        wished: Columns by role; see `columns.resolve`.

    Raises:
        InputError: They cannot be read, or have no such columns.
        MissingDependency: pyarrow is not installed.
    """

    def __init__(self, paths: Sequence[Path], wished: Mapping[str, Sequence[str]]) -> None:
        files = [ParquetFile(path) for path in paths]
        self.name = str(paths[0]) if len(paths) == 1 else str(paths[0].parent)
        self._columns = resolve(files[0].names, wished, table=files[0].name)
        self._files = files
        self._dim = files[0].list_size(self._columns.vector)

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return sum(file.n_rows for file in self._files)

    @property
    def dim(self) -> int:
        """How many numbers the first vector has."""
        return self._dim

    def parts(self) -> Iterator[TablePart]:
        """Its rows in order; one whose vector is missing or of another length has that for a problem."""
        wanted = [*self._columns.of_entries, self._columns.vector]
        for file in self._files:
            for batch in file.batches(wanted, rows_to_a_part(self._dim)):
                entries = [self._columns.entry(row) for row in batch.select(self._columns.of_entries).to_pylist()]
                values, problems = file.vectors(batch.column(self._columns.vector), self._dim)
                yield TablePart(entries=entries, values=values, problems=problems)


class ParquetFile:
    """One file, its footer read.

    Raises:
        InputError: It is not there, or is no Parquet file.
        MissingDependency: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.compute
            import pyarrow.parquet
        except ImportError as error:
            raise MissingDependency("pyarrow", extra="parquet") from error
        self.name = str(path)
        self._arrow = pyarrow
        with self._translated():
            self._file = pyarrow.parquet.ParquetFile(path, memory_map=True)

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return int(self._file.metadata.num_rows)

    @property
    def names(self) -> list[str]:
        """Its columns; that of pandas' row numbers is none."""
        return [name for name in self._file.schema_arrow.names if not name.startswith("__index_level_")]

    def list_size(self, column: str) -> int:
        """How many numbers the first vector in this column has; 0 if there is none.

        Raises:
            InputError: The column does not hold lists of numbers.
        """
        kind, types = self._file.schema_arrow.field(column).type, self._arrow.types
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        if not is_list or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
            raise InputError(f"its column {column!r} does not hold lists of numbers but {kind}.", item=self.name)
        if types.is_fixed_size_list(kind):
            return int(kind.list_size)
        first = (len(value) for batch in self.batches([column], 64) for value in batch.column(0) if value.is_valid)
        return next(first, 0)

    def batches(self, columns: Sequence[str], size: int) -> Iterator[Any]:
        """Record batches with these columns, at most `size` rows each."""
        missing = [name for name in columns if name not in self.names]
        if missing:
            raise InputError(f"has no column {missing[0]!r}, as the files beside it have.", item=self.name)
        with self._translated():
            yield from self._file.iter_batches(batch_size=size, columns=list(columns))

    def entries(self, wished: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        """What each row is of, where the vectors are elsewhere."""
        columns = resolve(self.names, wished, table=self.name, vector=False)
        for batch in self.batches(columns.of_entries, 8192):
            yield from map(columns.entry, batch.to_pylist())

    def vectors(self, column: Any, dim: int) -> tuple[NDArray[np.floating], dict[int, str]]:
        """(n, dim): what a batch has in a column of lists; and why a row has no vector, or one of another length."""
        lengths = self._arrow.compute.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
        is_good = lengths == dim
        problems = {int(row): _problem(int(lengths[row]), dim) for row in np.flatnonzero(~is_good)}
        good = column.filter(self._arrow.array(is_good)) if problems else column
        # A number that is missing within a vector becomes NaN, which is then its row's fault.
        flat = good.flatten().to_numpy(zero_copy_only=False)
        values = np.zeros((len(column), dim), flat.dtype if flat.dtype.kind == "f" else np.float32)
        values[is_good] = flat.reshape(-1, dim)
        return values, problems

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise InputError("there is no such file.", item=self.name) from error
        except (self._arrow.ArrowException, OSError) as error:
            raise InputError(f"is no Parquet file that can be read: {error}.", item=self.name) from error


def _problem(length: int, dim: int) -> str:
    return NO_VECTOR if length < 0 else f"its vector has {length} numbers, the others {dim}."
