"""The tables of the production store: made, brought up to date, and bound to a space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lookalike.errors import StoreError, StoreTooNew
from lookalike.postgres import Database, apply_migrations, home_of, last_migration
from lookalike.secret import Secret
from lookalike.spaces import Space
from lookalike.sql import statements
from lookalike.store.postgres.faults import failure, not_found
from lookalike.store.postgres.rows import MAX_DIM

if TYPE_CHECKING:
    from lookalike.postgres import Connection

VERSION = last_migration("lookalike.store.postgres")
"""The last of the numbered files in `migrations`; tables of a later version are refused."""

PGVECTOR = (0, 8)
"""The least version of pgvector: index scans that go on until enough was found came with it."""

PATIENCE_S = 10.0
"""For how long a database that was there is waited for: a restart takes a second or two, a failover up to ten."""

_SQL = statements("lookalike.store.postgres", "store.sql")
_SPACES = statements("lookalike.store.postgres", "spaces.sql")


@dataclass(frozen=True, slots=True)
class Bound:
    """The space that an index is bound to, and the number that its rows carry."""

    number: int
    space: Space


def version_of(connection: Connection) -> int:
    """The version of the tables; 0 if there are none."""
    if not home_of(connection):
        return 0
    row = connection.execute(_SQL["version"]).fetchone()
    return int(row[0] or 0) if row else 0


def is_here(connection: Connection) -> bool:
    """Whether the index that is found is in the first schema of the path, where a new one would be made."""
    return connection.execute(_SQL["current_schema"]).fetchone() == (home_of(connection),)


def migrate(connection: Connection, place: str, *, anew: bool = False) -> tuple[int, int]:
    """Make the tables or bring them up to date, all or nothing; the versions before and after.

    Args:
        connection: In autocommit mode.
        place: What to call the database in errors.
        anew: The tables are those of the first schema of the search path, even if a later one has some.

    Raises:
        StoreError: The search path has no schema for them, the encoding is not UTF-8, or see `require_pgvector`.
        StoreTooNew: A newer version of lookalike made them.
    """
    with connection.transaction():
        connection.execute(_SQL["lock_migration"])  # whoever comes second waits, and finds them
        _require_utf8(connection, place)
        row = connection.execute(_SQL["set_home"], {"home": "" if anew else home_of(connection)}).fetchone()
        if row == ("",):
            raise StoreError(
                f"The search_path of this user of {place} names no schema that is there: create one.", store=place
            )
        before = version_of(connection) if is_here(connection) else 0
        _require_known(before, place)
        if not before:
            connection.execute(_SQL["make_pgvector"])
        require_pgvector(connection, place)
        apply_migrations(connection, "lookalike.store.postgres", above=before)
        return before, version_of(connection)


def require_pgvector(connection: Connection, place: str) -> None:
    """StoreError unless the database has pgvector, of a version that will do, where this user finds it."""
    row = connection.execute(_SQL["pgvector"]).fetchone()
    if row is None:
        raise StoreError(f"{place} has no pgvector: run CREATE EXTENSION vector there.", store=place)
    version, home, is_found = row
    if tuple(int(part) for part in version.split(".")[:2]) < PGVECTOR:
        raise StoreError(
            f"{place} has pgvector {version}, and {'.'.join(map(str, PGVECTOR))} or later is needed: install that on "
            "the server, then run ALTER EXTENSION vector UPDATE.",
            store=place,
        )
    if not is_found:
        raise StoreError(
            f"{place} has pgvector in schema {home}, where this user's search_path does not lead: add {home} to it, as "
            f"in ALTER ROLE name SET search_path = public, {home}, and grant usage of it.",
            store=place,
        )


def require_version(connection: Connection, place: str) -> int:
    """The version of the tables, which is this one's; 0 if there are none.

    Raises:
        StoreTooNew: A newer version of lookalike made them.
        StoreError: They are of an older version.
    """
    version = version_of(connection)
    _require_known(version, place)
    if 0 < version < VERSION:
        raise StoreError(
            f"{place} has tables of version {version} and this version of lookalike needs {VERSION}. "
            "Run: lookalike db migrate.",
            store=place,
        )
    return version


def read_bound(connection: Connection, place: str, number: int | None = None) -> Bound:
    """The space that is searched, or another one of the index by its number.

    Raises:
        StoreNotFound: There is no index.
        StoreTooNew: A newer version of lookalike made the tables.
        StoreError: They are of an older version, or there is no such space.
    """
    version = require_version(connection, place)
    row = connection.execute(_SQL["read_index"]).fetchone() if version else None
    if row is None:
        raise not_found(place)
    if number is not None:
        row = connection.execute(_SPACES["read_space"], {"space": number}).fetchone()
        if row is None:
            raise no_space(place, number)
    return Bound(row[0], Space.from_json(row[2]))


def no_space(place: str, number: int) -> StoreError:
    """The error for a number that no space has, or not any more."""
    return StoreError(f"There is no space {number} in {place}: see `lookalike spaces list`.", store=place)


def require_length(space: Space) -> None:
    """StoreError if its vectors are too long for this store."""
    if space.dim > MAX_DIM:
        raise StoreError(f"PostgreSQL takes vectors of up to {MAX_DIM:,} numbers; these have {space.dim:,}.")


def bind(connection: Connection, place: str, space: Space) -> Bound:
    """Make an empty index for this space, all or nothing.

    Raises:
        StoreError: There is one already, or the vectors are too long.
    """
    require_length(space)
    with connection.transaction():
        connection.execute(_SQL["lock_migration"])
        row = connection.execute(_SQL["insert_space"], (space.dim, space.to_json())).fetchone()
        number = int(row[0]) if row else 0
        if connection.execute(_SQL["insert_index"], (number,)).fetchone() is None:
            raise StoreError(f"There is an index in {place} already: open it, or choose another.", store=place)
        connection.execute(_SQL["make_partition"].format(space=number, dim=space.dim).encode())
    return Bound(number, space)


def connect(url: Secret, *, timeout_s: float) -> Database:
    """Connections to the database of an index, opened when they are needed.

    Raises:
        ConfigError: The address cannot be read.
        MissingDependency: psycopg is not installed.
    """
    setting = "The address of the index"
    return Database(url, setting=setting, failed=failure, timeout_s=timeout_s, patience_s=PATIENCE_S)


def _require_utf8(connection: Connection, place: str) -> None:
    row = connection.execute(_SQL["encoding"]).fetchone()
    if row != ("UTF8",):
        raise StoreError(
            f"{place} keeps text in {row and row[0]}, and captions are in every script: make a database for the index "
            "with CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0.",
            store=place,
        )


def _require_known(version: int, place: str) -> None:
    if version > VERSION:
        raise StoreTooNew(
            f"{place} has tables of version {version} and this version of lookalike knows {VERSION}. Nothing was "
            "changed. Upgrade: pip install --upgrade lookalike.",
            store=place,
        )
