"""Tables of a team's own, attached, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lookalike.places import Address
from lookalike.secret import Secret
from lookalike.spaces import Space
from lookalike.store.attached import registry
from lookalike.store.attached.mapping import Mapping
from lookalike.store.attached.store import AttachedStore, open_store
from lookalike.store.postgres import schema

WHOLE = """
CREATE TABLE customer_photos (
    shop_id text NOT NULL, id text NOT NULL, storage_path text, title text, sha256 text, facts jsonb,
    embedding vector({dim}), PRIMARY KEY (shop_id, id)
)
"""
"""A table that has a column for everything."""

MAPPED = Mapping(
    table="customer_photos",
    id="id",
    vector="embedding",
    uri="storage_path",
    caption="title",
    project="shop_id",
    content="sha256",
    metadata=("facts",),
    may_delete=True,
    is_checked=True,
)
"""What its columns are for."""


def sql(url: Secret, *statements: str) -> list[Any]:
    """Do this as the table's owner would; what the database answers to the last."""
    import psycopg

    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def attached(url: Secret, mapping: Mapping, space: Space) -> AttachedStore:
    """The store of a table that is attached without a look at what is in it."""
    database = schema.connect(url, timeout_s=30)
    try:
        database.run(lambda connection: schema.migrate(connection, database.place))
        database.run(lambda connection: registry.write(connection, registry.Attached(mapping.table, mapping, space)))
    finally:
        database.close()
    return open_store(Address(url.reveal()).at(mapping.table))


def new_table(new_database: Callable[[], Secret], space: Space) -> AttachedStore:
    """The store of a new table that has a column for everything."""
    url = new_database()
    sql(url, WHOLE.format(dim=space.dim))
    return attached(url, MAPPED, space)
