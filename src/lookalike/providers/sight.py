"""Whether a server that answers pictures with vectors has looked at them.

It may embed as a text what it has of a picture (its base64, its address, its name in Python), and answer with vectors
like any others. To a text, a picture's size matters, and what is in the picture does not; to a model of pictures, which
sees all of them at one size, it is the other way round.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.providers.adapter import Upload

SAME_COSINE = 0.9999
"""Of the vectors of a picture of one colour at two sizes: resized for the model, both have the same pixels."""


def eye_chart() -> tuple[Upload, Upload, Upload]:
    """One colour, the same larger, and another picture of the first one's size."""
    grey, larger, halves = (Image.new("RGB", (edge, edge), "grey") for edge in (64, 96, 64))
    halves.paste("red", (0, 0, 32, 64))
    return _png(grey), _png(larger), _png(halves)


def is_seen(rows: NDArray[np.float64]) -> bool:
    """Whether these vectors of the test pictures, (3, dim) and not of unit length, tell them apart as eyes would."""
    grey, larger, halves = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return bool(grey @ larger >= SAME_COSINE > grey @ halves)


def _png(image: Image.Image) -> Upload:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return Upload(buffer.getvalue(), "image/png")
