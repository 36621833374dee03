"""How well a bridge does on texts that it has not seen, in figures and in words; and what is too little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Rows

LEAST_RANK_1 = 0.35
"""Below, two of three names are taken for another one. Plain ridge regression from a small sentence model to CLIP
reaches 0.4 and more, and source vectors of pure chance 0.24, by the spelling alone: what stays below is a fault (texts
paired wrongly, too few of them) or has no use."""

LEAST_TOP_10 = 0.3
"""Below, seven of the ten best pictures are not those that the index's own text model would show."""

LEAST_IMAGES = 50
"""With fewer pictures, ten of them agree by chance."""

FULL_HELD_OUT = 300
"""Among how many texts the right one has to be found; with fewer it is easier, and the figures look better."""

_OF_IMAGES = ("n_images", "top_5", "top_10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A bridge beside the target's own text model, on held-out texts. Shares are 0 to 1.

    Attributes:
        n_texts: How many texts were held out.
        cosine_mean: Mean cosine of the two vectors of a text.
        cosine_p5: The cosine that 95 % of the texts exceed.
        cosine_of_mean: What `cosine_mean` would be for always answering the same vector, the mean.
        rank_1: Of how many texts the nearest vector of the target's is their own.
        rank_10: Of how many it is among the ten nearest.
        n_images: How many pictures were searched; 0 if none were given, and then the two below are 0.
        top_5: Which share of the best five pictures are the same.
        top_10: Which share of the best ten are.
    """

    n_texts: int
    cosine_mean: float
    cosine_p5: float
    cosine_of_mean: float
    rank_1: float
    rank_10: float
    n_images: int = 0
    top_5: float = 0.0
    top_10: float = 0.0

    @property
    def pairs(self) -> tuple[tuple[str, float], ...]:
        """Every figure that was measured, with its name: without pictures, none about pictures."""
        measured = {name: value for name, value in asdict(self).items() if self.n_images or name not in _OF_IMAGES}
        return tuple((name, round(float(value), 4)) for name, value in measured.items())

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why it is too little to search with; none if it is not."""
        return tuple(self._complaints())

    def _complaints(self) -> Iterator[str]:
        if self.rank_1 < LEAST_RANK_1:
            yield f"the right text of {self.n_texts} comes first in {self.rank_1:.0%}, of {LEAST_RANK_1:.0%} needed"
        if self.n_images >= LEAST_IMAGES and self.top_10 < LEAST_TOP_10:
            yield f"{self.top_10:.0%} of the best ten pictures are the right ones, of {LEAST_TOP_10:.0%} needed"

    def __str__(self) -> str:
        pictures = f"; {self.top_10:.0%} of the best ten of {self.n_images:,} pictures are the same"
        return (
            f"of {self.n_texts} texts that it had not seen, the right one comes first in {self.rank_1:.0%} and among "
            f"the first ten in {self.rank_10:.0%}{pictures if self.n_images else ''}"
        )


def measure(found: Rows, true: Rows, *, mean: NDArray[np.float32], images: Rows | None = None) -> Agreement:
    """Compare n vectors of a bridge with the target's own.

    Args:
        found: (n, dim) unit rows of the bridge.
        true: (n, dim) unit rows of the target's text model for the same texts, each text once.
        mean: (dim,) what a bridge without any knowledge would answer.
        images: (m, dim) unit rows of pictures to search, if there are any.
    """
    cosines = np.einsum("ij,ij->i", found, true)
    scores = found @ true.T
    ranks = (scores > scores.diagonal()[:, None]).sum(axis=1)
    n_images = 0 if images is None else len(images)
    return Agreement(
        n_texts=len(true),
        cosine_mean=float(cosines.mean()),
        cosine_p5=float(np.quantile(cosines, 0.05)),
        cosine_of_mean=float((true @ mean).mean() / max(float(np.linalg.norm(mean)), 1e-9)),
        rank_1=float((ranks < 1).mean()),
        rank_10=float((ranks < 10).mean()),
        n_images=n_images,
        top_5=overlap(found, true, images, k=5) if images is not None and n_images else 0.0,
        top_10=overlap(found, true, images, k=10) if images is not None and n_images else 0.0,
    )


def overlap(found: Rows, true: Rows, images: Rows, *, k: int) -> float:
    """Which share of the k best pictures is the same, on average over the queries."""
    k = min(k, len(images))
    ours, theirs = (np.argsort(-(rows @ images.T), axis=1, kind="stable")[:, :k] for rows in (found, true))
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(ours, theirs, strict=True)]))
