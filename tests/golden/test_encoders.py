"""The local engine against vectors that transformers computed; parity/encoders.py stored them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.encoders.local import EngineOptions, LocalEncoder, open_encoder
from lookalike.spaces import REQUIRED_COSINE, Precision
from tests.checkpoints import TEXTS, random_pixels
from tests.golden.references import CASES, DATA, Case

LIMIT = 1e-5
"""Of the greatest difference; 3e-7 was seen, and the project promises 1e-4."""

cases = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def open_case(case: Case, folder: Path, precision: Precision) -> LocalEncoder:
    model = case.write(folder / "model")
    options = EngineOptions(precision=precision)
    return open_encoder(model, name=case.name, weights_sha256="0" * 64, cache_dir=folder, options=options)


@cases
def test_vectors_are_the_references(case: Case, tmp_path: Path) -> None:
    """Pictures and texts of any length have the vectors that transformers gives them in float32."""
    encoder = open_case(case, tmp_path, "exact")
    with np.load(DATA / f"{case.name}.npz") as reference:
        ours = encoder.encode_texts([encoder.prepare_text(text) for text in TEXTS])
        np.testing.assert_allclose(ours, reference["texts"], rtol=0, atol=LIMIT)
        if case.has_images:
            ours = encoder.encode_images(random_pixels(3))
            np.testing.assert_allclose(ours, reference["images"], rtol=0, atol=LIMIT)


@cases
def test_int8_measures_itself_truly(case: Case, tmp_path: Path) -> None:
    """The cosine that an int8 tower claims holds for vectors that it was not measured on."""
    encoder = open_case(case, tmp_path, "int8")
    claimed = encoder.tower.cosine
    assert REQUIRED_COSINE <= claimed < 1
    with np.load(DATA / f"{case.name}.npz") as reference:
        ours = encoder.encode_texts([encoder.prepare_text(text) for text in TEXTS])
        assert (ours * reference["texts"]).sum(1).min() >= claimed - 1e-4
        if case.has_images:
            ours = encoder.encode_images(random_pixels(3))
            assert (ours * reference["images"]).sum(1).min() >= claimed - 1e-4
