"""Vectors of an attached table by content: by its column, or by the row that has them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lookalike.contents import is_unread
from lookalike.store.attached.rows import unit_rows
from lookalike.store.attached.shape import Shape
from lookalike.store.attached.writing import key_columns
from lookalike.types import Item

if TYPE_CHECKING:
    from lookalike.postgres import Connection

MAX_NAMED = 65_536
"""Of so many contents that are made of a vector it is kept which row has it, as no index of the table can say that."""


class Contents:
    """Finds vectors by content. Every method may be called from several threads at once."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._lock = threading.Lock()
        self._keys: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def note(self, items: Sequence[Item]) -> None:
        """Remember which rows have contents that no column of the table holds."""
        made = {item.content: (item.project, item.id) for item in items if is_unread(item.content)}
        if made:
            with self._lock:
                self._keys |= made
                while len(self._keys) > MAX_NAMED:
                    self._keys.popitem(last=False)

    def vectors(self, connection: Connection, contents: Sequence[str]) -> dict[str, Any]:
        """(dim,) float32 of unit length for each content that is there; of the last resort every row is looked at."""
        known: dict[str, Any] = {}
        for look_up in (self.in_column, self._by_key, self._by_looking):
            missing = list(dict.fromkeys(content for content in contents if content not in known))
            if missing:
                known |= look_up(connection, missing)
        return {content: known[content] for content in contents if content in known}

    def in_column(self, connection: Connection, contents: Sequence[str]) -> dict[str, Any]:
        """Those of contents that the table's column holds."""
        column = self._shape.content
        if column is None:
            return {}
        kept = [content for content in contents if "\0" not in content]
        asked = [_digest(content) for content in kept] if column.kind == "bytea" else kept
        return self._ask(connection, "vectors_of_contents", {"contents": asked})

    def _by_key(self, connection: Connection, contents: Sequence[str]) -> dict[str, Any]:
        with self._lock:
            keys = [self._keys[content] for content in contents if content in self._keys]
        columns, places = key_columns(self._shape, keys)
        return self._ask(connection, "vectors_of_keys", columns) if places else {}

    def _by_looking(self, connection: Connection, contents: Sequence[str]) -> dict[str, Any]:
        made = [content for content in contents if is_unread(content)]
        return self._ask(connection, "vectors_by_looking", {"contents": made}) if made else {}

    def _ask(self, connection: Connection, name: str, asked: Mapping[str, object]) -> dict[str, Any]:
        rows = connection.cursor(binary=True).execute(self._shape.statement(name), asked).fetchall()
        values = unit_rows([row[1] for row in rows], self._shape)
        return {row[0]: value for row, value in zip(rows, values, strict=True) if value.any()}


def _digest(content: str) -> bytes:
    try:
        return bytes.fromhex(content)
    except ValueError:
        return b""
