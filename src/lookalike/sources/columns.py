"""Which column of a table says what: by the names that people usually give them, or as somebody says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lookalike.errors import InputError
from lookalike.tables import Entry

USUAL = {
    "vector": ("embedding", "embeddings", "vector", "vectors", "image_embedding", "img_emb", "clip_embedding", "emb"),
    "id": ("id", "item_id", "image_id", "sku", "uid", "uuid", "key"),
    "uri": (
        "uri",
        "path",
        "image_path",
        "file",
        "filename",
        "file_name",
        "filepath",
        "image",
        "url",
        "image_url",
        "storage_path",
    ),
    "caption": ("caption", "text", "title", "description"),
    "project": ("project", "collection"),
}
"""Names by what they are for; of several that a table has, the first."""

METADATA = "metadata"
ROLES = (*USUAL, METADATA)

STAMP = "stamp"
ROW_ROLES = ("uri", "id", "project", "caption", METADATA, STAMP)
"""Of a table of pictures, which has no vectors; the last is of what changes when a row's picture does."""

Value = str | int | float | bool | None
_SCALARS = (str, int, float, bool, Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Names of columns; empty where a table has none for it.

    Attributes:
        metadata: Each becomes a fact of the item, under its own name; a value that is no text or number does not.
    """

    vector: str = ""
    id: str = ""
    uri: str = ""
    caption: str = ""
    project: str = ""
    metadata: tuple[str, ...] = ()

    @property
    def of_entries(self) -> list[str]:
        """All but the vector's."""
        return list(dict.fromkeys(filter(None, (self.id, self.uri, self.caption, self.project, *self.metadata))))

    def entry(self, row: Mapping[str, Any]) -> Entry:
        """What a row says, by column."""
        return Entry(
            id=_text(row, self.id),
            uri=_text(row, self.uri),
            caption=_text(row, self.caption),
            project=_text(row, self.project),
            metadata={name: _text(row, name) for name in self.metadata if _is_fact(row.get(name))},
        )


def resolve(present: Sequence[str], wished: Mapping[str, Sequence[str]], *, table: str, vector: bool = True) -> Columns:
    """Which column is for what.

    Args:
        present: The columns that there are.
        wished: For a role ("vector", "id", "uri", "caption", "project", "metadata") the columns that have it; the
            usual names count for the others, and without "metadata" every further column is metadata.
        table: What to call the table in errors.
        vector: Whether one of them has to be the vector.

    Raises:
        InputError: There is no such column, none for the vector, none that tells one row from another, or two of one
            name.
    """
    twice = [name for name, n in Counter(present).items() if n > 1]
    if twice:
        raise InputError(f"has two columns that are called {twice[0]!r}: rename one of them.", item=table)
    unknown = [name for names in wished.values() for name in names if name not in present]
    if unknown:
        raise InputError(f"has no column {unknown[0]!r}; there are: {listed(present)}.", item=table)
    candidates = {role: wished.get(role, [n for n in usual if n in present]) for role, usual in USUAL.items()}
    chosen = {role: next(iter(names), "") for role, names in candidates.items()}
    if vector and not chosen["vector"]:
        raise InputError(
            f"has no column with a usual name for the vectors: say which it is, as in `--column vector=NAME`. "
            f"There are: {listed(present)}.",
            item=table,
        )
    if not chosen["id"] and not chosen["uri"]:
        raise InputError(
            f"has neither a column with the items' ids nor one with the paths of their pictures: say which it is, as "
            f"in `--column uri=NAME`. There are: {listed(present)}.",
            item=table,
        )
    rest = tuple(name for name in present if name not in chosen.values())
    if not vector:
        chosen["vector"] = ""
    return Columns(**chosen, metadata=tuple(wished.get(METADATA, rest)))


def listed(names: Sequence[str]) -> str:
    """Names for a sentence."""
    return ", ".join(names) or "none"


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name) if name else None
    return "" if value is None else str(value)


def _is_fact(value: object) -> bool:
    return isinstance(value, _SCALARS) and value != "" and value == value  # a NaN is pandas' word for nothing
