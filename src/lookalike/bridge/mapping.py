"""The map of a bridge: kernel ridge regression from source vectors, and the texts' spelling, to target vectors.

With K the similarities of the n training texts to each other, the coefficients are (K + ridge I)^-1 (Y - mean), and a
new text is the mean plus its similarities to the training texts, weighted by them (Saunders et al. 1998). Texts of an
image model fill a narrow cone, and a regression answers too near its middle, so deviations are stretched afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.bridge.spelling import spelling_rows
from lookalike.types import Rows
from lookalike.vectors import normalise

Kernel = Literal["linear", "gaussian"]

ROWS_AT_ONCE = 256
"""Texts that are mapped together: their similarities to ten thousand training texts then take 10 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How a map is fitted.

    Attributes:
        kernel: "linear" (plain ridge regression), or "gaussian".
        narrowness: Of "gaussian": how fast similarity falls, exp(-narrowness * squared distance / their median).
        spelling: How much the spelling counts beside the source vector's 1.
        ridge: Added to the diagonal.
        stretch: What deviations from the mean are multiplied with.
    """

    kernel: Kernel = "linear"
    narrowness: float = 0.0
    spelling: float = 0.0
    ridge: float
    stretch: float = 1.0


@dataclass(frozen=True, eq=False)
class Mapping:
    """A fitted map.

    Attributes:
        kernel: As in `Method`.
        falloff: Of "gaussian": narrowness / median squared distance.
        anchors: (n, source dim) float16: the training texts' source vectors.
        weights: (n, target dim) float16.
        spelling: (SPELLING_DIM, target dim) float16; (0, target dim) if the spelling does not count.
        mean: (target dim,) float32.
    """

    kernel: Kernel
    falloff: float
    anchors: NDArray[np.float16]
    weights: NDArray[np.float16]
    spelling: NDArray[np.float16]
    mean: NDArray[np.float32]

    def __call__(self, texts: Sequence[str], rows: Rows) -> Rows:
        """n texts and their (n, source dim) unit rows -> (n, target dim) float32 unit rows."""
        parts = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(rows), ROWS_AT_ONCE)]
        return np.concatenate(
            [np.empty((0, len(self.mean)), np.float32), *(self._mapped(texts[part], rows[part]) for part in parts)]
        )

    def _mapped(self, texts: Sequence[str], rows: Rows) -> Rows:
        anchors, weights, spelling = self._wide
        found = self.mean + similarities(rows, anchors, self.kernel, self.falloff) @ weights
        if len(spelling):
            found += spelling_rows(texts) @ spelling
        return normalise(found)

    @cached_property
    def _wide(self) -> tuple[NDArray[np.float32], ...]:
        return tuple(array.astype(np.float32) for array in (self.anchors, self.weights, self.spelling))


def similarities(
    rows: NDArray[np.floating], anchors: NDArray[np.floating], kernel: Kernel, falloff: float
) -> NDArray[np.floating]:
    """(n, m): how much each of n unit rows counts for each of m."""
    cosines = rows @ anchors.T
    # Of unit vectors, the squared distance is 2 - 2 cosine.
    return cosines if kernel == "linear" else np.exp(falloff * (2 * cosines - 2))


def spread_of(rows: NDArray[np.floating]) -> float:
    """The median squared distance of unit rows: models spread their vectors differently, and it is the measure."""
    some = rows[:: max(1, len(rows) // 500)]
    cosines = (some @ some.T)[np.triu_indices(len(some), 1)]
    return max(float(np.median(2 - 2 * cosines)), 1e-6)


def solve(gram: NDArray[Any], target: NDArray[Any], ridge: float) -> NDArray[Any]:
    """(n, n) similarities and (n, dim) deviations from the mean -> (n, dim) coefficients, as exact as `gram` is."""
    ridged = gram.copy()
    ridged[np.diag_indices(len(ridged))] += ridge
    return np.linalg.solve(ridged, target)


def fit_mapping(texts: Sequence[str], source: Rows, target: Rows, method: Method) -> Mapping:
    """Fit a map to n texts and their vectors, (n, source dim) and (n, target dim) unit rows."""
    anchors = source.astype(np.float16)
    falloff = method.narrowness / spread_of(source)
    rows = anchors.astype(np.float32)
    gram = similarities(rows, rows, method.kernel, falloff)
    spelt = spelling_rows(texts) if method.spelling else np.empty((len(texts), 0), np.float32)
    gram += np.float32(method.spelling) * (spelt @ spelt.T)
    mean = target.mean(axis=0)
    weights = method.stretch * solve(gram.astype(np.float64), target - mean, method.ridge)
    return Mapping(
        kernel=method.kernel,
        falloff=falloff,
        anchors=anchors,
        weights=weights.astype(np.float16),
        spelling=(method.spelling * (spelt.T @ weights)).astype(np.float16),
        mean=mean.astype(np.float32),
    )
