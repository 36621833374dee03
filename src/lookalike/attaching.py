"""Attaching a table of somebody's own: looked at, compared with what the model makes of its pictures, put on record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from lookalike import app
from lookalike.config import Config
from lookalike.errors import InputError, UnsupportedModel
from lookalike.importing import SAMPLE_SIZE, Checked, check, survey
from lookalike.places import Address
from lookalike.spaces import Space
from lookalike.store.attached import opening, registry
from lookalike.store.attached.mapping import Mapping
from lookalike.store.attached.store import AttachedStore
from lookalike.store.postgres import schema
from lookalike.store.postgres.store import LONG_TIMEOUT_S
from lookalike.tables import Entry, TablePart
from lookalike.transfer import open_pictures
from lookalike.types import Item, Rows
from lookalike.variants import variants


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachReport:
    """What came of it.

    Attributes:
        attached: What is on record now.
        found: The table, and what may be done with it.
        counts: What is in its rows.
        check: What the comparison of a sample found; None if there was none.
    """

    attached: registry.Attached
    found: opening.Found
    counts: opening.Counts
    check: Checked | None


def attach(
    address: Address,
    mapping: Mapping,
    config: Config,
    *,
    unchecked: bool = False,
    sample: int = SAMPLE_SIZE,
    root: str | Path = "",
) -> AttachReport:
    """Attach a table; nothing in it is changed, and nothing is put on record unless it passes.

    Args:
        address: Its database.
        mapping: What its columns are for.
        config: Says which model made the vectors, and what may be read of pictures.
        unchecked: Believe that.
        sample: How many rows are compared with what the model makes of their pictures.
        root: The folder or bucket ("s3://photos/") that paths of pictures start from, which is remembered; those of a
            table that has whole addresses start from nowhere.

    Raises:
        InputError: There is no such table or column, or it is of no use; or too few pictures can be read.
        SpaceMismatch: They are not the model's vectors, or not of these pictures.
        StoreError: The database cannot be reached, or refuses.
    """
    database = opening.connect(address, mapping.table, timeout_s=LONG_TIMEOUT_S)
    with closing(database):
        found = database.run(lambda connection: opening.find(connection, mapping, dim=0))
        counts = database.run(lambda connection: opening.look(connection, found.shape))
        embedder = _opened(config)
        _require_length(mapping, counts, embedder.space)
        pictures = open_pictures(config, root or ".")
        mapping = replace(
            mapping,
            root=pictures.place("-").removesuffix("-") if root else "",
            is_checked=not unchecked,
            has_unit_vectors=counts.not_unit == 0,
        )
        found = database.run(lambda connection: opening.find(connection, mapping, dim=embedder.space.dim))
        attached = registry.Attached(mapping.table, mapping, embedder.space)
        checked = None
        if not unchecked:
            table = DrawnTable(mapping.table, *AttachedStore(database, attached, found).draw(sample, seed=0))
            looked_at = survey(table, pictures, dim=embedder.space.dim, project=config.project, size=sample)
            checked = check(looked_at, embedder, pictures, variants(config))
        database.run(lambda connection: schema.migrate(connection, database.place))
        database.run(lambda connection: registry.write(connection, attached))
    return AttachReport(attached=attached, found=found, counts=counts, check=checked)


class DrawnTable:
    """tables.VectorTable of some items and their vectors."""

    def __init__(self, name: str, items: list[Item], values: Rows) -> None:
        self.name = name
        self.n_rows = len(items)
        self.dim = values.shape[1]
        self._items = items
        self._values = values

    def parts(self) -> Iterator[TablePart]:
        """All in one."""
        entries = [Entry(id=item.id, uri=item.uri, project=item.project) for item in self._items]
        yield TablePart(entries=entries, values=self._values)


def _opened(config: Config) -> app.Embedder:
    embedder = app.Embedder.open(config=config)
    if "image" not in embedder.tower.modalities:
        raise UnsupportedModel(
            f"{config.model} embeds no pictures, so these are not its vectors. Name their model with --model.",
            model=config.model,
        )
    return embedder


def _require_length(mapping: Mapping, counts: opening.Counts, space: Space) -> None:
    if counts.vectors and counts.dims[0] != space.dim:
        raise InputError(
            f"its vectors have {counts.dims[0]} numbers, those of {space.model} {space.dim}: they were made by another "
            "model. Name that one with --model.",
            item=mapping.table,
        )
