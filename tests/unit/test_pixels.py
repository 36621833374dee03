"""Pixels: what a configuration means, and what one picture becomes under it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike import pixels
from lookalike.errors import ImageError, UnsupportedModel
from lookalike.pixels import PixelSpec, prepare
from tests.golden.corpus import Picture

PLAIN = PixelSpec(shortest_edge=None, rescale_factor=None, mean=None, std=None)
"""Crops to 224 x 224 and leaves the levels as they are."""


def columns(width: int, height: int = 4) -> Image.Image:
    """A picture whose level is the column's number, plus one."""
    row = np.arange(1, width + 1, dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(row[None, :, None], (height, width, 3)).copy())


def test_output() -> None:
    """A picture becomes (3, height, width) float32 in C order, whatever its own shape."""
    for width, height in ((1, 1), (300, 20), (20, 300), (224, 224)):
        prepared = prepare(Image.new("RGB", (width, height)), PixelSpec(crop=(40, 60)))
        assert (prepared.shape, prepared.dtype) == ((3, 40, 60), np.float32)
        assert prepared.flags.c_contiguous
    assert PixelSpec(crop=(40, 60)).output_size == (40, 60)
    assert PixelSpec(crop=None, shortest_edge=None, resize_to=(30, 20)).output_size == (30, 20)


def test_channels_come_first_and_red_first() -> None:
    """Channel 0 is red, 1 green, 2 blue."""
    prepared = prepare(Image.new("RGB", (224, 224), (10, 20, 30)), PLAIN)
    assert [np.unique(channel).tolist() for channel in prepared] == [[10], [20], [30]]


def test_the_order_of_the_arithmetic() -> None:
    """Levels are rescaled in float64, rounded to float32, and only then normalised in float32, as in the reference."""
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    spec = PixelSpec(shortest_edge=None, crop=(16, 16))
    assert spec.mean is not None
    assert spec.std is not None
    prepared = prepare(Image.fromarray(np.stack([levels] * 3, -1)), spec)
    for channel in range(3):
        rescaled = (levels.astype(np.float64) * (1 / 255)).astype(np.float32)
        expected = (rescaled - np.float32(spec.mean[channel])) / np.float32(spec.std[channel])
        assert np.array_equal(prepared[channel], expected)
        # The shorter ways to write it give other bits.
        assert not np.array_equal(
            prepared[channel], ((levels / 255 - spec.mean[channel]) / spec.std[channel]).astype("f4")
        )


@pytest.mark.parametrize(
    ("width", "centre", "first"),
    [
        (8, "floor", 3),
        (8, "half_even", 3),
        (7, "floor", 2),  # a surplus of 3: 1.5 becomes 1, or 2
        (7, "half_even", 3),
        (9, "floor", 3),  # a surplus of 5: 2.5 becomes 2 either way
        (9, "half_even", 3),
        (4, "floor", 1),
    ],
)
def test_centre_crop(width: int, centre: Any, first: int) -> None:
    """Of an odd surplus the smaller half is left out on the left; or the half that is even (torchvision's way)."""
    prepared = prepare(columns(width), replace(PLAIN, crop=(4, 4), centre=centre))
    assert prepared[0, 0].tolist() == [first, first + 1, first + 2, first + 3]


@pytest.mark.parametrize(
    ("centre", "row"), [("floor", [0, 0, 1, 2, 3, 0]), ("half_even", [0, 1, 2, 3, 0, 0])], ids=["floor", "half_even"]
)
def test_a_small_picture_is_bordered_with_black(centre: Any, row: list[int]) -> None:
    """A picture smaller than the crop gets black around it; the odd column goes where the convention has it."""
    prepared = prepare(columns(3), replace(PLAIN, crop=(4, 6), centre=centre))
    assert prepared[0].tolist() == [row] * 4


def test_the_border_is_black_before_normalising() -> None:
    """The border takes part in rescaling and normalising: it is not zero in the tensor."""
    spec = PixelSpec(shortest_edge=None, crop=(8, 8))
    assert spec.mean is not None
    assert spec.std is not None
    corner = prepare(Image.new("RGB", (2, 2), "white"), spec)[:, 0, 0]
    assert corner.tolist() == [
        np.float32(-np.float32(m)) / np.float32(s) for m, s in zip(spec.mean, spec.std, strict=True)
    ]


def test_long_edge_is_computed_in_the_reference_order() -> None:
    """224 x 230 keeps its 230 rows: int(224 * 230 / 224), not int(224 * (230 / 224)), which is 229."""
    picture = Picture(224, 230).image()
    expected = np.asarray(picture)[3:227].transpose(2, 0, 1)
    assert np.array_equal(prepare(picture, replace(PLAIN, shortest_edge=224)), expected)


def test_only_rgb() -> None:
    """A picture that did not come through the image door is refused."""
    with pytest.raises(ImageError, match=r"is L, not RGB.*decode"):
        prepare(Image.new("L", (10, 10)), PixelSpec())


def test_extremely_long_pictures_take_no_memory() -> None:
    """A picture of 1 x 300,000, whose resized form would take 60 GB, is prepared through its middle."""
    long = Image.new("RGB", (1, 300_000), (10, 200, 30))
    long.paste((90, 90, 90), (0, 149_990, 1, 150_010))
    middle = prepare(long, replace(PLAIN, shortest_edge=224))
    assert np.unique(middle).tolist() == [90]
    assert prepare(long.transpose(Image.Transpose.ROTATE_90), PixelSpec()).shape == (3, 224, 224)


@pytest.mark.parametrize("size", [(40, 3000), (3000, 40), (61, 700), (300, 3001), (3001, 300)])
def test_the_middle_alone_is_close_to_the_whole(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Resizing only what the crop keeps gives the same middle, up to rounding (of noise, the worst case)."""
    picture, spec = Picture(*size).image(), replace(PLAIN, shortest_edge=224)
    whole = prepare(picture, spec)
    monkeypatch.setattr(pixels, "MAX_RESIZED_PIXELS", 0)
    difference = np.abs(prepare(picture, spec) - whole)
    assert difference.mean() < 1  # one row off would be 20 and more
    assert np.abs(np.roll(whole, 1, axis=1) - whole).mean() > 5


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 400), height=st.integers(1, 400), edge=st.integers(1, 64), crop=st.integers(1, 64))
def test_any_size(width: int, height: int, edge: int, crop: int) -> None:
    """Whatever the sizes, the shape is the crop's, and a white picture stays white except for the border."""
    prepared = prepare(
        Image.new("RGB", (width, height), "white"), replace(PLAIN, shortest_edge=edge, crop=(crop, crop))
    )
    assert prepared.shape == (3, crop, crop)
    assert set(np.unique(prepared).tolist()) <= {0.0, 255.0}
    assert (prepared == 255).all() == (crop <= edge or crop <= min(width, height) * edge // min(width, height))


def test_several_threads() -> None:
    """Threads that prepare at once get what one gets."""
    pictures = [Picture(50 + n, 70).image() for n in range(8)]
    alone = [prepare(picture, PixelSpec()) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda picture: prepare(picture, PixelSpec()), pictures))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


# Configurations


def test_nothing_said_is_clip() -> None:
    """What a configuration leaves out is as in CLIP."""
    assert PixelSpec.from_config({}) == PixelSpec()


def test_old_and_new_style_mean_the_same() -> None:
    """`"size": 224` and `"size": {"shortest_edge": 224}` are one spec with one digest."""
    old = {"size": 224, "crop_size": 224, "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3}
    new = {
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "image_processor_type": "CLIPImageProcessor",
        "rescale_factor": 0.00392156862745098,
        "do_convert_rgb": True,
        "do_pad": False,
        "pad_size": None,
    }
    assert PixelSpec.from_config(old) == PixelSpec.from_config(new) == PixelSpec()
    assert PixelSpec.from_config(old).digest == PixelSpec().digest


def test_every_switch() -> None:
    """A step that is switched off is None, whatever else is said about it."""
    off = PixelSpec.from_config({"do_resize": False, "do_rescale": False, "do_normalize": False, "crop_size": [30, 20]})
    assert off == PixelSpec(shortest_edge=None, rescale_factor=None, mean=None, std=None, crop=(30, 20))
    squash = PixelSpec.from_config({"size": {"height": 30, "width": 20}, "do_center_crop": False, "image_mean": 0.5})
    assert (squash.resize_to, squash.crop, squash.mean) == ((30, 20), None, (0.5, 0.5, 0.5))


def test_every_setting_is_in_the_digest() -> None:
    """Two specs that differ in any setting differ in their digest."""
    changes: dict[str, Any] = {
        "shortest_edge": 225,
        "resize_to": (224, 224),
        "resample": 2,
        "crop": (224, 225),
        "centre": "half_even",
        "rescale_factor": 1 / 256,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
    }
    assert set(changes) == {field.name for field in fields(PixelSpec)}
    digests = {replace(PixelSpec(), **{name: value}).digest for name, value in changes.items()}
    assert len(digests | {PixelSpec().digest}) == len(changes) + 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", {"shortest_edge": 224, "longest_edge": 300}),
        ("size", {"max_height": 224, "max_width": 224}),
        ("size", "224"),
        ("size", 0),
        ("size", True),
        ("size", 100_000),
        ("crop_size", {"height": 224}),
        ("crop_size", [224]),
        ("crop_size", {"height": -1, "width": 224}),
        ("resample", 99),
        ("resample", "bicubic"),
        ("do_resize", 1),
        ("default_to_square", "no"),
        ("do_center_crop", False),  # without an exact size, pictures make no batch
        ("rescale_factor", "1/255"),
        ("rescale_factor", float("nan")),
        ("image_mean", [0.5, 0.5]),
        ("image_mean", None),
        ("image_std", [0.5, 0.5, 0.0]),
        ("image_processor_type", "SiglipImageProcessor"),
        ("do_pad", True),
        ("do_something_new", True),
    ],
)
def test_unsupported_settings_are_named(key: str, value: object) -> None:
    """A setting that is not built in, or makes no sense, is an error that names it: never silently different pixels."""
    with pytest.raises(UnsupportedModel, match=f"'{key}'") as caught:
        PixelSpec.from_config({key: value})
    assert caught.value.file == "preprocessor_config.json"
