"""What is searched for, as JSON can carry it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lookalike.client.inputs import encoded, picture, require_texts
from lookalike.errors import InputError
from lookalike.query import Part, Query


def question_of(parts: Sequence[Part]) -> dict[str, object]:
    """The fields that say what to look for; a single part stands alone, so that errors name it as the caller does.

    Raises:
        InputError: A picture cannot be read, or a vector or a text is not what can be sent.
    """
    documents = [_document(part) for part in parts]
    if len(documents) == 1 and "project" not in documents[0]:  # beside a part that stands alone it is the filter's
        return documents[0]
    return {"query": documents}


def _document(part: Part) -> dict[str, object]:
    fields = {
        "text": part.text,
        "image": None if part.image is None else encoded(picture(part.image, "image")),
        "item": part.item,
        "project": part.project,
        "vector": None if part.vector is None else _numbers(part.vector),
        "weight": None if part.weight == 1 else part.weight,
    }
    require_texts(fields)
    return {name: value for name, value in fields.items() if value is not None}


def _numbers(vector: object) -> list[float]:
    if isinstance(vector, Query):
        # Its numbers alone would be found with, but with another confidence, and with its own items in the answer.
        raise InputError("A query of an index cannot be sent: send the parts that it was made of.", item="vector")
    try:
        values = np.asarray(vector, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("A vector is a list of numbers.", item="vector") from error
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError("A vector is a list of finite numbers.", item="vector")
    numbers: list[float] = values.tolist()
    return numbers
