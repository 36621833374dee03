"""The tables of the queue in PostgreSQL: procrastinate's, in a schema of their own, and a little beside them.

A schema of their own, since a product may use procrastinate itself, in another version, with workers that take whatever
its tables hold. procrastinate's functions are made to look there whatever a session's search_path is, so that every
statement of ours stands for itself, and a transaction pooler may be between.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import MissingDependency, StoreTooNew
from lookalike.postgres import apply_migrations, home_of, last_migration
from lookalike.sql import statements

if TYPE_CHECKING:
    from lookalike.postgres import Connection

VERSION = last_migration("lookalike.queues")
"""The last of the numbered files in `migrations`; tables of a later version are refused."""

_SQL = statements("lookalike.queues", "postgres.sql")


def schema_of(connection: Connection, table: str) -> str:
    """The schema of the queue, as an identifier of SQL: of the index that this connection leads to, or of a table.

    Whoever finds an index finds its queue, whatever else is on the search path.
    """
    asked = {"home": home_of(connection), "table": table}
    row = connection.execute(_SQL["schema_name"], asked).fetchone()
    return str(row[0]) if row else ""


def statements_in(schema: str) -> dict[str, str]:
    """The statements, for tables in this schema."""
    return {name: statement.replace("{jobs}", schema) for name, statement in _SQL.items()}


def ensure(connection: Connection, place: str, *, table: str = "") -> dict[str, str]:
    """Make the tables where there are none yet, or bring them up to date; the statements for them.

    Args:
        connection: In autocommit mode.
        place: What to call the database in errors.
        table: The attached table whose queue it is; empty for that of the database's own index.

    Raises:
        StoreTooNew: A newer version of lookalike made them.
        MissingDependency: There is something to do, and procrastinate is not installed.
    """
    sql = statements_in(schema := schema_of(connection, table))
    if _version(connection, sql, schema) != VERSION:
        migrate(connection, place, table=table)
    return sql


def migrate(connection: Connection, place: str, *, table: str = "") -> tuple[int, int]:
    """Make the tables or bring them up to date, procrastinate's too, all or nothing; the versions before and after.

    For the arguments see `ensure`.

    Raises:
        StoreTooNew: A newer version of lookalike made them.
        MissingDependency: procrastinate is not installed.
    """
    sql = statements_in(schema := schema_of(connection, table))
    with connection.transaction():
        connection.execute(sql["lock_migration"])  # whoever comes second waits, and finds them
        before = _version(connection, sql, schema)
        if before > VERSION:
            raise StoreTooNew(
                f"The queue in {place} has version {before} and this version of lookalike knows {VERSION}. Nothing was "
                "changed. Upgrade: pip install --upgrade lookalike.",
                store=place,
            )
        connection.execute(sql["make_schema"].encode())
        connection.execute(sql["in_schema"], {"jobs": schema})
        applied = connection.execute(sql["applied"]).fetchone() if before else None
        newest = _apply_procrastinate(connection, after=applied[0] if applied else "")
        apply_migrations(connection, "lookalike.queues", above=before)
        connection.execute(sql["note_applied"], {"migration": newest})
        connection.execute(sql["bind_functions"].encode())
        return before, VERSION


def _apply_procrastinate(connection: Connection, *, after: str) -> str:
    """Run procrastinate's migrations that come after this one, or its whole schema if there is none; the last."""
    try:
        from procrastinate.schema import SchemaManager
    except ImportError as error:
        raise MissingDependency("procrastinate", extra="postgres") from error
    files = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    if not after:
        connection.execute(SchemaManager.get_schema().encode())
    else:
        for file in files:
            if file.stem > after:
                connection.execute(file.read_text(encoding="utf-8").encode())
    return max(after, files[-1].stem)


def _version(connection: Connection, sql: dict[str, str], schema: str) -> int:
    made = connection.execute(sql["is_made"], {"jobs": schema}).fetchone()
    if made is None or not made[0]:
        return 0
    row = connection.execute(sql["version"]).fetchone()
    return int(row[0] or 0) if row else 0
