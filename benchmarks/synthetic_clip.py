"""Vectors shaped like those of CLIP ViT-B/32, in any number, the same for the same seed.

Pictures: 4,000 clusters of Zipf sizes, a power-law spectrum, cosines between pictures .49 +- .07. Texts: in another
cone (the modality gap), cosines to pictures .157 +- .063. These four figures are of CLIP on photographs; how a text's
deviation from the mean text relates to the pictures' is an assumption: half towards a cluster, half by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DIM = 512
N_CLUSTERS = 4000
EXPONENT = 0.8
"""Of the spectrum: gives deviations whose cosines to each other spread by .115, so that pictures' spread by .07."""

CHUNK = 16_384

Array = NDArray[np.float32]


def unit(rows: Array) -> Array:
    """Rows of unit length."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@dataclass(frozen=True)
class Shape:
    """Everything drawn once: where the cones point, how pictures vary, where the clusters lie."""

    seed: int
    image_mean: Array
    text_mean: Array
    spread: Array
    centres: Array
    weights: NDArray[np.float64]


def shape(seed: int, real_vectors: Path | None) -> Shape:
    """Draw the shape; the cones point where real vectors do if there are some, else at a like angle."""
    rng = np.random.default_rng(seed)
    if real_vectors is not None and real_vectors.exists():
        with np.load(real_vectors) as data:
            image_mean, text_mean = (
                unit(data[name].astype(np.float32).mean(0)) for name in ("image_vectors", "text_vectors")
            )
    else:
        basis = np.linalg.qr(rng.standard_normal((DIM, 2)))[0].T.astype(np.float32)
        image_mean, text_mean = basis[0], unit(0.29 * basis[0] + 0.957 * basis[1])
    directions = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    variances = np.arange(1, DIM + 1.0) ** -EXPONENT
    spread = (np.sqrt(variances / variances.sum())[:, None] * directions.T).astype(np.float32)
    weights = 1 / np.arange(1, N_CLUSTERS + 1)
    centres = rng.standard_normal((N_CLUSTERS, DIM), dtype=np.float32) @ spread
    return Shape(seed, image_mean, text_mean, spread, centres, weights / weights.sum())


def images(model: Shape, n: int) -> Iterator[Array]:
    """n pictures, (chunk, DIM) at a time."""
    for first in range(0, n, CHUNK):
        yield _images(model, min(CHUNK, n - first), np.random.default_rng([model.seed, 1, first]))


def image_queries(model: Shape, n: int) -> Array:
    """n pictures that are not in the collection."""
    return _images(model, n, np.random.default_rng([model.seed, 2]))


def text_queries(model: Shape, n: int) -> Array:
    """n texts."""
    rng = np.random.default_rng([model.seed, 3])
    towards = model.centres[rng.choice(N_CLUSTERS, n, p=model.weights)]
    own = rng.standard_normal((n, DIM), dtype=np.float32) @ model.spread
    return unit(0.77 * model.text_mean + 0.64 * np.float32(0.5**0.5) * (towards + own))


def _images(model: Shape, n: int, rng: np.random.Generator) -> Array:
    centres = model.centres[rng.choice(N_CLUSTERS, n, p=model.weights)]
    own = rng.standard_normal((n, DIM), dtype=np.float32) @ model.spread
    return unit(0.7 * model.image_mean + 0.714 * (np.float32(0.6**0.5) * centres + np.float32(0.4**0.5) * own))
