"""A picture to the numbers that a vision model reads, bit for bit as its reference does it.

The reference is `CLIPImageProcessorPil` of transformers (the PIL backend; the one built on torchvision differs from it
by one level in 0.4 % of the values). Every setting comes from the model's own `preprocessor_config.json`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling

from lookalike.errors import ImageError, UnsupportedModel
from lookalike.spaces import digest_of
from lookalike.types import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

Triple = tuple[float, float, float]
Size = tuple[int, int]
"""(height, width) in pixels, the order of the configuration files; Pillow's own order is (width, height)."""

CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
"""Of the training pictures of CLIP (https://github.com/openai/CLIP, clip/clip.py)."""

MAX_EDGE = 4096
"""The longest edge, in pixels, that a model may ask for."""

MAX_RESIZED_PIXELS = 2**25
"""Above this area (100 MB; an aspect ratio of 668 at 224) only the part that the crop keeps is resized.

There alone the result is not the reference's bit for bit: the reference would take gigabytes.
"""

_TYPES = ("CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor")
# Present in published files, without any effect on the pixels of an RGB picture.
_WITHOUT_EFFECT = frozenset(
    {
        "_valid_processor_keys",
        "data_format",
        "device",
        "disable_grouping",
        "do_convert_rgb",
        "feature_extractor_type",
        "image_processor_type",
        "image_seq_length",
        "input_data_format",
        "processor_class",
        "return_tensors",
        "use_fast",
    }
)
_READ = frozenset(
    {
        "crop_size",
        "default_to_square",
        "do_center_crop",
        "do_normalize",
        "do_rescale",
        "do_resize",
        "image_mean",
        "image_std",
        "resample",
        "rescale_factor",
        "size",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSpec:
    """What one model's preprocessing does, in this order; a step that it leaves out is None.

    Attributes:
        shortest_edge: Resize so that the shorter edge has this many pixels, keeping the aspect ratio.
        resize_to: Resize to exactly this (height, width) instead, squashing.
        resample: The filter, as Pillow numbers them (3 is bicubic).
        crop: Cut this (height, width) out of the centre; black is put around a picture that is smaller.
        centre: Which of two middles an odd surplus has: "floor" as in transformers, or "half_even" as in torchvision,
            OpenAI's own code and open_clip. One pixel apart where (surplus % 4) == 3.
        rescale_factor: What the levels 0 to 255 are multiplied by.
        mean: Subtracted, for red, green and blue.
        std: Divided by, for red, green and blue.
    """

    shortest_edge: int | None = 224
    resize_to: Size | None = None
    resample: int = Resampling.BICUBIC
    crop: Size | None = (224, 224)
    centre: Literal["floor", "half_even"] = "floor"
    rescale_factor: float | None = 1 / 255
    mean: Triple | None = CLIP_MEAN
    std: Triple | None = CLIP_STD

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> PixelSpec:
        """Read a model's `preprocessor_config.json`, old style (`"size": 224`) or new (`"size": {...}`).

        Args:
            config: The file's content. What it leaves out is as in CLIP, as in the reference.

        Raises:
            UnsupportedModel: A setting that is not built in, or that makes no sense; the message names its key.
        """
        _refuse_unknown(config)
        shortest_edge, resize_to = _resizing(config) if _switch(config, "do_resize") else (None, None)
        normalise = _switch(config, "do_normalize")
        return cls(
            shortest_edge=shortest_edge,
            resize_to=resize_to,
            resample=_resample(config),
            crop=_crop_size(config) if _switch(config, "do_center_crop") else None,
            rescale_factor=_number("rescale_factor", config.get("rescale_factor", 1 / 255))
            if _switch(config, "do_rescale")
            else None,
            mean=_triple("image_mean", config.get("image_mean", CLIP_MEAN)) if normalise else None,
            std=_triple("image_std", config.get("image_std", CLIP_STD)) if normalise else None,
        )

    def __post_init__(self) -> None:
        if self.crop is None and self.resize_to is None:
            raise _unsupported("do_center_crop", False, "Without a crop or an exact size, pictures make no batch.")
        if self.std is not None and 0.0 in self.std:
            raise _unsupported("image_std", self.std, "It divides by zero.")

    @property
    def output_size(self) -> Size:
        """(height, width) of what `prepare` makes."""
        size = self.crop or self.resize_to
        if size is None:
            raise AssertionError("__post_init__ lets no such spec through")
        return size

    @property
    def digest(self) -> str:
        """sha256 (hex) of every setting."""
        return digest_of(asdict(self))


def prepare(image: Image, spec: PixelSpec) -> Pixels:
    """Resize, crop, rescale and normalise one picture.

    Args:
        image: An RGB picture of any size, as `image.decode` makes it.
        spec: The model's settings.

    Returns:
        (3, height, width) float32, C-contiguous, red first; equal bit for bit to what the reference makes with the
        same version of Pillow (Pillow 13 changed the order of passes for tall pictures).

    Raises:
        ImageError: The picture is not RGB.
    """
    if image.mode != "RGB":
        raise ImageError(f"The picture is {image.mode}, not RGB: open it with lookalike.image.decode.")
    shown = np.asarray(levels(image, spec))  # (height, width, 3) uint8
    table = _table(spec)
    pixels = np.empty((3, *shown.shape[:2]), np.float32)
    for channel in range(3):
        # "clip" lets numpy write straight into `out`; no level is out of range.
        np.take(table[channel], shown[:, :, channel], out=pixels[channel], mode="clip")
    return pixels


def levels(image: Image, spec: PixelSpec) -> Image:
    """The picture as the model sees it, resized and cropped, before its levels become numbers."""
    return _crop_centre(_resize(image, spec), spec)


def _resize(image: Image, spec: PixelSpec) -> Image:
    width, height = image.size
    if spec.resize_to is not None:
        return image.resize(spec.resize_to[::-1], spec.resample)
    if spec.shortest_edge is None:
        return image
    short, long = sorted(image.size)
    # In this order: int(edge * (long / short)) comes out one lower for many sizes, 224 x 230 among them.
    new_long = int(spec.shortest_edge * long / short)
    size = (spec.shortest_edge, new_long) if width <= height else (new_long, spec.shortest_edge)
    if spec.crop is not None and size[0] * size[1] > MAX_RESIZED_PIXELS:
        return _resize_centre(image, size, spec.crop, spec.resample)
    return image.resize(size, spec.resample)


def _resize_centre(image: Image, size: tuple[int, int], crop: Size, resample: int) -> Image:
    """The middle of what `image.resize(size)` would be, as large as the crop.

    Not to the last bit: Pillow rounds between its two passes, and chooses their order by the sizes.
    """
    spans = []
    for source, edge, wanted in zip(image.size, size, crop[::-1], strict=True):
        kept = min(edge, wanted)
        start = (edge - kept) // 2
        spans.append((kept, start * source / edge, (start + kept) * source / edge))
    (width, left, right), (height, top, bottom) = spans
    return image.resize((width, height), resample, box=(left, top, right, bottom))


def _crop_centre(image: Image, spec: PixelSpec) -> Image:
    if spec.crop is None:
        return image
    height, width = spec.crop
    left, top = _start(image.width - width, spec), _start(image.height - height, spec)
    return image.crop((left, top, left + width, top + height))


def _start(surplus: int, spec: PixelSpec) -> int:
    """Where the crop begins; below zero, where the picture begins within the crop."""
    if spec.centre == "floor":
        return surplus // 2
    return round(surplus / 2) if surplus > 0 else -(-surplus // 2)


@lru_cache(maxsize=8)
def _table(spec: PixelSpec) -> NDArray[np.float32]:
    """(3, 256) float32: what each level of each channel becomes, computed in the reference's order and precision."""
    levels = np.arange(256, dtype=np.uint8)
    values = levels.astype(np.float32)
    if spec.rescale_factor is not None:
        values = (levels.astype(np.float64) * spec.rescale_factor).astype(np.float32)
    table = np.tile(values, (3, 1))
    if spec.mean is not None and spec.std is not None:
        mean, std = (np.array(values, np.float32)[:, None] for values in (spec.mean, spec.std))
        table = (table - mean) / std
    table.setflags(write=False)
    return table


def _unsupported(key: str, value: object, why: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"The setting {key!r} of the model's preprocessing is {value!r}, which is not supported. {why}",
        file="preprocessor_config.json",
    )


def _refuse_unknown(config: Mapping[str, object]) -> None:
    for key in ("image_processor_type", "feature_extractor_type"):
        if config.get(key, _TYPES[0]) not in _TYPES:
            raise _unsupported(key, config[key], f"Supported: {', '.join(_TYPES)}.")
    for key, value in config.items():
        # A switch that is off, or a size that is not given, asks for nothing.
        if key not in _READ and key not in _WITHOUT_EFFECT and not key.startswith("_") and value:
            raise _unsupported(key, value, "It would change the pixels in a way that is not built in.")


def _switch(config: Mapping[str, object], key: str, *, default: bool = True) -> bool:
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise _unsupported(key, value, "It must be true or false.")
    return value


def _resizing(config: Mapping[str, object]) -> tuple[int | None, Size | None]:
    """The shortest edge or the exact (height, width), whichever `size` names."""
    size = config.get("size", {"shortest_edge": 224})
    is_square = _switch(config, "default_to_square", default=False)  # of a size that is one number, and of no other
    if isinstance(size, Mapping) and size.keys() == {"shortest_edge"}:
        return _edge("size", size["shortest_edge"]), None
    if isinstance(size, int):
        edge = _edge("size", size)
        return (None, (edge, edge)) if is_square else (edge, None)
    return None, _height_width("size", size)


def _crop_size(config: Mapping[str, object]) -> Size:
    size = config.get("crop_size", 224)
    if isinstance(size, int):
        return _edge("crop_size", size), _edge("crop_size", size)
    return _height_width("crop_size", size)


def _height_width(key: str, value: object) -> Size:
    match value:
        case {"height": height, "width": width, **rest} if not rest:
            return _edge(key, height), _edge(key, width)
        case [height, width]:
            return _edge(key, height), _edge(key, width)
    raise _unsupported(key, value, "It must give a height and a width, or one edge.")


def _edge(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_EDGE:
        raise _unsupported(key, value, f"An edge is a whole number of pixels, 1 to {MAX_EDGE}.")
    return value


def _resample(config: Mapping[str, object]) -> int:
    value = config.get("resample", Resampling.BICUBIC)
    if isinstance(value, bool) or not isinstance(value, int) or value not in set(Resampling):
        raise _unsupported("resample", value, "It must be the number of one of Pillow's filters.")
    return value


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _unsupported(key, value, "It must be a number.")
    return float(value)


def _triple(key: str, value: object) -> Triple:
    if isinstance(value, int | float):
        value = (value, value, value)
    match value:
        case [red, green, blue]:
            return _number(key, red), _number(key, green), _number(key, blue)
    raise _unsupported(key, value, "It must be three numbers, or one for all three channels.")
