"""Small pictures for tests."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


def picture(colour: str | tuple[int, int, int], *, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """The bytes of a picture in one colour."""
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def noise(seed: int, *, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """The bytes of a picture of random pixels, a different one for each seed."""
    buffer = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Files below a folder, by relative name."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
