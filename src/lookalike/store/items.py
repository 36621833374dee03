"""Items and contents as rows of the database: what a writer's transaction does, and what a reader asks."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lookalike.contents import N_BYTES, UNCHECKED, require_vectors
from lookalike.sql import statements
from lookalike.store.database import Database, State
from lookalike.store.faults import damaged
from lookalike.store.pages import number_in, start_behind
from lookalike.types import Filter, Item
from lookalike.vectors import Slots

_SQL = statements("lookalike.store", "items.sql")

Key = tuple[str, str]
"""(project, id)."""

LAST = 2**63 - 1
"""No item has a greater number."""

PAGE = 1000
"""Items to a transaction when all are walked: a long one would keep the write-ahead log from being emptied."""


def read_state(connection: sqlite3.Connection) -> State:
    """What the transaction sees."""
    return State(*connection.execute(_SQL["read_state"]).fetchone())


def write_state(connection: sqlite3.Connection, state: State) -> None:
    """Make `state` the one that readers find, under the next version number."""
    connection.execute(_SQL["write_state"], (state.generation, state.slots, state.screened))


def read_item(connection: sqlite3.Connection, key: Key) -> Item | None:
    """The item of this (project, id)."""
    project = _project(connection, key[0])
    row = None if project is None else connection.execute(_SQL["get_item"], (project, key[1])).fetchone()
    return None if row is None else _item(row)


def items_of_slot(connection: sqlite3.Connection, slot: int) -> list[Item]:
    """Every item whose content is at this slot."""
    return [_item(row) for row in connection.execute(_SQL["items_of_slot"], (slot,))]


def page_of_items(connection: sqlite3.Connection, project: str, *, start: str, limit: int) -> list[Item]:
    """At most `limit` items of a project, by id, from id `start` on."""
    code = _project(connection, project)
    return [_item(row) for row in connection.execute(_SQL["page_of_items"], (code, start, limit))]


def items_of_project(database: Database, project: str, *, after: Key | None) -> Iterator[Item]:
    """Every item of a project, by id; those behind this key."""
    start = start_behind(after, project)
    if start is None:
        return
    while True:
        with database.reading() as connection:
            page = page_of_items(connection, project, start=start, limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        start = page[-1].id + "\0"  # the next string there can be


def newest_items(connection: sqlite3.Connection, where: Filter, *, limit: int, after: str) -> tuple[list[Item], str]:
    """At most `limit` items that pass, the last added or replaced first, and where the next ones begin."""
    found: list[tuple[int, Item]] = []
    asked: dict[str, int | None] = {
        "limit": limit,
        "before": number_in(after, default=LAST),
        "project": None,
        "tag": None,
    }
    if where.project is not None:
        asked["project"] = _project(connection, where.project)
        if asked["project"] is None:
            return [], ""
    for pair in list(where.metadata.items())[:1]:  # the others are looked at in what is read
        row = connection.execute(_SQL["read_tag"], (pair[0], str(pair[1]))).fetchone()
        if row is None:
            return [], ""
        asked["tag"] = row[0]
    statement = _SQL["newest_items_of_tag" if where.metadata else "newest_items"]
    rows = connection.execute(statement, asked).fetchall()
    while rows and len(found) <= limit:
        found += [(n, item) for n, *row in rows if where.admits(item := _item(tuple(row)))]
        asked["before"] = rows[-1][0]
        rows = connection.execute(statement, asked).fetchall()
    return [item for _, item in found[:limit]], str(found[limit - 1][0]) if len(found) > limit else ""


def projects(connection: sqlite3.Connection) -> dict[str, int]:
    """Number of items by project, by name; projects without items are left out."""
    return dict(connection.execute(_SQL["read_projects"]).fetchall())


def digest_at(connection: sqlite3.Connection, slot: int) -> bytes:
    """The content at this slot."""
    digest: bytes = connection.execute(_SQL["content_of_slot"], (slot,)).fetchone()[0]
    return digest


def beginnings(connection: sqlite3.Connection, n_bytes: int, first: int, end: int) -> bytes:
    """The first bytes of the contents at slots `first` to `end`, one behind the other."""
    # In one text: as rows, they would take five times as long to read.
    (digits,) = connection.execute(_SQL["beginnings"], {"n": n_bytes, "first": first, "end": end}).fetchone()
    return bytes.fromhex(digits)


def contents_of(connection: sqlite3.Connection, slots: Iterable[int]) -> list[str]:
    """The contents at these slots, in order."""
    return [digest_at(connection, int(slot)).hex() for slot in slots]


def count_dead(connection: sqlite3.Connection) -> int:
    """How many contents no item uses."""
    return int(connection.execute(_SQL["count_dead"]).fetchone()[0])


def count_unchecked(connection: sqlite3.Connection) -> int:
    """How many contents in use are vectors that were imported without a check."""
    marked = {"n_bytes": N_BYTES, "mark": UNCHECKED}
    return int(connection.execute(_SQL["count_unchecked"], marked).fetchone()[0])


def slots(connection: sqlite3.Connection, name: str) -> Slots:
    """The slots that statement `name` lists: "read_dead" or "contents_alive"."""
    return np.array([row[0] for row in connection.execute(_SQL[name])], dtype=np.int64)


def insert_contents(
    connection: sqlite3.Connection, contents: Sequence[str], known: Mapping[str, int], *, first: int
) -> tuple[dict[str, int], list[int]]:
    """Give slots, from `first` on, to those contents that are not known.

    Returns:
        The slots of all these contents, and the positions of the new ones in the order of their slots.
    """
    new = [position for position, content in enumerate(contents) if content not in known]
    slots = {contents[position]: slot for slot, position in enumerate(new, first)}
    # They were looked for before, so they are digests.
    _insert(connection, "insert_content", [(slot, bytes.fromhex(content)) for content, slot in slots.items()])
    return {**known, **slots}, new


def insert_items(connection: sqlite3.Connection, items: Sequence[Item], slots: Mapping[str, int]) -> None:
    """Insert or replace items, count their projects and tags, and note which contents are in use.

    Args:
        connection: The writer's.
        items: Of one (project, id), the last counts.
        slots: Of the contents that they have, and of those that came with them.

    Raises:
        VectorMissing: The content of an item has no slot; names the item.
    """
    by_key = {(item.project, item.id): item for item in items}
    # In order of key, as the tree of keys is: those that share a page are then written together.
    items = [by_key[key] for key in sorted(by_key)]
    codes = {name: _project_for(connection, name) for name in {item.project for item in items}}
    rows = _item_rows(connection, items, codes, slots)
    if _insert(connection, "insert_item", rows) < len(rows):
        inserted = {number for (number,) in connection.execute(_SQL["items_from"], (rows[0][0],))}
        late = [(item, row) for item, row in zip(items, rows, strict=True) if row[0] not in inserted]
        delete_items(connection, [(item.project, item.id) for item, _ in late])
        _insert(connection, "insert_item", [row for _, row in late])
    for name, n_items in Counter(item.project for item in items).items():
        connection.execute(_SQL["count_project"], (n_items, codes[name]))
    _insert_tags(connection, items, [row[0] for row in rows])
    _note_use(connection, {row[3] for row in rows}, set(slots.values()))


def delete_items(connection: sqlite3.Connection, keys: Sequence[Key]) -> int:
    """Delete these items; the number that existed. Contents that lose their last item become dead."""
    deleted = 0
    for name, item_id in dict.fromkeys(keys):
        code = _project(connection, name)
        row = None if code is None else connection.execute(_SQL["item_row"], (code, item_id)).fetchone()
        if row is None:
            continue
        item, slot, metadata = row
        connection.execute(_SQL["delete_item"], (item,))
        for pair in json.loads(metadata).items():
            (tag,) = connection.execute(_SQL["read_tag"], pair).fetchone()
            connection.execute(_SQL["delete_item_tag"], (tag, item))
        connection.execute(_SQL["insert_removal"], (item,))
        connection.execute(_SQL["count_project"], (-1, code))
        connection.execute(_SQL["mark_dead"], {"slot": slot})
        deleted += 1
    return deleted


def renumber(connection: sqlite3.Connection, kept: Slots) -> None:
    """Drop dead contents and move each kept slot to its position in `kept`, which is ascending."""
    connection.execute(_SQL["drop_dead"])
    # Ascending, so that each target has been vacated before.
    moves = [(new, old) for new, old in enumerate(kept.tolist()) if new != old]
    connection.executemany(_SQL["move_content"], moves)
    connection.executemany(_SQL["move_items"], moves)
    connection.execute(_SQL["clear_dead"])
    connection.execute(_SQL["clear_removals"])


def check(connection: sqlite3.Connection, path: Path) -> None:
    """SQLite's own check of the whole file, and that each content has one slot; StoreCorrupt if one finds anything."""
    (verdict,) = connection.execute(_SQL["check_database"]).fetchone()
    if verdict != "ok":
        raise damaged(path, f"is damaged ({verdict})")
    (n_twice,) = connection.execute(_SQL["count_twice"]).fetchone()
    if n_twice:
        raise damaged(path, f"is damaged (it has {n_twice} contents twice)")


def _insert(connection: sqlite3.Connection, name: str, rows: Sequence[tuple[object, ...]]) -> int:
    """Insert those rows whose key is free; their number."""
    return connection.executemany(_SQL[name], rows).rowcount if rows else 0


def _item(row: tuple[str, str, bytes, str, str, str]) -> Item:
    project, item_id, digest, uri, caption, metadata = row
    return Item(
        id=item_id,
        content=digest.hex(),
        project=project,
        uri=uri,
        caption=caption,
        metadata=json.loads(metadata) if metadata != "{}" else {},
    )


def _item_rows(
    connection: sqlite3.Connection, items: Sequence[Item], codes: Mapping[str, int], slots: Mapping[str, int]
) -> list[tuple[int, int, str, int, str, str, str]]:
    (last,) = connection.execute(_SQL["last_item"]).fetchone()
    connection.execute(_SQL["count_items"], (len(items),))
    try:
        return [
            (n, codes[item.project], item.id, slots[item.content], item.uri, item.caption, _metadata(item))
            for n, item in enumerate(items, last + 1)
        ]
    except KeyError:
        require_vectors(items, slots)
        raise


def _metadata(item: Item) -> str:
    # Values are compared as strings, so strings they are from the start.
    return json.dumps({str(k): str(v) for k, v in item.metadata.items()}, ensure_ascii=False) if item.metadata else "{}"


def _insert_tags(connection: sqlite3.Connection, items: Sequence[Item], numbers: Sequence[int]) -> None:
    codes: dict[tuple[str, str], int] = {}
    rows = []
    for item, number in zip(items, numbers, strict=True):
        for name, value in item.metadata.items() if item.metadata else ():
            pair = (str(name), str(value))
            if pair not in codes:
                codes[pair] = _tag_for(connection, pair)
            rows.append((codes[pair], number))
    connection.executemany(_SQL["insert_item_tag"], rows)


def _note_use(connection: sqlite3.Connection, used: set[int], touched: set[int]) -> None:
    if count_dead(connection):
        connection.executemany(_SQL["mark_alive"], [(slot,) for slot in used])
    connection.executemany(_SQL["mark_dead"], [{"slot": slot} for slot in touched - used])


def _project(connection: sqlite3.Connection, name: str) -> int | None:
    row = connection.execute(_SQL["read_project"], (name,)).fetchone()
    return None if row is None else int(row[0])


def _project_for(connection: sqlite3.Connection, name: str) -> int:
    code = _project(connection, name)
    return int(connection.execute(_SQL["insert_project"], (name,)).lastrowid or 0) if code is None else code


def _tag_for(connection: sqlite3.Connection, pair: tuple[str, str]) -> int:
    row = connection.execute(_SQL["read_tag"], pair).fetchone()
    return int(connection.execute(_SQL["insert_tag"], pair).lastrowid or 0) if row is None else int(row[0])
