"""The table's own index on vectors, measured: asked only for queries for which it finds enough of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lookalike.errors import InputError, StoreError
from lookalike.sql import quoted, statements
from lookalike.store.attached.shape import Shape
from lookalike.store.attached.store import AttachedStore
from lookalike.store.postgres.planning import MEASURED_LIMIT, Kind, Setting, Tuning
from lookalike.store.postgres.tuning import boundary_of, choose
from lookalike.types import Filter, Rows
from lookalike.vectors import normalise

MAX_HNSW_DIM = 2000
"""Of an index on `vector`; one on its values in half precision takes 4,000: github.com/pgvector/pgvector, "HNSW"."""

_SQL = statements("lookalike.store.attached", "attached.sql")


def tune(
    store: AttachedStore,
    probes: Mapping[Kind, Rows],
    *,
    on_progress: Callable[[str, float], None] | None = None,
) -> Mapping[Kind, Setting]:
    """Measure which setting of the table's index is good enough for each kind of query, and keep it for all searches.

    Args:
        store: The table.
        probes: As of postgres.tuning.tune.
        on_progress: Told what is measured and the share of it that is done.

    Raises:
        StoreError: The table has no index that fits; the sentence has the statement that makes one.
        InputError: There are too few pictures to measure with.
    """
    if store.finder.index is None:
        raise StoreError(
            f"The table {store.attached.name!r} has no index on its vectors that answers by cosine, and lookalike "
            f"makes none in tables that are not its own. Its owner does: {suggested_index(store.found.shape)};",
            store=store.database.place,
        )
    if len(probes["near"]) < MEASURED_LIMIT:
        raise InputError("There are too few pictures to measure with: an exact search is quick here anyway.")
    settings = {kind: choose(store, kind, probe, Filter(), on_progress) for kind, probe in probes.items()}
    centre = normalise(probes["near"].mean(axis=0, keepdims=True))[0]
    boundary, n_items = boundary_of(*(rows @ centre for rows in probes.values())), store.n_items
    store.finder.keep(Tuning(centre, boundary, measured_items=n_items, items=n_items, settings=settings))
    return settings


def suggested_index(shape: Shape) -> str:
    """The statement that makes an index which fits, for the table's owner."""
    vectors, column = shape.tables.vectors, quoted(shape.vector.name)
    is_long = shape.dim > MAX_HNSW_DIM and shape.vector.kind == "vector"
    return _SQL["suggested_index"].format(
        table=f"{quoted(vectors.schema)}.{quoted(vectors.name)}",
        vector=f"({column}::halfvec({shape.dim}))" if is_long else column,
        kind="halfvec" if is_long else shape.vector.kind,
    )
