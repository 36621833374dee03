"""Which tables are attached, and what was measured of their indexes: in lookalike's own tables beside them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lookalike.errors import StoreNotFound
from lookalike.spaces import Space
from lookalike.sql import statements
from lookalike.store.attached.mapping import Mapping
from lookalike.store.postgres.planning import Kind, Setting, Tuning
from lookalike.store.postgres.schema import require_version

if TYPE_CHECKING:
    from lookalike.postgres import Connection

_SQL = statements("lookalike.store.attached", "registry.sql")


@dataclass(frozen=True, slots=True)
class Attached:
    """A table that was attached.

    Attributes:
        name: What an address has after its "#".
        mapping: What its columns are for.
        space: The space of its vectors.
    """

    name: str
    mapping: Mapping
    space: Space


def read(connection: Connection, place: str, name: str) -> Attached:
    """The attached table of this name.

    Raises:
        StoreNotFound: There is none.
        StoreError: lookalike's tables are of another version.
    """
    if not require_version(connection, place):
        raise not_attached(place, name)
    row = connection.execute(_SQL["read"], {"name": name}).fetchone()
    if row is None:
        raise not_attached(place, name)
    return Attached(name, Mapping.from_json(row[0]), Space.from_json(row[1]))


def names(connection: Connection, place: str) -> list[Attached]:
    """Every attached table, by name."""
    if not require_version(connection, place):
        return []
    rows = connection.execute(_SQL["list"]).fetchall()
    return [Attached(name, Mapping.from_json(mapping), Space.from_json(identity)) for name, mapping, identity in rows]


def write(connection: Connection, attached: Attached) -> None:
    """Keep a table as attached, in the place of what was known of it; what was measured of it is forgotten."""
    asked = {"name": attached.name, "mapping": attached.mapping.to_json(), "identity": attached.space.to_json()}
    connection.execute(_SQL["write"], asked)


def forget(connection: Connection, name: str) -> bool:
    """Detach a table, with its ledger; whether it was attached."""
    return connection.execute(_SQL["forget"], {"name": name}).fetchone() is not None


def read_tuning(connection: Connection, name: str, *, items: int) -> Tuning | None:
    """What was measured of a table with now so many items; None if nothing was."""
    row = connection.execute(_SQL["read_tuning"], {"name": name}).fetchone()
    if row is None or row[0] is None:
        return None
    kinds: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
    told: dict[str, Any] = row[0]
    return Tuning(
        centre=np.array(told["centre"], np.float32),
        boundary=told["boundary"],
        measured_items=told["measured_items"],
        items=items,
        settings={kinds[kind]: Setting(**values) for kind, values in told["settings"].items()},
    )


def write_tuning(connection: Connection, name: str, tuning: Tuning) -> None:
    """Keep what was measured."""
    told = {
        "centre": [round(value, 7) for value in tuning.centre.tolist()],
        "boundary": tuning.boundary,
        "measured_items": tuning.measured_items,
        "settings": {kind: asdict(setting) for kind, setting in tuning.settings.items()},
    }
    connection.execute(_SQL["write_tuning"], {"name": name, "tuning": json.dumps(told)})


def not_attached(place: str, name: str) -> StoreNotFound:
    """The error for a table that is not attached."""
    return StoreNotFound(
        f"There is no table {name!r} attached in {place}. Attach it: lookalike db attach {name} --id COLUMN "
        "--vector COLUMN.",
        store=place,
    )
