"""An attached table as its statements see it: the one place where its names are put into SQL.

Every statement of `attached.sql` reads `{items}`, a subquery that gives the table's columns the names that lookalike
has for them; the database takes it apart again, so its indexes are used. Values are parameters, always.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from lookalike.contents import CHECKED, UNCHECKED
from lookalike.errors import InputError
from lookalike.sql import quoted, statements
from lookalike.store.attached.catalog import Column, Relation, VectorIndex, require_columns
from lookalike.store.attached.mapping import Mapping
from lookalike.types import Filter

TEXTS = {"text", "varchar"}
INTEGERS = {"int2": 15, "int4": 31, "int8": 63}
"""Whole numbers, by the power of two that they stay below."""

VECTORS = {"vector": "vector_norm", "halfvec": "l2_norm"}
"""Types of pgvector, and what gives the length of theirs."""

DOCUMENTS = {"json", "jsonb"}

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_SQL = statements("lookalike.store.attached", "attached.sql")


@dataclass(frozen=True, slots=True)
class Tables:
    """The relations of a mapping, as they are now; the same twice where vectors stand beside their items."""

    items: Relation
    vectors: Relation


class Shape:
    """Statements for one attached table.

    Args:
        mapping: What its columns are for.
        tables: What the database says of them.
        dim: How many numbers a vector has.

    Raises:
        InputError: A column is not there, or of a type that is of no use.
    """

    def __init__(self, mapping: Mapping, tables: Tables, *, dim: int) -> None:
        require_columns(tables.items, mapping.of_items)
        require_columns(tables.vectors, mapping.of_vectors)
        self.mapping = mapping
        self.tables = tables
        self.dim = dim
        self.id = tables.items.columns[mapping.id]
        self.vector = tables.vectors.columns[mapping.vector]
        self.project = tables.items.columns[mapping.project] if mapping.project else None
        self.content = tables.items.columns[mapping.content] if mapping.content else None
        facts = [tables.items.columns[name] for name in mapping.metadata]
        self.facts = [column for column in facts if column.kind not in DOCUMENTS]
        documents = [column for column in facts if column.kind in DOCUMENTS]
        self.document = documents[0] if documents else None
        _require_types(self, documents)

    @cached_property
    def has_project_keys(self) -> bool:
        """Whether ids are unique only within their project."""
        keys = self.tables.items.keys
        return frozenset({self.id.name}) not in keys and bool(
            self.project and frozenset({self.id.name, self.project.name}) in keys
        )

    @property
    def has_key(self) -> bool:
        """Whether no two rows can be one item: an index that lets a project be null does not compare those rows."""
        if frozenset({self.id.name}) in self.tables.items.keys:
            return True
        return self.has_project_keys and not (self.project and self.project.is_nullable)

    @property
    def key(self) -> tuple[Column, ...]:
        """The columns that tell items apart."""
        return (self.project, self.id) if self.has_project_keys and self.project else (self.id,)

    def statement(self, name: str, **more: str) -> bytes:
        """A statement of `attached.sql`, for this table."""
        return _SQL[name].format(**self._names, **more).encode()

    def key_of(self, project: str, item_id: str) -> tuple[str | None, str] | None:
        """How (project, id) is written in the columns, '' as null if that can be; None if no row can have that."""
        kept_id = kept(item_id, self.id)
        if kept_id is None:
            return None
        if self.project is None:
            return (None, kept_id) if project == self.mapping.unsaid_project else None
        if not project and self.project.is_nullable:
            return (None, kept_id)
        kept_project = kept(project, self.project)
        return None if kept_project is None else (kept_project, kept_id)

    def condition(self, where: Filter, *, after: tuple[str, str] | None = None) -> tuple[str, dict[str, str]] | None:
        """What a filter asks for, and to be behind an item, as SQL and its values; None if no row can pass."""
        asked: dict[str, str] = {}
        parts = ["true"]
        if after is not None:
            parts.append(
                """(coalesce(project::text, %(no_project)s::text) COLLATE "C", id::text COLLATE "C")"""
                " > (%(after_project)s::text, %(after_id)s::text)"
            )
            # No text here has a NUL: what is behind one that has is what is behind that one's beginning.
            project, item_id = (text.partition("\0")[0] for text in after)
            no_project = self.mapping.unsaid_project
            asked |= {"no_project": no_project, "after_project": project, "after_id": item_id}
        if where.project is not None:
            if self.project is None:
                if where.project != self.mapping.unsaid_project:
                    return None
            elif where.project == "":
                parts.append("coalesce(project::text, '') = ''")
            else:
                value = kept(where.project, self.project)
                if value is None:
                    return None
                parts.append(f"project = %(project)s::{self.project.type}")
                asked["project"] = value
        for place, (name, fact) in enumerate(where.metadata.items()):
            part = self._fact(name, place)
            if part is None or "\0" in name or "\0" in str(fact):
                return None
            parts.append(f"{part} = %(fact_{place})s::text")
            asked |= {f"fact_{place}": str(fact), f"name_{place}": name}
        return " AND ".join(parts), asked

    def order_of(self, index: VectorIndex) -> str:
        """What the index on vectors sorts by."""
        own = f"vector::{index.cast}({self.dim})" if index.cast else "vector"
        asked = f"{index.cast}({self.dim})" if index.cast else self.vector.kind
        # A parameter of its own: one that is cast to two types would be of the first, and rounded to half precision.
        return f"{own} {index.order} %(near)s::{asked}"

    def _fact(self, name: str, place: int) -> str | None:
        names = [column.name for column in self.facts]
        if name in names:
            return f"fact_{names.index(name)}::text"
        return f"document ->> %(name_{place})s::text" if self.document else None

    @cached_property
    def _names(self) -> dict[str, str]:
        """What the statements leave open."""
        vector = f"{'pictured' if self.mapping.is_joined else 'item'}.{named(self.mapping.vector)}"
        rows = _SQL["rows_of_two" if self.mapping.is_joined else "rows_of_one"].format(
            own=self._columns,
            vector=vector,
            items=_of(self.tables.items),
            vectors=_of(self.tables.vectors),
            key=named(self.mapping.vector_key),
            id=named(self.mapping.id),
        )
        there = "is_there_and_as_long" if self.vector.modifier < 0 else "is_there"
        is_there = _SQL[there].format(vector=vector, id=named(self.mapping.id), dim=self.dim)
        document = self.document.kind if self.document else ""
        return {
            "rows": f"({rows})",
            "items": f"({rows} {is_there})",
            "columns": ", ".join(
                [
                    "project::text",
                    "id::text",
                    self._contents["content"],
                    "coalesce(uri, '')",
                    "coalesce(caption, '')",
                    f"ARRAY[{', '.join(f'fact_{place}::text' for place in range(len(self.facts)))}]::text[]",
                    _SQL["texts"].format(kind=document) if document else "NULL::text",
                ]
            ),
            **self._contents,
            "unchecked": UNCHECKED.hex(),
            "kind": self.vector.kind,
            "norm": VECTORS[self.vector.kind],
            "id_type": self.id.type,
            "project_type": self.project.type if self.project else "text",
            "content_type": self.content.type if self.content else "text",
            "same_key": self._same_key,
            "distinct": "concat(project::text, chr(31), id::text)" if self.has_project_keys else "id::text",
        }

    @property
    def _columns(self) -> str:
        """The columns of the items under their names here."""
        own = {"id": self.mapping.id, "project": self.mapping.project, "content": self.mapping.content}
        texts = {"uri": self.mapping.uri, "caption": self.mapping.caption}
        parts = [f"item.{named(column)} AS {name}" for name, column in own.items() if column]
        parts += [f"item.{named(column)}::text AS {name}" for name, column in texts.items() if column]
        parts += [f"NULL::text AS {name}" for name, column in {**own, **texts}.items() if not column]
        parts += [f"item.{named(column.name)} AS fact_{place}" for place, column in enumerate(self.facts)]
        document = f"item.{named(self.document.name)}" if self.document else "NULL::jsonb"
        if self.document and self.document.kind == "json":
            document = _SQL["readable"].format(document=document)
        return ", ".join([*parts, f"{document} AS document"])

    @cached_property
    def _contents(self) -> dict[str, str]:
        """What names a row's picture: its column where that holds a content, else what is made of the vector."""
        mark = CHECKED if self.mapping.is_checked else UNCHECKED
        made = _SQL["content_of_vector"].format(mark=mark.hex(), kind=self.vector.kind)
        if self.content is None:
            return {"is_content": "false", "content_hex": "NULL::text", "content": made}
        is_bytes = self.content.kind == "bytea"
        is_content = _SQL["is_content_of_bytes" if is_bytes else "is_content_of_text"]
        own = "encode(content, 'hex')" if is_bytes else "content::text"
        content = f"CASE WHEN {is_content} THEN {own} ELSE {made} END"
        return {"is_content": is_content, "content_hex": own, "content": content}

    @property
    def _same_key(self) -> str:
        """That a row is the one of a key."""
        if self.project is None:
            return "id = key_id"
        if self.project.is_nullable:
            return "id = key_id AND coalesce(project::text, '') = coalesce(key_project::text, '')"
        return "id = key_id AND project = key_project"  # which an index can answer


def named(name: str) -> str:
    """A name as an identifier of a statement with parameters, in which a percent sign stands for itself if doubled."""
    return quoted(name).replace("%", "%%")


def kept(text: str, column: Column) -> str | None:
    """A name as this column has it; None if it cannot have it: another spelling of a number is another name."""
    if column.kind in INTEGERS:
        is_one = _WHOLE.fullmatch(text) and text != "-0" and len(text) < 21
        bound = 2 ** INTEGERS[column.kind]
        return text if is_one and -bound <= int(text) < bound else None
    if column.kind == "uuid":
        try:
            return text if str(UUID(text)) == text else None
        except ValueError:
            return None
    return None if "\0" in text else text


def _of(table: Relation) -> str:
    return f"{named(table.schema)}.{named(table.name)}"


def _require_types(shape: Shape, documents: Sequence[Column]) -> None:
    """InputError if a column is of a type that its role cannot have."""
    names = {*TEXTS, *INTEGERS, "uuid"}
    for role, column, allowed in (
        ("ids", shape.id, names),
        ("projects", shape.project, names),
        ("vectors", shape.vector, set(VECTORS)),
        ("contents", shape.content, {*TEXTS, "bpchar", "bytea"}),
    ):
        if column is not None and column.kind not in allowed:
            raise InputError(
                f"its column {column.name!r} is of type {column.type}; {role} can be {', '.join(sorted(allowed))}.",
                item=shape.mapping.table,
            )
    if len(documents) > 1:
        raise InputError(
            f"{len(documents)} columns for metadata are of type json: name one of them, whose keys are the facts.",
            item=shape.mapping.table,
        )
    if shape.vector.modifier >= 0 and shape.vector.modifier != shape.dim > 0:
        raise InputError(
            f"its column {shape.vector.name!r} is for vectors of {shape.vector.modifier} numbers, and the model's have "
            f"{shape.dim}: they were made by another model. Name that one with --model.",
            item=shape.mapping.table,
        )
