"""Pixels against stored references: transformers' own tensors, and digests that parity/pixels_and_tokens.py wrote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.image import decode
from lookalike.pixels import PixelSpec, prepare
from lookalike.policy import ImagePolicy
from tests.golden.corpus import DATA, Picture, pixel_cases

AS_THE_REFERENCE = ImagePolicy(orientation="ignore")
STORED = json.loads((DATA / "pixels.json").read_text())


@pytest.fixture(scope="module")
def spec(shared: Path) -> PixelSpec:
    """CLIP ViT-B/32's own settings."""
    return PixelSpec.from_config(json.loads((shared / "golden/tokenizer/clip_preprocessor_config.json").read_text()))


def test_defaults_are_clip(spec: PixelSpec) -> None:
    """A spec without arguments is what CLIP's published configuration says."""
    assert spec == PixelSpec()


@pytest.mark.parametrize("name", ["123_456", "208_495", "321_421", "389_535", "416_264", "456_123", "524_316"])
def test_golden_tensors(shared: Path, spec: PixelSpec, name: str) -> None:
    """Every published tensor comes out bit for bit, with the crop convention of its maker (torchvision's)."""
    folder = shared / "golden" / "preprocess"
    picture = decode((folder / f"{name}.jpg").read_bytes(), AS_THE_REFERENCE)
    golden = np.load(folder / f"{name}.npy").reshape(3, 224, 224)
    assert np.array_equal(prepare(picture, replace(spec, centre="half_even")), golden)
    # The conventions part where a surplus is odd in the right way: transformers moves this one by a pixel.
    assert np.array_equal(prepare(picture, spec), golden) == (name != "524_316")


@pytest.mark.parametrize(
    ("name", "config", "picture"), list(pixel_cases()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_equal_to_transformers(name: str, config: Mapping[str, object], picture: Picture) -> None:
    """File to tensor equals transformers' CLIPImageProcessor (PIL) bit for bit: awkward sizes, modes, settings."""
    pixels = prepare(decode(picture.encode(), AS_THE_REFERENCE), PixelSpec.from_config(config))
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == STORED["sha256"][name], f"made with {STORED['versions']}"


def test_no_stored_reference_is_left_over() -> None:
    """Every stored digest belongs to a case that is tested."""
    assert set(STORED["sha256"]) == {name for name, _, _ in pixel_cases()}
