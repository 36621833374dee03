"""Tables in Parquet files: rows with a column of vectors, and rows about vectors that are elsewhere."""

from __future__ import annotations

from collections import Counter
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
    """tables.VectorTable over Parquet files, read a part at a time.

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
        """How many numbers a row has, by the first of them."""
        return self._dim

    def parts(self) -> Iterator[TablePart]:
        """Its rows in order; one whose vector is missing or of another length has that for a problem."""
        wanted = [*self._columns.of_entries, self._columns.vector]
        for file in self._files:
            file.require_lists(self._columns.vector)  # a file beside the first may have another type there
            for batch in file.batches(wanted, rows_to_a_part(self._dim)):
                entries = [self._columns.entry(row) for row in file.rows(batch, self._columns.of_entries)]
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
            self._file = pyarrow.parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return int(self._file.metadata.num_rows)

    @property
    def names(self) -> list[str]:
        """Its columns; that of pandas' row numbers is none."""
        return [name for name in self._file.schema_arrow.names if not name.startswith("__index_level_")]

    def list_size(self, column: str) -> int:
        """How many numbers most of the first vectors in this column have; 0 if there are none.

        Raises:
            InputError: The column does not hold lists of numbers.
        """
        self.require_lists(column)
        for batch in self.batches([column], 64):
            lengths = Counter(len(value) for value in batch.column(0) if value.is_valid)
            if lengths:
                return lengths.most_common(1)[0][0]
        return 0

    def require_lists(self, column: str) -> None:
        """InputError unless the column is there and holds lists of numbers."""
        self._require([column])
        kind, types = self._file.schema_arrow.field(column).type, self._arrow.types
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        if not is_list or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
            raise InputError(f"its column {column!r} does not hold lists of numbers but {kind}.", item=self.name)

    def batches(self, columns: Sequence[str], size: int) -> Iterator[Any]:
        """Record batches with these columns, at most `size` rows each."""
        self._require(columns)
        with self._translated():
            yield from self._file.iter_batches(batch_size=size, columns=list(columns))

    def rows(self, batch: Any, columns: Sequence[str]) -> list[dict[str, Any]]:
        """What a batch has in these columns, row by row."""
        with self._translated():
            found: list[dict[str, Any]] = batch.select(columns).to_pylist()
        return found

    def entries(self, wished: Mapping[str, Sequence[str]]) -> Iterator[Entry]:
        """What each row is of, where the vectors are elsewhere."""
        columns = resolve(self.names, wished, table=self.name, vector=False)
        for batch in self.batches(columns.of_entries, 8192):
            yield from map(columns.entry, self.rows(batch, columns.of_entries))

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

    def _require(self, columns: Sequence[str]) -> None:
        missing = [name for name in columns if name not in self.names]
        if missing:
            raise InputError(f"has no column {missing[0]!r}, as the files beside it have.", item=self.name)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise InputError("there is no such file.", item=self.name) from error
        except UnicodeDecodeError as error:
            raise InputError("has texts that are not UTF-8.", item=self.name) from error
        except (self._arrow.ArrowException, OSError) as error:
            reason = str(error).rstrip(".")
            raise InputError(f"is no Parquet file that can be read: {reason}.", item=self.name) from error


def _problem(length: int, dim: int) -> str:
    return NO_VECTOR if length < 0 else f"its vector has {length} numbers, the others {dim}."
