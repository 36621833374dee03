"""The picture catalogue: deterministic, inside the frame, and captioned truthfully."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.captions import COLOUR_WORDS, KIND_WORDS
from training.catalogue import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    PATTERNS,
    Scene,
    caption,
    render,
    sample_scene,
    write_catalogue,
)
from training.scene import HELD_OUT_EVERY, compositions, is_held_out, scene_of
from training.shapes import parts_of

SIZE_PX = 64


def pixels(scene: Scene, size_px: int = SIZE_PX) -> np.ndarray:
    return np.asarray(render(scene, size_px), np.int16)


def test_a_picture_is_a_pure_function_of_its_scene() -> None:
    """Rendering twice gives the same pixels."""
    scene = sample_scene(np.random.default_rng(3))
    assert np.array_equal(pixels(scene), pixels(scene))


def test_the_same_seed_samples_the_same_scenes() -> None:
    """A catalogue can be made again from its seed."""
    first, second = np.random.default_rng(7), np.random.default_rng(7)
    assert [sample_scene(first) for _ in range(20)] == [sample_scene(second) for _ in range(20)]


@pytest.mark.parametrize(
    "change", [{"kind": "mug"}, {"colour": "blue"}, {"pattern": "dotted"}, {"background": "brick"}, {"seed": 1}]
)
def test_another_scene_is_another_picture(change: dict[str, object]) -> None:
    """Every attribute shows."""
    scene = Scene("dress", "red", "striped", "beach")
    assert np.abs(pixels(scene) - pixels(replace(scene, **change))).mean() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shows_in_every_pattern(kind: str) -> None:
    """No kind disappears under a pattern, and none leaves the frame."""
    for pattern in PATTERNS:
        scene = Scene(kind, "red", pattern, "white", seed=5)
        red, green = (pixels(scene)[..., channel] for channel in (0, 1))
        coloured = red - green > 40
        # A lamp's cloth is the smallest: a few per cent of the picture is still plainly visible.
        assert coloured.mean() > 0.03, (kind, pattern)
        border = np.concatenate([coloured[0], coloured[-1], coloured[:, 0], coloured[:, -1]])
        assert not border.any(), (kind, pattern)


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_stays_inside_the_unit_square(kind: str) -> None:
    """Outlines are drawn in a unit square that the scene then places."""
    for variant in range(3):
        for part in parts_of(kind, variant):
            points = np.array(part.outline)
            assert points.min() > -0.02, (kind, variant, part.paint)
            assert points.max() < 1.02, (kind, variant, part.paint)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_background_fills_the_frame(background: str) -> None:
    """There is no blank border behind a thing."""
    picture = pixels(Scene("mug", "navy", "plain", background, seed=2))
    assert picture.shape == (SIZE_PX, SIZE_PX, 3)
    assert picture[:4].mean() > 60


def test_sizes_are_free() -> None:
    """A picture comes in the size that was asked for."""
    scene = sample_scene(np.random.default_rng(1))
    assert [render(scene, size).size for size in (16, 33, 128)] == [(16, 16), (33, 33), (128, 128)]


def test_full_captions_name_kind_and_colour_whatever_the_wording() -> None:
    """A full caption says what the thing is and its colour, in some words."""
    rng = np.random.default_rng(0)
    for composition in compositions()[::97]:
        scene = scene_of(composition, rng)
        words = caption(scene, rng, full=True)
        assert any(word in words for word in KIND_WORDS[scene.kind]), words
        assert any(word in words for word in COLOUR_WORDS[scene.colour]), words


def test_captions_paraphrase_and_leave_parts_out() -> None:
    """One scene has many captions, of several lengths."""
    scene, rng = Scene("trousers", "grey", "striped", "beach"), np.random.default_rng(0)
    said = {caption(scene, rng) for _ in range(200)}
    assert len(said) > 60
    assert any("pants" in text for text in said)
    assert any("gray" in text for text in said)
    assert any("beach" not in text and "sea" not in text and "sand" not in text for text in said)
    assert all(text == " ".join(text.split()) for text in said)


def test_a_fair_share_of_compositions_is_held_out() -> None:
    """Enough combinations stay unseen in training to measure on."""
    held = [c for c in compositions() if is_held_out(c)]
    assert len(held) > 1000
    assert abs(len(held) * HELD_OUT_EVERY / len(compositions()) - 1) < 0.1
    assert {c[0] for c in held} == set(KINDS)
    assert {c[1] for c in held} == set(COLOURS)


def test_a_catalogue_is_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    """The demo shows everybody the same catalogue."""
    first = write_catalogue(tmp_path / "a", 6, 42, SIZE_PX)
    second = write_catalogue(tmp_path / "b", 6, 42, SIZE_PX)
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [path.read_bytes() for path in write_catalogue(tmp_path / "c", 6, 43, SIZE_PX)] != [
        path.read_bytes() for path in first
    ]


def test_file_names_say_what_is_shown_and_files_carry_no_exif(tmp_path: Path) -> None:
    """A file is named after its scene, and holds nothing but the picture."""
    rng = np.random.default_rng(42)
    for index, path in enumerate(write_catalogue(tmp_path, 5, 42, SIZE_PX), start=1):
        scene = sample_scene(rng)
        assert path.name == f"{index:04d}-{scene.colour}-{scene.pattern}-{scene.kind.replace(' ', '-')}.jpg"
        with Image.open(path) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (SIZE_PX, SIZE_PX)
            assert not picture.getexif()
