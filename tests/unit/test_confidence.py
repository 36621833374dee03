"""Confidence: one threshold for words and for pictures."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.confidence import CAPTION_BANK, sample_confidence, text_confidence


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_it_lies_between_0_and_1_and_grows_with_similarity() -> None:
    """Whatever the cosines, also far outside what any model gives."""
    bank = unit(np.random.default_rng(0).normal(size=(50, 16)))
    vectors = np.repeat(unit(np.random.default_rng(1).normal(size=(1, 16))), 5, axis=0)
    similarities = np.array([-1.0, 0.0, 0.3, 0.6, 1.0])
    for confidence in (
        text_confidence(similarities, bank, vectors),
        sample_confidence(similarities, vectors, query=bank[0], sample=bank[1:10]),
    ):
        assert (np.diff(confidence) >= 0).all()
        assert confidence.min() >= 0
        assert confidence.max() <= 1


def test_a_collection_of_nothing_has_a_background_too() -> None:
    """With no sample the prior stands in: an identical picture is sure, an unrelated one is not."""
    vectors = unit(np.random.default_rng(1).normal(size=(2, 16)))
    nothing = np.empty((0, 16), np.float32)
    high, low = sample_confidence(np.array([1.0, 0.55]), vectors, query=vectors[0], sample=nothing)
    assert high > 0.9
    assert low < 0.05


def test_a_picture_that_is_near_to_everything_says_little() -> None:
    """Of two hits that are equally similar, the one that is usually less similar to others counts for more."""
    rows = unit(np.random.default_rng(2).normal(size=(200, 16)) + 1)
    centre = unit(rows.mean(axis=0, keepdims=True))[0]
    order = np.argsort(rows @ centre)
    hits = rows[[order[0], order[-1]]]
    special, common = sample_confidence(np.array([0.6, 0.6]), hits, query=rows[0], sample=rows)
    assert special > common


def test_the_query_is_no_background_to_itself() -> None:
    """Whether the picture that was asked with is in the collection changes nothing for the others."""
    rows = unit(np.random.default_rng(3).normal(size=(60, 16)))
    query, rest = rows[0], rows[1:]
    similarities = (rest @ query).astype(float)
    one, other = (sample_confidence(similarities, rest, query=query, sample=sample) for sample in (rows, rest))
    assert one == pytest.approx(other)


def test_the_bank_is_what_a_picture_is_usually_called() -> None:
    """Captions are distinct and many enough for a mean and a spread."""
    assert len(set(CAPTION_BANK)) == len(CAPTION_BANK) >= 150
