"""Dot products of one query with many short rows, by a SIMD library; the only file that knows which.

Without the library numpy computes the same, several times slower: a machine that only searches a small index needs
no extra.
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


@functools.cache
def _library() -> ModuleType | None:
    try:
        import numkong  # optional, and not needed to import lookalike
    except ImportError:
        return None
    return numkong


def is_accelerated() -> bool:
    """Whether the SIMD library is installed."""
    return _library() is not None


def dots_int8(codes: Codes, query: NDArray[np.int8]) -> Scores:
    """(n, width) int8 codes and a (width,) int8 query -> n exact dot products."""
    return _dots(codes, query)


def dots_float16(rows: NDArray[np.float16], query: NDArray[np.float32]) -> Scores:
    """(n, dim) float16 rows and a (dim,) float32 query -> n dot products, within 1e-4 for unit vectors."""
    return _dots(rows, query.astype(np.float16))


def _dots(rows: NDArray[np.int8] | NDArray[np.float16], query: NDArray[np.int8] | NDArray[np.float16]) -> Scores:
    library = _library()
    if not len(rows):
        return np.empty(0, np.float32)
    if library is not None:
        scores: Scores = np.asarray(library.cdist(query[None, :], rows, metric="dot", out_dtype="float32"))[0]
        return scores
    wide = query.astype(np.float32)
    return np.concatenate([rows[i : i + CHUNK].astype(np.float32) @ wide for i in range(0, len(rows), CHUNK)])
