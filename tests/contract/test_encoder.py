"""What every Encoder keeps to, the fake one first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.encoders.fake import FakeEncoder
from lookalike.encoders.local import EngineOptions, open_encoder
from lookalike.encoders.runtimes import PRECISIONS
from lookalike.errors import UnsupportedModel
from lookalike.ports import Encoder
from lookalike.spaces import Orientation, Precision, Runtime, Space
from lookalike.types import Rows
from tests.checkpoints import write_bert, write_clip, write_multilingual

TEXTS = [
    "a red dress",
    "blue",
    "a",
    "",
    "green green green black, and then much more than a small model reads",
    "7 cats",
]
KINDS = {"clip": write_clip, "bert": write_bert, "multilingual": write_multilingual}
Open = Callable[[Orientation], Encoder]


LOCAL = [
    f"{kind} {precision} {runtime}" for runtime in PRECISIONS for precision in PRECISIONS[runtime] for kind in KINDS
]


def local(write: Callable[[Path], Path], folder: Path, precision: Precision, runtime: Runtime) -> Open:
    write(folder / "model")

    def open_it(orientation: Orientation) -> Encoder:
        options = EngineOptions(precision=precision, runtime=runtime, orientation=orientation, threads=1)
        return open_encoder(
            folder / "model", name="small", weights_sha256="0" * 64, cache_dir=folder / "compiled", options=options
        )

    return open_it


@pytest.fixture(scope="module", params=["fake", *LOCAL])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Opens the encoder under test."""
    if request.param == "fake":
        return lambda orientation: FakeEncoder(orientation=orientation)
    kind, precision, runtime = request.param.split()
    pytest.importorskip(runtime, reason=f"{runtime} is not installed here; `make parity` has it")
    return local(KINDS[kind], tmp_path_factory.mktemp("encoder"), precision, runtime)


@pytest.fixture(scope="module")
def encoder(opened: Open) -> Encoder:
    """The encoder under test."""
    return opened("apply")


def pictures(n: int) -> list[Image.Image]:
    random = np.random.default_rng(3)
    return [Image.fromarray(random.integers(0, 256, (30 + i, 50, 3), dtype=np.uint8)) for i in range(n)]


def embed(encoder: Encoder, texts: list[str]) -> Rows:
    return encoder.encode_texts([encoder.prepare_text(text) for text in texts])


def require_rows(rows: Rows, n: int, space: Space) -> None:
    assert rows.shape == (n, space.dim)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max(initial=0) < 1e-5


def test_texts_become_unit_rows(encoder: Encoder) -> None:
    """n texts of any lengths give (n, dim) float32 rows of unit length, C-contiguous."""
    require_rows(embed(encoder, TEXTS), len(TEXTS), encoder.tower.space)


def test_no_texts_give_no_rows(encoder: Encoder) -> None:
    """An empty batch gives (0, dim)."""
    require_rows(encoder.encode_texts([]), 0, encoder.tower.space)


def test_a_text_does_not_depend_on_its_batch(encoder: Encoder) -> None:
    """Alone, in any company and at any place, a text has the same vector."""
    alone = np.concatenate([embed(encoder, [text]) for text in TEXTS])
    np.testing.assert_allclose(embed(encoder, TEXTS), alone, atol=1e-6)
    np.testing.assert_allclose(embed(encoder, TEXTS[::-1] * 40)[-len(TEXTS) :], alone[::-1], atol=1e-6)


def test_different_texts_have_different_vectors(encoder: Encoder) -> None:
    """No two of the texts share a vector."""
    rows = embed(encoder, TEXTS)
    assert (rows @ rows.T - np.eye(len(TEXTS))).max() < 0.9999


def test_a_long_text_is_cut_and_marked(encoder: Encoder) -> None:
    """A text that is longer than the model reads is marked, and a short one is not."""
    assert encoder.prepare_text("red green blue " * 1000).truncated
    assert not encoder.prepare_text("red").truncated


def test_a_picture_does_not_depend_on_its_batch(encoder: Encoder) -> None:
    """Pictures give unit rows, in order, the same alone as in a batch; an empty batch gives (0, dim)."""
    if "image" not in encoder.tower.space.modalities:
        pytest.skip("embeds texts only")
    pixels = np.stack([encoder.prepare_image(picture) for picture in pictures(11)])
    rows = encoder.encode_images(pixels)
    require_rows(rows, len(pixels), encoder.tower.space)
    require_rows(encoder.encode_images(pixels[:0]), 0, encoder.tower.space)
    alone = np.concatenate([encoder.encode_images(picture[None]) for picture in pixels])
    np.testing.assert_allclose(rows, alone, atol=1e-6)
    np.testing.assert_allclose(encoder.encode_images(pixels[::-1]), alone[::-1], atol=1e-6)


def test_a_missing_modality_is_refused(encoder: Encoder) -> None:
    """What the space has no modality for raises UnsupportedModel."""
    if "image" in encoder.tower.space.modalities:
        pytest.skip("embeds pictures")
    with pytest.raises(UnsupportedModel, match="texts only"):
        encoder.prepare_image(pictures(1)[0])
    with pytest.raises(UnsupportedModel, match="texts only"):
        encoder.encode_images(np.zeros((1, 3, 32, 32), np.float32))


def test_threads_may_share_it(opened: Open) -> None:
    """Eight threads that start on an encoder at once all get the vectors that one gets."""
    encoder = opened("apply")
    expected = embed(opened("apply"), TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for rows in pool.map(lambda _: embed(encoder, TEXTS), range(24)):
            np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_the_fingerprint_is_of_the_recipe(opened: Open) -> None:
    """The same recipe has the same fingerprint; for pictures another orientation is another space, for texts none."""
    first, again, other = opened("apply").tower, opened("apply").tower, opened("ignore").tower
    assert first.fingerprint == again.fingerprint
    sees = "image" in first.space.modalities
    assert (first.fingerprint != other.fingerprint) == sees
    assert (first.space.key != other.space.key) == sees
