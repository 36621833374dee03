"""What a writer's transaction does to an attached table: mapped columns only, rows in one order everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lookalike.contents import digest_of, require_vectors
from lookalike.errors import InputError
from lookalike.facts import NAMES as FILE_FACTS
from lookalike.sql import statements
from lookalike.store.attached.catalog import Column
from lookalike.store.attached.mapping import DEFAULT_PROJECT
from lookalike.store.attached.shape import TEXTS, Shape, named
from lookalike.store.postgres.rows import text_of
from lookalike.types import Item, Rows

if TYPE_CHECKING:
    from lookalike.postgres import Connection

Key = tuple[str, str]
"""(project, id)."""

_Values = dict[str, Any]
"""Of a row, by the names that statements have for its columns."""

ROUNDS = 3
"""Of looking which rows are there and making the others: what is made or deleted meanwhile, the next round finds."""

NOT_TAKEN = (
    "The table did not take its row as it was written, or hides one that has its id: look for a trigger, or for "
    "row-level security."
)

_SQL = statements("lookalike.store.attached", "writing.sql")


def key_columns(shape: Shape, keys: Sequence[Key]) -> tuple[dict[str, Any], list[int]]:
    """Keys as the two arrays that statements take, without those that no row can have; and their places in `keys`."""
    places = [(place, kept) for place, key in enumerate(keys) if (kept := shape.key_of(*key)) is not None]
    columns = {"projects": [kept[0] for _, kept in places], "ids": [kept[1] for _, kept in places]}
    return columns, [place for place, _ in places]


def add(
    connection: Connection, shape: Shape, items: Sequence[Item], vectors: Mapping[str, Rows], *, no_new_rows: str
) -> None:
    """Write the rows of items. Of a row that is there, what an item does not say stays as it is.

    Args:
        connection: Within a transaction.
        shape: The table.
        items: With distinct keys.
        vectors: (dim,) float32 for each content.
        no_new_rows: Why no row can be inserted; empty if some can.

    Raises:
        VectorMissing: The content of an item has no vector; names the item.
        InputError: An item cannot be a row of this table; it is named.
    """
    require_vectors(items, vectors)
    _wait(connection, shape)
    rows = sorted((_row(shape, item, vectors) for item in items), key=_key)
    left = {_key(row): row for row in rows}
    n_written = 0
    for _ in range(ROUNDS):
        if left:
            n_written += _write(connection, shape, left, no_new_rows=no_new_rows)
    if left:
        raise InputError(NOT_TAKEN, item=min(left)[1])
    if shape.mapping.is_joined and rows:
        n_written = connection.execute(_upsert_vectors(shape), _columns(rows)).rowcount
    if n_written < len(rows):
        _require_vectors_of(connection, shape, rows)


def delete(connection: Connection, shape: Shape, keys: Sequence[Key]) -> int:
    """Delete rows, or take their vectors; the number of rows that had one."""
    columns, places = key_columns(shape, keys)
    if not places:
        return 0
    _wait(connection, shape)
    doomed = connection.execute(shape.statement("lock"), columns).fetchall()
    asked = {"projects": [row[0] for row in doomed], "ids": [row[1] for row in doomed]}
    names = _table_names(shape)
    if not shape.mapping.may_delete:
        connection.execute(_SQL["clear_vectors"].format(**names).encode(), asked)
        return len(doomed)
    if shape.mapping.is_joined:
        connection.execute(_SQL["delete_vectors"].format(**names).encode(), asked)
    connection.execute(_SQL["delete_rows"].format(**names).encode(), asked)
    return len(doomed)


def _row(shape: Shape, item: Item, vectors: Mapping[str, Rows]) -> _Values:
    """The values of an item, by the names that statements have for its columns."""
    key = shape.key_of(item.project, item.id)
    if key is None:
        raise InputError(_no_key(shape, item), item=item.id)
    own = [column.name for column in shape.facts]
    others = {name: str(value) for name, value in item.metadata.items() if name not in own}
    if shape.document is None:  # what a file says of itself, nobody has asked to be kept
        others = {name: value for name, value in others.items() if name not in FILE_FACTS}
    if others and shape.document is None:
        raise InputError(f"No column of {shape.mapping.table} is for its {min(others)!r}.", item=item.id)
    for name, column in (("uri", shape.mapping.uri), ("caption", shape.mapping.caption)):
        if getattr(item, name) and not column:
            raise InputError(f"No column of {shape.mapping.table} is for its {name}.", item=item.id)
    facts = {f"fact_{place}": item.metadata.get(column.name) for place, column in enumerate(shape.facts)}
    texts = {
        "uri": shape.mapping.below_root(item.uri),
        "caption": item.caption,
        **{name: None if value is None else str(value) for name, value in facts.items()},
        "document": json.dumps(others, ensure_ascii=False) if others else "{}",
    }
    if any("\0" in text for text in (*others, *others.values(), *filter(None, texts.values()))):
        raise InputError("It has a text with a NUL in it, which PostgreSQL cannot keep.", item=item.id)
    is_bytes = shape.content is not None and shape.content.kind == "bytea"
    content = digest_of(item.content) if is_bytes else item.content
    return {"project": key[0], "id": key[1], "content": content, "vector": text_of(vectors[item.content]), **texts}


def _no_key(shape: Shape, item: Item) -> str:
    if shape.project is None and item.project != DEFAULT_PROJECT:
        return (
            f"It is of project {item.project!r}, and no column of {shape.mapping.table} says whose a row is: all are "
            f"of {DEFAULT_PROJECT!r}."
        )
    where = "" if shape.project is None else f", or its project is none for {shape.project.name} ({shape.project.type})"
    return f"Its id cannot be kept in column {shape.id.name} ({shape.id.type}){where}."


def _wait(connection: Connection, shape: Shape) -> None:
    """Wait until nobody else of lookalike writes into this table; until the end of the transaction others wait."""
    connection.execute(_SQL["wait"], {"oid": shape.tables.items.oid})


def _write(connection: Connection, shape: Shape, left: dict[Key, _Values], *, no_new_rows: str) -> int:
    """Write into rows that are there, make the others, and take both out of `left`; how many were written."""
    found = _locked(connection, shape, list(left.values()))
    there = [left.pop(key) for key in found if key in left]  # or its collation says that another id is the same
    n_written = connection.execute(_update(shape), _columns(there)).rowcount if there else 0
    if not left:
        return n_written
    if no_new_rows:
        raise InputError(f"No row has its id, and none can be made: {no_new_rows}", item=min(left)[1])
    made = set(connection.execute(_insert(shape), _columns(list(left.values()))).fetchall())
    if not made <= left.keys():
        raise InputError(NOT_TAKEN, item=min(left.keys() - made)[1])
    for key in made:  # those that somebody else has made meanwhile are there now
        del left[key]
    return n_written + len(made)


def _require_vectors_of(connection: Connection, shape: Shape, rows: Sequence[_Values]) -> None:
    """InputError if one of these has not its vector; a trigger may well pass over what changes nothing."""
    asked = {f"{name}s": values for name, values in _columns(rows).items() if name in {"project", "id", "vector"}}
    there = set(connection.execute(shape.statement("keys_of_vectors"), asked).fetchall())
    lost = {_key(row) for row in rows} - there
    if lost:
        raise InputError(NOT_TAKEN, item=min(lost)[1])


def _locked(connection: Connection, shape: Shape, rows: Sequence[_Values]) -> list[Key]:
    """The keys of these for which there are rows, which are held until the end of the transaction."""
    asked = {"projects": [row["project"] for row in rows], "ids": [row["id"] for row in rows]}
    found = connection.execute(_SQL["lock_rows"].format(**_table_names(shape)).encode(), asked).fetchall()
    for own, project, item_id in found:
        if own != project:  # an id that is unique in the whole table
            raise InputError("Its id is that of a row of another project, which is left as it is.", item=item_id)
    return [(project, item_id) for _, project, item_id in found]


def _key(row: _Values) -> Key:
    return (row["project"] or "", row["id"])


def _columns(rows: Sequence[_Values]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _update(shape: Shape) -> bytes:
    """The statement that writes into rows that are there."""
    columns = _mapped(shape)
    keys = {column.name for column in (shape.id, shape.project) if column}
    updates = [f"{named(one.name)} = {_updated(role, one)}" for role, one in columns if one.name not in keys]
    statement = _SQL["update"].format(
        **_table_names(shape),
        updates=", ".join(updates) or f"{named(shape.id.name)} = old.{named(shape.id.name)}",
        roles=", ".join(role for role, _ in columns),
        arrays=", ".join(_array(role, column) for role, column in columns),
    )
    return statement.encode()


def _insert(shape: Shape) -> bytes:
    """The statement that makes rows."""
    columns = _mapped(shape)
    statement = _SQL["insert"].format(
        **_table_names(shape),
        names=", ".join(named(column.name) for _, column in columns),
        values=", ".join(_value(role, column) for role, column in columns),
        roles=", ".join(role for role, _ in columns),
        arrays=", ".join(_array(role, column) for role, column in columns),
        keys=", ".join(named(column.name) for column in shape.key),
    )
    return statement.encode()


def _upsert_vectors(shape: Shape) -> bytes:
    return _SQL["upsert_vectors"].format(**_table_names(shape)).encode()


def _mapped(shape: Shape) -> list[tuple[str, Column]]:
    """Every column of the items' table that is written, and what statements call it."""
    mapping, columns = shape.mapping, shape.tables.items.columns
    roles = {"project": mapping.project, "id": mapping.id, "uri": mapping.uri, "caption": mapping.caption}
    found = [(role, columns[name]) for role, name in roles.items() if name]
    found += [("content", shape.content)] if shape.content else []
    found += [(f"fact_{place}", column) for place, column in enumerate(shape.facts)]
    found += [("document", shape.document)] if shape.document else []
    return found if mapping.is_joined else [*found, ("vector", shape.vector)]


def _array(role: str, column: Column) -> str:
    return f"%({role})s::{'bytea' if column.kind == 'bytea' else 'text'}[]"


def _value(role: str, column: Column) -> str:
    """A text as a value of its column. To a type of texts it is not cast: a cast would cut what is too long."""
    value = f"new.{role}"
    if column.is_nullable and role in {"uri", "caption"}:
        value = f"nullif({value}, '')"
    return value if column.kind in {*TEXTS, "bpchar", "bytea"} else f"{value}::{column.type}"


def _updated(role: str, column: Column) -> str:
    """What a column has afterwards: a picture's vector and content are new, and what is not said stays."""
    old, new = f"old.{named(column.name)}", _value(role, column)
    if role == "document":
        return _SQL["merged"].format(old=old, type=column.type)
    if role in {"uri", "caption"}:  # a path may begin with a slash that its address has not
        return f"CASE WHEN new.{role} IN ('', ltrim({old}::text, '/')) THEN {old} ELSE {new} END"
    return f"coalesce({new}, {old})" if role.startswith("fact_") else new


def _table_names(shape: Shape) -> dict[str, str]:
    items, vectors, mapping = shape.tables.items, shape.tables.vectors, shape.mapping
    key = mapping.vector_key if mapping.is_joined else mapping.id
    is_keyed = shape.project is not None and shape.has_project_keys
    project = f"old.{named(mapping.project)}" if shape.project else ""
    return {
        "own_project": f"coalesce({project}::text, '')" if project else "''",
        "made_project": f"coalesce({named(mapping.project)}::text, '')" if project else "''",
        "same": f"old.{named(mapping.id)} = new.id::{shape.id.type}"
        + (f" AND {project} = new.project::{shape.project.type}" if shape.project and is_keyed else ""),
        "same_project": f"{project} = new_project" if is_keyed else "true",
        "items": f"{named(items.schema)}.{named(items.name)}",
        "vectors": f"{named(vectors.schema)}.{named(vectors.name)}",
        "id": named(mapping.id),
        "key": named(key),
        "vector": named(mapping.vector),
        "kind": shape.vector.kind,
        "id_type": shape.id.type,
        "project_type": shape.project.type if shape.project else "text",
    }
