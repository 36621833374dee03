"""Vectors that were made elsewhere: what a table of them says, and the seams to such tables and to their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.types import SourceObject

PART_BYTES = 1 << 24
"""What the float32 vectors of one part may weigh: a batch of the store, and little enough to hold several."""

PART_ROWS = 8192
"""A part ends here at the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a row of a table is the vector of.

    Attributes:
        id: The owner's name for it; empty if it has none but the uri.
        uri: Where its picture is (a path or URL), as the table has it; empty if the table does not say.
        caption: Free text of the owner.
        project: The collection that it belongs to; empty if the table does not say.
        metadata: Further facts.
    """

    id: str = ""
    uri: str = ""
    caption: str = ""
    project: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return self.id or self.uri


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TablePart:
    """Rows of a table that follow each other.

    Attributes:
        entries: What each row is of.
        values: (n, dim) of any float type, as they were made: of any length, maybe not finite.
        problems: Why a row has no vector, by its place in this part; its numbers mean nothing.
    """

    entries: Sequence[Entry]
    values: NDArray[np.floating]
    problems: Mapping[int, str] = field(default_factory=dict)


class VectorTable(Protocol):
    """Vectors that were made elsewhere, and what each is of."""

    @property
    def name(self) -> str:
        """What it is called in errors."""
        ...

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        ...

    @property
    def dim(self) -> int:
        """How many numbers a row has; 0 if no row has a vector."""
        ...

    def parts(self) -> Iterator[TablePart]:
        """Every row, a bounded number at a time; may be walked again. InputError or StoreError if that fails."""
        ...


class Pictures(Protocol):
    """The pictures that the rows of a table are of. Called from several threads."""

    def find(self, uri: str) -> SourceObject | None:
        """The file of this machine that a table's uri means; None if there is none."""
        ...

    def full(self, uri: str) -> str:
        """A table's uri in full, where its paths start in a bucket; else as it is."""
        ...

    def digest(self, obj: SourceObject) -> str:
        """sha256 (hex) of its bytes. InputError if it cannot be read."""
        ...

    def read(self, uri: str, *, max_bytes: int) -> bytes:
        """The bytes of a picture, wherever it is. InputError or ProviderError if they cannot be had."""
        ...


def rows_to_a_part(dim: int) -> int:
    """How many rows of so many numbers make a part; 0 are those of a table without vectors."""
    return max(1, min(PART_ROWS, PART_BYTES // (4 * max(dim, 1))))
