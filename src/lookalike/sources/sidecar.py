"""The file beside an array of vectors that says what each row is of."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lookalike.errors import InputError
from lookalike.sources.columns import Columns, resolve
from lookalike.sources.npy import map_array
from lookalike.tables import Entry

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".txt", ".npy")

csv.field_size_limit(1 << 24)  # a caption may be long; the default is 131,072 characters


class Sidecar:
    """Items in a file: JSON lines or CSV with columns, or paths, one a line (.txt) or an array of texts (.npy).

    Args:
        path: The file; its name's end says which it is.
        wished: Columns by role; see `columns.resolve`.

    Raises:
        InputError: It cannot be read, or its name ends otherwise.
    """

    def __init__(self, path: Path, wished: Mapping[str, Sequence[str]]) -> None:
        self._path = path
        self._wished = wished
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"is no list of items that is known by its name: it has to end in {', '.join(SUFFIXES)}.",
                item=str(path),
            )
        if not path.is_file():
            raise InputError("there is no such file with the items of the vectors.", item=str(path))

    def entries(self) -> Iterator[Entry]:
        """Each item, in the order of the file."""
        kind = self._path.suffix.lower()
        with _translated(self._path):
            if kind == ".csv":
                yield from self._csv()
            elif kind == ".txt":
                with self._path.open(encoding="utf-8-sig") as file:
                    yield from (Entry(uri=line.rstrip("\r\n")) for line in file if line.strip())
            elif kind == ".npy":
                yield from (Entry(uri=path) for path in self._paths())
            else:
                yield from self._json_lines()

    def _paths(self) -> Iterator[str]:
        array = map_array(self._path)
        if array.ndim != 1 or array.dtype.kind not in "US":
            raise InputError(f"is no array of texts but {array.dtype} of shape {array.shape}.", item=str(self._path))
        return (path.decode() if isinstance(path, bytes) else str(path) for path in array)

    def _csv(self) -> Iterator[Entry]:
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = self._columns(reader.fieldnames or ())
            yield from map(columns.entry, reader)

    def _json_lines(self) -> Iterator[Entry]:
        columns: dict[tuple[str, ...], Columns] = {}
        with self._path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = self._object(line, number)
                names = tuple(row)
                if names not in columns:
                    columns[names] = self._columns(names, line=number, strict=not columns)
                yield columns[names].entry(row)

    def _object(self, line: str, number: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise InputError(
                f'line {number} is no JSON object; each line has to be one, as in {{"path": "a.jpg"}}.',
                item=str(self._path),
            )
        return row

    def _columns(self, names: Sequence[str], *, line: int = 1, strict: bool = True) -> Columns:
        """The columns of a line; but for the first, it may leave out what `wished` names."""
        wished = self._wished
        if not strict:
            wished = {role: [name for name in found if name in names] for role, found in wished.items()}
        table = f"{self._path}, line {line}" if line > 1 else str(self._path)
        return resolve(names, wished, table=table, vector=False)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}.", item=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8: save it as that.", item=str(path)) from error
    except csv.Error as error:
        raise InputError(f"is no CSV that can be read: {error}.", item=str(path)) from error
