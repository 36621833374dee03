"""Training pictures as arrays: rendered scenes (cached on disk) and the clothing photos.

May import: scene, catalogue, captions.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.catalogue import render
from training.scene import COLOURS, Scene, compositions, is_held_out, scene_of

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

# Folder names of the clothing photos, and the catalogue kind that each one shows.
PHOTO_KINDS = {
    "dress": "dress", "hat": "hat", "longsleeve": "long sleeve", "outwear": "coat", "pants": "trousers",
    "shirt": "shirt", "shoes": "shoe", "shorts": "shorts", "skirt": "skirt", "t-shirt": "t-shirt",
}  # fmt: skip
PHOTO_CLASSES = tuple(sorted(PHOTO_KINDS))
CHUNK = 250


@dataclass(frozen=True, slots=True)
class Photos:
    """Photos on canvases uint8 [n, side, side, 3]; each picture fills the top left `sizes` (height, width).

    `labels` index PHOTO_CLASSES, `colours` COLOURS (-1: not clear).
    """

    pixels: Bytes
    sizes: Ints
    labels: Ints
    colours: Ints

    def only(self, rows: Ints) -> Photos:
        """The chosen rows."""
        return Photos(self.pixels[rows], self.sizes[rows], self.labels[rows], self.colours[rows])


def scenes(count: int, seed: int, *, held_out: bool) -> tuple[Scene, ...]:
    """`count` scenes that go round the allowed compositions in a shuffled order: no two alike before all were used."""
    rng = np.random.default_rng(seed)
    allowed = [c for c in compositions() if is_held_out(c) == held_out]
    picked: list[Scene] = []
    while len(picked) < count:
        picked.extend(scene_of(allowed[i], rng) for i in rng.permutation(len(allowed))[: count - len(picked)])
    return tuple(picked)


def _render_chunk(work: tuple[tuple[Scene, ...], int]) -> Bytes:
    return np.stack([np.asarray(render(scene, work[1])) for scene in work[0]])


def rendered(chosen: tuple[Scene, ...], size_px: int, cache: Path) -> Bytes:
    """Pixels uint8 [n, size_px, size_px, 3] of the scenes, rendered on all cores once and then read from `cache`."""
    if cache.exists():
        return np.asarray(np.load(cache))
    chunks = [(chosen[i : i + CHUNK], size_px) for i in range(0, len(chosen), CHUNK)]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        pixels = np.concatenate(list(pool.map(_render_chunk, chunks)))
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.save(cache, pixels)
    return pixels


def main_colour(image: Image.Image) -> int:
    """Index into COLOURS of a photo's middle, or -1 when no colour clearly leads: a wrong word is worse than none."""
    width, height = image.size
    middle = image.crop((int(width * 0.33), int(height * 0.33), int(width * 0.67), int(height * 0.67)))
    hsv = np.asarray(middle.resize((24, 24), Image.Resampling.BOX).convert("HSV"), np.float32).reshape(-1, 3)
    votes = np.bincount([_colour_name(*pixel) for pixel in hsv], minlength=len(COLOURS) + 1)[: len(COLOURS)]
    best = int(votes.argmax())
    return best if votes[best] >= 0.62 * len(hsv) else -1


def _colour_name(hue: float, saturation: float, value: float) -> int:
    """Index into COLOURS, or len(COLOURS) when between two names. All arguments are Pillow's 0..255."""
    degrees = hue / 255 * 360
    if value < 55 or (value < 75 and saturation < 70):
        return COLOURS.index("black")
    if saturation < 34:
        return COLOURS.index("white") if value > 190 else COLOURS.index("grey") if 80 < value < 160 else len(COLOURS)
    if saturation < 64:
        return COLOURS.index("pink") if value > 185 and (degrees > 335 or degrees < 8) else len(COLOURS)
    if degrees < 12 or degrees > 345:
        return COLOURS.index("red") if saturation > 130 else COLOURS.index("pink") if value > 170 else len(COLOURS)
    for low, high, name in ((75, 165, "green"), (195, 228, "blue"), (262, 292, "purple"), (318, 345, "pink")):
        if low <= degrees <= high:
            return COLOURS.index(name)
    if 228 <= degrees <= 250 or (200 <= degrees <= 250 and value < 110):
        return COLOURS.index("navy") if value < 110 else COLOURS.index("blue")
    if 14 <= degrees <= 38:
        return COLOURS.index("brown") if value < 135 else COLOURS.index("orange") if saturation > 165 else len(COLOURS)
    if 44 <= degrees <= 64 and saturation > 120 and value > 150:
        return COLOURS.index("yellow")
    return len(COLOURS)


def photos(folder: Path, short_px: int) -> Photos:
    """Every photo of the ten class folders, its shorter side resized to `short_px`, the longer cut at 1.5 times."""
    canvas = short_px * 3 // 2
    found = [(label, path) for label, name in enumerate(PHOTO_CLASSES) for path in sorted((folder / name).iterdir())]
    pixels = np.zeros((len(found), canvas, canvas, 3), np.uint8)
    sizes, colours = np.zeros((len(found), 2), np.int64), np.zeros(len(found), np.int64)
    for i, (_, path) in enumerate(found):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        colours[i] = main_colour(image)
        ratio = short_px / min(image.size)
        image = image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.BICUBIC)
        left, top = max(0, image.width - canvas) // 2, max(0, image.height - canvas) // 2
        image = image.crop((left, top, left + min(image.width, canvas), top + min(image.height, canvas)))
        sizes[i] = (image.height, image.width)
        pixels[i, : image.height, : image.width] = np.asarray(image)
    return Photos(pixels, sizes, np.array([label for label, _ in found], np.int64), colours)


def split_photos(every: Photos) -> tuple[Photos, Photos]:
    """(for training, for watching): one photo in twenty is kept aside, so that validation/ decides nothing."""
    rows = np.arange(len(every.labels))
    return every.only(rows[rows % 20 != 7]), every.only(rows[rows % 20 == 7])
