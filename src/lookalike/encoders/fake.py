"""An encoder without a model, for tests: colours and words, deterministic, in a space of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL.Image import Image, Resampling

from lookalike.spaces import Orientation, Space, Tower
from lookalike.types import Pixels, Rows, Tokens

COLOURS: dict[str, tuple[int, ...]] = {
    "red": (220, 30, 30),
    "green": (30, 200, 30),
    "blue": (30, 30, 220),
    "yellow": (230, 220, 30),
    "black": (10, 10, 10),
    "white": (245, 245, 245),
}
_GRID = 4
_DIM = 3 * _GRID * _GRID


class FakeEncoder:
    """Pictures by the colours of a 4 x 4 grid, texts by the colour words in them.

    "a red dress" is near a red picture, so that a search can be tested for its meaning. It obeys the same contract
    as a real encoder.
    """

    def __init__(self, *, orientation: Orientation = "apply", name: str = "fake") -> None:
        space = Space(
            model=name,
            weights=hashlib.sha256(name.encode()).hexdigest(),
            preprocessing="grid",
            pooling="projection",
            dim=_DIM,
            modalities=("image", "text"),
            orientation=orientation,
        )
        self._tower = Tower(space=space, runtime="fake")

    @property
    def tower(self) -> Tower:
        """The recipe."""
        return self._tower

    def prepare_image(self, image: Image) -> Pixels:
        """Any RGB picture -> (3, 4, 4) float32, -1 to 1."""
        small = np.asarray(image.resize((_GRID, _GRID), Resampling.BOX), np.float32)
        return np.ascontiguousarray(small.transpose(2, 0, 1)) / np.float32(127.5) - np.float32(1)

    def prepare_text(self, text: str) -> Tokens:
        """Words -> the RGB values of the colours among them, or of a hash where there are none."""
        words = text.lower().split()
        named = [COLOURS[word] for word in words if word in COLOURS]
        values = named or [tuple(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:3])]
        return Tokens(np.array(values[:8], np.int64).reshape(-1), truncated=len(values) > 8)

    def encode_images(self, pixels: Pixels) -> Rows:
        """(n, 3, 4, 4) -> (n, 48) unit rows."""
        return _unit(pixels.reshape(len(pixels), _DIM))

    def encode_texts(self, tokens: Sequence[Tokens]) -> Rows:
        """n texts -> (n, 48) unit rows: pictures of one flat colour."""
        colours = [token.ids.reshape(-1, 3).mean(axis=0) / 127.5 - 1 for token in tokens]
        flat = np.array(colours, np.float32).reshape(len(tokens), 3)
        return _unit(np.repeat(flat, _GRID * _GRID, axis=1))


def _unit(rows: Rows) -> Rows:
    rows = rows + np.float32(1e-6)  # mid-grey is the zero vector, which has no direction
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
