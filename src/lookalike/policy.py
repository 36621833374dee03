"""What the image door lets through."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.spaces import Orientation


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePolicy:
    """What is let in, and how it is turned.

    Attributes:
        orientation: Whether the EXIF orientation is applied, or ignored as the reference processors do.
        max_bytes: The largest file.
        max_pixels: The largest width times height, checked on the header before anything is decoded.
    """

    orientation: Orientation = "apply"
    max_bytes: int = 64 * 2**20
    max_pixels: int = 100_000_000
