"""What a writer's transaction does. Rows are written in one order everywhere, so that no two lock each other out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lookalike.contents import digest_of, require_vectors
from lookalike.sql import statements
from lookalike.store.postgres.rows import Halves, copied, escaped, halved, metadata_of, name_of, plain
from lookalike.types import Item, Rows

if TYPE_CHECKING:
    from lookalike.postgres import Connection, Copy

Key = tuple[str, str]
"""(project, id)."""

_SQL = statements("lookalike.store.postgres", "store.sql")


def add_contents(
    connection: Connection, space: int, digests: Sequence[bytes], vectors: Rows
) -> tuple[dict[bytes, int], list[int]]:
    """Insert those contents and vectors that are not there yet.

    Args:
        connection: Within a transaction.
        space: The number of the index's space.
        digests: n distinct contents.
        vectors: Their (n, dim) rows.

    Returns:
        The number of each content, and the numbers of those that got their vector now.
    """
    if not digests:
        return {}, []
    cursor = connection.cursor(binary=True)
    with ThreadPoolExecutor(1) as aside:  # while the database takes the contents
        halving = aside.submit(halved, vectors)
        new: dict[bytes, int] = dict(cursor.execute(_SQL["insert_contents"], {"contents": list(digests)}).fetchall())
        added = _places(digests, new)
        halves = halving.result()
    with cursor.copy(_SQL["copy_vectors"].format(space=space).encode()) as copy:
        _write(copy, space, added, halves)
    numbers = [number for number, _ in added]
    if len(new) == len(digests):
        return new, numbers
    asked = {"contents": [digest for digest in digests if digest not in new]}
    old: dict[bytes, int] = dict(cursor.execute(_SQL["content_numbers"], asked).fetchall())
    return new | old, numbers + _add_vectors(connection, space, _places(digests, old), halves)


def fill_contents(connection: Connection, space: int, digests: Sequence[bytes], vectors: Rows) -> list[int]:
    """Give a vector to those of these contents that are there and have none in this space; their numbers."""
    rows = connection.cursor(binary=True).execute(_SQL["content_numbers"], {"contents": list(digests)}).fetchall()
    return _add_vectors(connection, space, _places(digests, dict(rows)), halved(vectors))


def _places(digests: Sequence[bytes], numbers: Mapping[bytes, int]) -> list[tuple[int, int]]:
    """(number, place among `digests`) of those that have one, by number."""
    return sorted((numbers[digest], place) for place, digest in enumerate(digests) if digest in numbers)


def _add_vectors(connection: Connection, space: int, contents: Sequence[tuple[int, int]], halves: Halves) -> list[int]:
    """Give a vector to those of these contents, (number, row of `halves`), that have none; their numbers."""
    connection.execute(_SQL["make_staging"])
    with connection.cursor().copy(_SQL["copy_staging"]) as copy:
        _write(copy, space, contents, halves)
    return [number for (number,) in connection.execute(_SQL["insert_vectors"]).fetchall()]


def _write(copy: Copy, space: int, contents: Sequence[tuple[int, int]], halves: Halves) -> None:
    for part in copied(space, [number for number, _ in contents], halves[[place for _, place in contents]]):
        copy.write(part)


def note_change(connection: Connection, space: int, *, added: Sequence[int] = (), removed: Sequence[int] = ()) -> None:
    """Note that items came or went, for who keeps vectors or what passes a filter; the very last in a transaction.

    It is noted for every space, since they share the items: whoever searches another one asks again what passes.

    Args:
        connection: Within the transaction.
        space: Whose vectors were added; other spaces may lack them.
        added: The contents that came.
        removed: The contents that went, and their vectors of every space with them.
    """
    asked = {"only": None, "space": space, "added": list(added), "removed": list(removed)}
    connection.execute(_SQL["note_change"], asked)


def note_filled(connection: Connection, space: int, added: Sequence[int]) -> None:
    """Note contents that got their vector in this space, and no item with them; the very last in a transaction."""
    connection.execute(_SQL["note_change"], {"only": space, "space": space, "added": list(added), "removed": []})


def add_items(connection: Connection, space: int, items: Sequence[Item], numbers: Mapping[bytes, int]) -> None:
    """Insert or replace items, and count them.

    Args:
        connection: Within a transaction.
        space: The number of the index's space.
        items: With distinct keys.
        numbers: Of the contents that came with them; others must be stored already.

    Raises:
        VectorMissing: The content of an item has no vector; names the item.
    """
    digests = [digest_of(item.content) for item in items]
    elsewhere = list(set(digests).difference(numbers))
    if elsewhere:
        asked = {"space": space, "contents": elsewhere}
        rows = connection.cursor(binary=True).execute(_SQL["known_contents"], asked).fetchall()
        numbers = {**numbers, **dict(rows)}
        require_vectors(items, {item.content for item, digest in zip(items, digests, strict=True) if digest in numbers})
    codes = project_codes(connection, {item.project for item in items}, make=True)
    columns = {
        "projects": [codes[item.project] for item in items],
        "ids": [name_of(item.id, item=item.id) for item in items],
        "contents": [numbers[digest] for digest in digests],
        "uris": [escaped(item.uri) for item in items],
        "captions": [escaped(item.caption) for item in items],
        "metadata": [metadata_of(item.metadata) for item in items],
    }
    _count(connection, connection.execute(_SQL["insert_items"], columns).fetchall())


def delete_items(connection: Connection, keys: Sequence[Key]) -> int:
    """Delete items; the number that there were."""
    gone = connection.execute(_SQL["delete_items"], key_columns(keys)).fetchall()
    _count(connection, [(project, -n) for project, n in gone])
    return sum(n for _, n in gone)


def key_columns(keys: Sequence[Key]) -> dict[str, list[str]]:
    """Keys as the two arrays that statements take."""
    return {"projects": [escaped(key[0]) for key in keys], "ids": [escaped(key[1]) for key in keys]}


def project_codes(connection: Connection, projects: set[str], *, make: bool = False) -> dict[str, int]:
    """The numbers of these projects, which they keep for ever, by name; those that there are, or that are made now."""
    names = [name_of(project, item=project) for project in projects]
    if make:
        connection.execute(_SQL["insert_projects"], {"names": names})
    return {plain(name): code for name, code in connection.execute(_SQL["project_codes"], (names,)).fetchall()}


def _count(connection: Connection, changes: Sequence[tuple[int, int]]) -> None:
    """Add to the number of items of these projects; last in a transaction, since others of the project then wait."""
    if changes:
        columns = {"projects": [project for project, _ in changes], "counts": [n for _, n in changes]}
        connection.execute(_SQL["count_projects"], columns)
