"""Between what an attached table's rows say and lookalike's values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lookalike.store.attached.shape import Shape
from lookalike.types import Item, Rows
from lookalike.vectors import normalise

N_COLUMNS = 7
"""Of `{columns}` in a statement, which make an item."""

WIRE = {"vector": ">f4", "halfvec": ">f2"}
"""How pgvector sends numbers, after a header of four bytes (vector_send, halfvec_send)."""


def item_of(row: Sequence[Any], shape: Shape) -> Item:
    """The item of a row that begins with `{columns}`."""
    project, item_id, content, uri, caption, facts, document = row[:N_COLUMNS]
    metadata = dict(json.loads(document)) if document else {}
    metadata |= {
        column.name: value for column, value in zip(shape.facts, facts or (), strict=False) if value is not None
    }
    return Item(
        id=item_id,
        content=content,
        project=project or shape.mapping.unsaid_project,
        uri=shape.mapping.in_full(uri),
        caption=caption,
        metadata=metadata,
    )


def unit_rows(vectors: Iterable[bytes], shape: Shape) -> Rows:
    """(n, dim) float32 of vectors in their binary form, of unit length; one of zeros stays so."""
    layout = np.dtype([("head", "V4"), ("values", WIRE[shape.vector.kind], (shape.dim,))])
    return normalise(np.frombuffer(b"".join(vectors), layout)["values"])
