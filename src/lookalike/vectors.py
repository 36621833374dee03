"""Arithmetic on vectors: unit length, the int8 screen that a search reads first, the best k of many scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InputError
from lookalike.types import Rows

Codes = NDArray[np.int8]
"""(n, width) int8: rows as a Screen writes them."""

Slots = NDArray[np.int64]
"""(n,) int64: places of rows, ascending unless said otherwise."""

Scores = NDArray[np.float32]
"""(n,) float32: one score a row."""

UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a unit vector may be; float16 rounding moves it by less than 5e-4."""

BLOCK = 256
"""Scores to a block when a bound for the k-th best is looked for."""


def normalise(values: NDArray[np.floating]) -> Rows:
    """(n, dim) of any float type -> the same directions, float32 and of unit length; a zero row stays zero."""
    rows: Rows = np.array(values, dtype=np.float32, order="C")
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    lengths[lengths == 0] = 1
    rows /= lengths
    return rows


def require_unit_rows(values: Rows, *, dim: int, names: Sequence[str]) -> None:
    """Raise InputError, naming the first bad row, unless `values` is (len(names), dim) float32, finite, unit rows."""
    if values.dtype != np.float32 or values.shape != (len(names), dim):
        raise InputError(
            f"Vectors must be float32 of shape ({len(names)}, {dim}); these are {values.dtype} of shape {values.shape}."
        )
    # One pass finds every fault: a NaN or an infinity in a row makes its length NaN or infinite too.
    lengths = np.sqrt(np.einsum("ij,ij->i", values, values))
    bad = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
    if len(bad):
        raise InputError(
            f"Its vector has length {lengths[bad[0]]:.4g}, not 1: normalise vectors before they are stored.",
            item=names[int(bad[0])],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Screen:
    """Short int8 codes that order rows nearly as their cosines do, so that a search reads few bytes of each row.

    The code of a row is its projection on the directions in which the collection varies most (principal components),
    a byte each. What the codes leave out is not guessed: a search measures it (see store.nearest).

    Attributes:
        rotation: (width, dim) float32 with orthonormal rows.
        centre: (width,) float32: the projection that has the code 0.
        step: (width,) float32: the projection that one unit of a code stands for.
    """

    rotation: NDArray[np.float32]
    centre: NDArray[np.float32]
    step: NDArray[np.float32]

    @property
    def width(self) -> int:
        """Bytes to a code."""
        return len(self.step)

    @classmethod
    def fit(cls, sample: Rows, *, width: int) -> Screen:
        """The screen for rows like these, at most `width` bytes to a code."""
        mean = sample.mean(axis=0)
        centred = sample - mean
        _, directions = np.linalg.eigh(centred.T @ centred)  # ascending
        rotation = np.ascontiguousarray(directions[:, ::-1][:, :width].T, dtype=np.float32)
        reach = np.abs(centred @ rotation.T).max(axis=0)
        # A quarter more than was seen, for the rows still to come; what lies beyond is clipped.
        step = np.maximum(reach * 1.25, 1e-6) / 127
        return cls(rotation, rotation @ mean, step.astype(np.float32))

    def encode(self, rows: Rows) -> Codes:
        """(n, dim) float32 -> (n, width) int8."""
        scaled = (rows @ self.rotation.T - self.centre) / self.step
        return np.clip(np.rint(scaled, out=scaled), -127, 127, out=scaled).astype(np.int8)

    def encode_query(self, query: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
        """(dim,) -> (width,) int8 whose dot product with a code, times the second value, is the cosine less a
        constant and a small error."""
        weights = (self.rotation @ query) * self.step
        unit = float(np.abs(weights).max()) / 127 or 1.0
        return np.rint(weights / unit).astype(np.int8), unit

    def to_bytes(self) -> bytes:
        """Little-endian float32 that `from_bytes` reads back."""
        return np.concatenate([self.rotation.ravel(), self.centre, self.step]).astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, *, dim: int) -> Screen:
        """The screen that `to_bytes` wrote for vectors of this length."""
        values = np.frombuffer(data, dtype="<f4").astype(np.float32)
        width = len(values) // (dim + 2)
        rotation, centre, step = np.split(values, [width * dim, width * (dim + 1)])
        return cls(rotation.reshape(width, dim), centre, step)


def bound_of_best(scores: Scores, k: int) -> float:
    """A value that at least k scores reach, and not many more; -inf if there are no more than k.

    The k-th best maximum of blocks is such a value, and found several times faster than the k-th best score.
    """
    n_blocks = len(scores) // BLOCK
    if len(scores) <= k:
        return -np.inf
    if n_blocks > k:
        scores = scores[: n_blocks * BLOCK].reshape(n_blocks, BLOCK).max(axis=1)
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])
