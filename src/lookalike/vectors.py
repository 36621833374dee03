"""Arithmetic on vectors: unit length, fixed-point bytes, the short codes that a search reads first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InputError
from lookalike.types import Rows

Codes = NDArray[np.int8]
"""(n, width) int8: rows as a Screen writes them, or one byte of each fixed-point value."""

Slots = NDArray[np.int64]
"""(n,) int64: places of rows, ascending unless said otherwise."""

Scores = NDArray[np.float32]
"""(n,) float32: one score a row."""

UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a unit vector may be: what bfloat16 arithmetic leaves."""

CHUNK = 512
"""Rows worked on at a time: what fits in a core's cache."""

SAMPLED_BEST = 64
"""Best scores of a sample that the bound of the best is taken from: one eighth (1 / sqrt(64)) off, usually less."""

LOWEST = float(np.finfo(np.float32).min)
"""Less than any score, more than -inf."""

FIXED_ONE = 127 * 256
"""The fixed-point number for 1.0. Steps of 3.1e-5 err as much as float16 does at the usual size of a value, 0.03 to
0.06, and less for larger ones; and either byte can be scanned by integer arithmetic."""


def normalise(values: NDArray[np.floating]) -> Rows:
    """(n, dim) of any float type -> the same directions, float32 and of unit length; a zero row stays zero."""
    rows: Rows = np.array(values, dtype=np.float32, order="C")
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    lengths[lengths == 0] = 1
    rows /= lengths
    return rows


def scaled(values: NDArray[np.floating]) -> Rows:
    """(n, dim) of any float type -> float32, each row times a power of two that brings its largest number to 0.5 to 1.

    So the squares of very large or small numbers neither overflow nor vanish, and no digit of others changes.
    """
    _, exponents = np.frexp(np.abs(values).max(axis=1, initial=0))
    wide = values.astype(np.result_type(values, np.float32), copy=False)
    rows: Rows = np.ldexp(wide, -exponents[:, None]).astype(np.float32, copy=False)
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


def to_fixed(rows: Rows) -> tuple[Codes, Codes]:
    """(n, dim) float32 within -1..1 -> the high and the low bytes of their fixed-point values."""
    high, low = np.empty(rows.shape, np.int8), np.empty(rows.shape, np.int8)
    for part in _parts(len(rows)):
        fixed = np.rint(rows[part] * np.float32(FIXED_ONE)).astype(np.int16)
        # The nearest multiple of 256, so that the high byte alone is as near as it can be.
        high[part] = (fixed + 128) >> 8
        low[part] = fixed.astype(np.int8)  # the low byte as it stands: fixed - 256 * high
    return high, low


def from_fixed(high: Codes, low: Codes) -> Rows:
    """(n, dim) float32: what `to_fixed` was given, within half a step of 1 / FIXED_ONE."""
    rows = high.astype(np.float32)
    rows *= 256
    rows += low
    rows /= FIXED_ONE
    return rows


def to_int8(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
    """(n,) float32 -> (n,) int8 and the unit that each of them counts."""
    unit = float(np.abs(weights).max()) / 127 or 1.0
    return np.rint(weights / unit).astype(np.int8), unit


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
        codes = np.empty((len(rows), self.width), np.int8)
        rotation, centre = (self.rotation / self.step[:, None]).T, self.centre / self.step
        for part in _parts(len(rows)):
            scaled = rows[part] @ rotation
            scaled -= centre
            codes[part] = np.clip(np.rint(scaled, out=scaled), -127, 127, out=scaled)
        return codes

    def weights(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """(dim,) -> (width,): its dot product with a code is the cosine, less a constant and what codes leave out."""
        weights: NDArray[np.float32] = (self.rotation @ query) * self.step
        return weights

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
    """A value that about k of the scores reach; the least float32 if there are no more than k.

    Of many scores only a sample is looked at, spread evenly: the exact k-th best would cost more than is gained.
    """
    if len(scores) <= k:
        return LOWEST
    stride = max(1, k // SAMPLED_BEST)
    sample = scores[::stride]
    worst = len(sample) - k // stride
    return max(float(np.partition(sample, worst)[worst]), LOWEST)


def _parts(n: int) -> Iterator[slice]:
    return (slice(first, first + CHUNK) for first in range(0, n, CHUNK))
