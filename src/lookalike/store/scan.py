"""Dot products of one query with very many int8 rows, by a SIMD library; the only file that knows which.

Without the library numpy computes the same numbers, two to six times slower: a machine that searches a small index
needs no extra.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lookalike.vectors import Codes, Scores

if TYPE_CHECKING:
    from types import ModuleType

CHUNK = 4096
"""Rows that numpy widens to float32 at a time: what fits in a core's cache."""


def dots_int8(rows: Codes, query: NDArray[np.int8]) -> Scores:
    """(n, width) int8 rows and a (width,) int8 query -> n dot products; exact below 2^24, rounded to float32 above."""
    library = _library()
    if library is None or not len(rows):
        return numpy_dots(rows, query)
    scores: Scores = np.asarray(library.cdist(query[None, :], rows, metric="dot", out_dtype="float32"))[0]
    return scores


def numpy_dots(rows: Codes, query: NDArray[np.int8]) -> Scores:
    """`dots_int8` without the library."""
    wide = query.astype(np.float32)
    scores = np.empty(len(rows), np.float32)
    for first in range(0, len(rows), CHUNK):
        np.matmul(rows[first : first + CHUNK].astype(np.float32), wide, out=scores[first : first + CHUNK])
    return scores


def is_accelerated() -> bool:
    """Whether the SIMD library is installed."""
    return _library() is not None


@functools.cache
def _library() -> ModuleType | None:
    try:
        import numkong  # optional, and not needed to import lookalike
    except ImportError:
        return None
    return numkong
