"""From what a decoder hands out to 8-bit RGB: levels of other depths, and transparency, which is laid on white."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from lookalike.errors import UnsupportedMedia

_TILE_PX = 1024

_SAMPLE_FORMAT = 339
_UNSIGNED = 1
_WHITE_IS_ZERO = 0


@dataclass(frozen=True, slots=True)
class Samples:
    """How a file writes its levels.

    Attributes:
        bits: Of each level.
        white_is_zero: Whether they run from white to black.
    """

    bits: int = 16
    white_is_zero: bool = False


def samples_of_tiff(tags: Mapping[int, Any], item: str) -> Samples:
    """What the tags of a TIFF say (TIFF 6.0, sections 4 and 19).

    Raises:
        UnsupportedMedia: Nothing says which level is white, as for measurements: every guess makes some pictures black.
    """
    bits = max(tags.get(ExifTags.Base.BitsPerSample, (1,)))
    if bits > 16 or set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) != {_UNSIGNED}:
        raise UnsupportedMedia(
            "The TIFF has levels without a known range (of 32 bits, signed or fractions): save it with 8 or 16 bits.",
            item=item,
        )
    return Samples(bits, tags.get(ExifTags.Base.PhotometricInterpretation) == _WHITE_IS_ZERO)


def samples_of_png(data: bytes) -> Samples:
    """What the header of a PNG says (section 11.2.1)."""
    return Samples(data[24])


def to_rgb(image: Image.Image, samples: Samples) -> Image.Image:
    """A loaded picture as RGB."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _by_tiles(image, lambda tile: _from_16_bit(tile, samples))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        _use_key(image, samples)
        return _by_tiles(image, _on_white)
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_tiles(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """What `convert` makes of each pixel, a tile at a time: its intermediate pictures would take several times more."""
    rgb = Image.new("RGB", image.size, None)
    for top in range(0, image.height, _TILE_PX):
        for left in range(0, image.width, _TILE_PX):
            box = (left, top, min(left + _TILE_PX, image.width), min(top + _TILE_PX, image.height))
            rgb.paste(convert(image.crop(box)), box)
    return rgb


def _from_16_bit(image: Image.Image, samples: Samples) -> Image.Image:
    """The high bytes of grey, as Pillow has it for 16-bit colour; its `convert` would clip grey at 255."""
    levels = np.asarray(image)
    grey = (levels.clip(0, 2**samples.bits - 1) >> (samples.bits - 8)).astype(np.uint8)
    if samples.white_is_zero:  # Pillow sees to that with 8 bits and fewer
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[levels == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _use_key(image: Image.Image, samples: Samples) -> None:
    """Bring the transparent level or colour, which is in the file's bits, to the 8 bits that the pixels have."""
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple):
        # Of 16-bit colour the high bytes have been kept; of 8 bits the others are none (PNG, section 11.3.2.1).
        shift = 8 if samples.bits == 16 else 0
        image.info["transparency"] = tuple(level >> shift & 255 for level in transparent)
    elif isinstance(transparent, int) and image.mode == "L" and samples.bits < 8:
        image.info["transparency"] = transparent * 255 // (2**samples.bits - 1)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
