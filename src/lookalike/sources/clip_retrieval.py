"""What `clip-retrieval inference` writes: img_emb/img_emb_<n>.npy, and metadata/metadata_<n>.parquet about its rows.

github.com/rom1504/clip-retrieval, clip_inference/writer.py: the metadata have a column "image_path", with
text a "caption", and one for each field of the dataset's own metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from lookalike.errors import InputError
from lookalike.sources.npy import map_vectors
from lookalike.sources.parquet import ParquetFile
from lookalike.tables import TablePart, rows_to_a_part

VECTORS, METADATA = "img_emb", "metadata"


class ClipRetrievalTable:
    """tables.VectorTable over such a folder.

    Args:
        folder: The output folder of the inference.
        wished: Columns of the metadata by role; see `columns.resolve`.

    Raises:
        InputError: Something is missing in it, or does not belong together.
        MissingDependency: pyarrow is not installed.
    """

    def __init__(self, folder: Path, wished: Mapping[str, Sequence[str]]) -> None:
        self.name = str(folder)
        arrays = sorted((folder / VECTORS).glob("*.npy"), key=_order)
        if not arrays:
            raise InputError(f"has no {VECTORS}/*.npy: it is no output of clip-retrieval.", item=self.name)
        self._arrays = [map_vectors(path) for path in arrays]
        self._metadata = [ParquetFile(folder / METADATA / f"{METADATA}_{_number(path)}.parquet") for path in arrays]
        self._wished = wished
        for path, array, file in zip(arrays, self._arrays, self._metadata, strict=True):
            if len(array) != file.n_rows:
                raise InputError(
                    f"has {len(array):,} rows, and {file.name} {file.n_rows:,}: the two do not belong together.",
                    item=str(path),
                )
            if array.shape[1] != self.dim:
                raise InputError(f"has {array.shape[1]} numbers a row, and {arrays[0]} {self.dim}.", item=str(path))

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return sum(map(len, self._arrays))

    @property
    def dim(self) -> int:
        """How many numbers a row has."""
        return int(self._arrays[0].shape[1])

    def parts(self) -> Iterator[TablePart]:
        """Its rows, file after file."""
        size = rows_to_a_part(self.dim)
        for array, file in zip(self._arrays, self._metadata, strict=True):
            entries = file.entries(self._wished)
            for first in range(0, len(array), size):
                values = array[first : first + size]
                yield TablePart(entries=list(islice(entries, len(values))), values=values)


def _number(path: Path) -> str:
    return path.stem.rpartition("_")[2]


def _order(path: Path) -> tuple[int, str]:
    number = _number(path)
    return (int(number) if number.isdecimal() else -1, path.name)
