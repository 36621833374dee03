"""Awkward pictures and texts, the same on every machine: what a reduced precision is measured on.

They go to the edges of what a model meets (flat, black, noise, single points; empty, endless, strange scripts), where
codes of 8 bits fit worst; real pictures lie between.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGE = 256
"""Of a picture, in pixels."""

Levels = NDArray[np.uint8]
"""(EDGE, EDGE, 3) uint8: an RGB picture."""

TEXTS = (
    "",
    "a",
    "7",
    "a photo of a cat",
    "a red dress on a beach",
    "two people riding bicycles along a river at sunset",
    "black leather shoes, size 42",
    "A DIAGRAM OF THE SOLAR SYSTEM",
    "not a dog",
    "...!?...",
    "the the the the the the the the the the the the the the the the the the the the the the the the",
    "https://example.com/p?id=1&q=%20",
    "def f(x): return x ** 2",
    "שמלה אדומה על החוף",
    "حقيبة جلدية بنية",
    "一只坐在窗台上的猫",
    "красная машина в снегу",
    "🐕🌊🌞",
    "grainy black and white photograph, taken at night, of an empty street with wet cobblestones and one lamp",
    "a very long description " * 40,
)


def pictures() -> list[Levels]:
    """Sixteen pictures."""
    random = np.random.default_rng(20_26)
    y, x = np.mgrid[:EDGE, :EDGE]
    radius = np.hypot(x - EDGE / 2, y - EDGE / 2)
    coarse = np.kron(random.integers(0, 256, (8, 8, 3)), np.ones((EDGE // 8, EDGE // 8, 1)))
    waves = np.stack([np.sin(x / (5 + 7 * c)) * np.cos(y / (9 + 4 * c)) for c in range(3)], axis=-1)
    grey = [
        np.zeros((EDGE, EDGE)),
        np.full((EDGE, EDGE), 255),
        np.full((EDGE, EDGE), 128),
        x,
        y,
        (x + y) % 2 * 255,
        (x // 32 + y // 32) % 2 * 255,
        (x // 3) % 2 * 255,
        (radius < 2) * 255,
        (radius < 80) * 255,
        255 - np.minimum(radius, 255),
    ]
    coloured = [
        np.broadcast_to((220, 20, 30), (EDGE, EDGE, 3)),
        random.integers(0, 256, (EDGE, EDGE, 3)),
        np.clip(random.normal(110, 20, (EDGE, EDGE, 3)), 0, 255),
        coarse,
        127 + 120 * waves,
    ]
    everything = [*(np.repeat(picture[..., None], 3, axis=-1) for picture in grey), *coloured]
    return [np.ascontiguousarray(picture, dtype=np.uint8) for picture in everything]
