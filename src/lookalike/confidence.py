"""From raw cosines to a confidence that means the same for text and for image queries.

A cosine says little by itself: with CLIP a perfect caption reaches 0.30 and two unrelated photos reach 0.55. What
says something is how a similarity compares with a *background*:

- For a text query the background of a picture is what a fixed bank of captions of everyday things scores on that same
  picture. "Related" begins where the query describes the picture as well as the third-best of the bank: a picture is
  rarely described by more than two of them. This depends neither on what else is in the collection, so it also holds
  where every picture shows a dress, nor on how far apart a model keeps its captions.
- For an image query, and for one composed of several parts, it is a sample of the collection, twice. What counts of a
  hit is its *excess*: how much more similar it is to the query than it usually is to pictures of the sample, since some
  pictures are near to everything. And "related" begins 1.3 standard deviations above the mean excess of the sample.

A logistic curve around that point makes 0..1 of it. What 0.5 means, on 73 real photos under CLIP ViT-B/32, of which 65
have one of 13 subjects, and 2,151 real captions (tests/golden/test_confidence.py): asked for their subject in words, it
takes 90 % of the photos that show it and 6 % of the others (balanced accuracy 0.91 to 0.92); asked with a photo, 79 %
of the others of its subject and 6.5 % of those of other subjects (0.86); with a photo and its subject's name at three
times the weight, 78 % and 5 % (0.86). The 1.3 was chosen on these photos, and is not fitted to them: a threshold that
half of the subjects choose does no better on the other half (0.865) than this one does (0.873). At 0.8 words take 4 %
of the others, and photos 2.5 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Rows

RIVAL = 3
"""The query must describe a picture as well as the bank's caption of this rank to count as related."""

TEXT_WIDTH = 0.5
"""Width of the logistic curve, in standard deviations of what the bank scores on the picture."""

SAMPLE_MIDPOINT_Z = 1.3
SAMPLE_WIDTH_Z = 0.4

SAME = 0.999
"""A picture of the sample with this cosine to the query is the query, and no background to itself."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Cosines of a query to unrelated pictures, as far as they are known without looking at a collection.

    Attributes:
        mean: Their mean.
        std: Their standard deviation.
    """

    mean: float
    std: float


IMAGE_PRIOR = Prior(0.55, 0.09)
"""Two unrelated photos under CLIP ViT-B/32."""

TEXT_PRIOR = Prior(0.19, 0.02)
"""A caption and an unrelated photo under CLIP ViT-B/32: 2,151 captions on 73 photos."""

PRIOR_COUNT = 30
"""The prior stands in for what a sample lacks to so many: five cosines have no spread."""

CAPTION_BANK: tuple[str, ...] = tuple(
    line.strip()
    for line in """
    a person|a man|a woman|a child|a baby|a crowd of people|a portrait|a wedding|a birthday party|a football match
    a dog|a cat|a horse|a cow|a bird|a fish|an elephant|a butterfly|a snake|a spider|a sheep|a monkey
    a car|a bus|a train|a bicycle|a motorcycle|an airplane|a boat|a truck|a traffic light|a road
    a house|a skyscraper|a bridge|a church|a castle|a street at night|a shop|a kitchen|a bathroom|a bedroom|an office
    a beach|a mountain|a forest|a river|a lake|a desert|a waterfall|snow|a sunset|the night sky|clouds|rain|fire
    a flower|a tree|grass|a leaf|a garden|a field of wheat|a cactus|a mushroom
    a pizza|a cake|a hamburger|a bowl of soup|a salad|bread|cheese|an apple|a banana|an orange|a cup of coffee
    a glass of wine|a bottle|ice cream|rice|meat|vegetables
    a chair|a table|a bed|a sofa|a lamp|a clock|a mirror|a window|a door|a bookshelf|a vase|a carpet
    a laptop|a phone|a television|a camera|a keyboard|headphones|a robot|a circuit board|a microscope
    a shirt|a dress|trousers|a pair of shoes|a hat|a handbag|a coat|a skirt|sunglasses|a watch|a ring|a necklace|a tie
    a book|a newspaper|a map|a handwritten letter|a receipt|a screenshot|a diagram|a logo|a street sign|a flag
    a drawing|an oil painting|a statue|a cartoon|a mosaic|graffiti|a mask|a doll
    a guitar|a piano|a drum|a ball|a tennis racket|a swimming pool|a tent|a ski slope|a skateboard|a surfboard
    a hammer|a knife|scissors|a ladder|a bucket|a wheel|an engine|a factory|a crane|a coin|a gun|a candle
    a hospital|a school|a stadium|a museum|an airport|a market|a farm|a harbour
    a blurry picture|a close-up|an abstract pattern|stripes|a black and white picture|a plain background
    """.replace("\n", "|").split("|")
    if line.strip()
)
"""Captions of everyday things, spread over what people photograph. Changing one changes every confidence."""


def text_confidence(similarities: NDArray[np.float64], bank: Rows, vectors: Rows) -> NDArray[np.float64]:
    """Confidence of a text query's hits.

    Args:
        similarities: (n,) cosines of the query to the hits.
        bank: (m, dim) unit vectors of CAPTION_BANK, of the same tower as the query.
        vectors: (n, dim) unit vectors of the hits.

    Returns:
        (n,) between 0 and 1.
    """
    # einsum rather than a matrix product: BLAS threads that spin afterwards take the cores from the encoder.
    background = np.einsum("nd,md->nm", vectors, bank).astype(np.float64)
    rival = np.partition(background, -RIVAL, axis=1)[:, -RIVAL]
    spread = np.maximum(background.std(axis=1), 1e-6)
    return _logistic((similarities - rival) / spread / TEXT_WIDTH)


def sample_confidence(
    similarities: NDArray[np.float64], vectors: Rows, *, query: Rows, sample: Rows, prior: Prior = IMAGE_PRIOR
) -> NDArray[np.float64]:
    """Confidence of the hits of an image query, or of a composed one.

    Args:
        similarities: (n,) cosines of the query to the hits.
        vectors: (n, dim) unit vectors of the hits.
        query: (dim,) of unit length.
        sample: (m, dim) unit vectors of a sample of the collection; m may be 0.
        prior: What stands in for a sample that is too small.

    Returns:
        (n,) between 0 and 1.
    """
    cosines = np.einsum("md,d->m", sample, query).astype(np.float64)
    sample, cosines = sample[cosines < SAME], cosines[cosines < SAME]
    lacking = max(0, PRIOR_COUNT - len(sample))
    count = lacking + len(sample)
    centre = sample.sum(axis=0) / count

    def excess(scores: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
        usual: NDArray[np.float64] = np.einsum("nd,d->n", rows, centre) + IMAGE_PRIOR.mean * lacking / count
        return scores - usual

    background, expected = excess(cosines, sample), prior.mean - IMAGE_PRIOR.mean
    mean = (expected * lacking + background.sum()) / count
    variance = (lacking * (prior.std**2 + (expected - mean) ** 2) + ((background - mean) ** 2).sum()) / count
    z = (excess(similarities, vectors) - mean) / max(np.sqrt(variance), 1e-6)
    return _logistic((z - SAMPLE_MIDPOINT_Z) / SAMPLE_WIDTH_Z)


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
