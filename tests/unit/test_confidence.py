"""Confidence: one threshold for words and for pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.confidence import CAPTION_BANK, sample_confidence, text_confidence
from lookalike.encoders.fake import FakeEncoder
from lookalike.query import Query, compose


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_it_lies_between_0_and_1_and_grows_with_similarity() -> None:
    """Whatever the cosines, also far outside what any model gives."""
    bank = unit(np.random.default_rng(0).normal(size=(50, 16)))
    vectors = np.repeat(unit(np.random.default_rng(1).normal(size=(1, 16))), 5, axis=0)
    similarities = np.array([-1.0, 0.0, 0.3, 0.6, 1.0])
    for confidence in (text_confidence(similarities, bank, vectors), sample_confidence(similarities, np.zeros(9))):
        assert (np.diff(confidence) >= 0).all()
        assert confidence.min() >= 0
        assert confidence.max() <= 1


def test_a_collection_of_nothing_has_a_background_too() -> None:
    """With no sample the prior stands in: an identical picture is sure, an unrelated one is not."""
    high, low = sample_confidence(np.array([1.0, 0.55]), np.array([]))
    assert high > 0.9
    assert low < 0.05


def test_the_bank_is_what_a_picture_is_usually_called() -> None:
    """Captions are distinct and many enough for a mean and a spread."""
    assert len(set(CAPTION_BANK)) == len(CAPTION_BANK) >= 150


@pytest.fixture
def real(shared: Path) -> dict[str, np.ndarray]:
    """Real CLIP ViT-B/32 vectors of captions and photos."""
    with np.load(shared / "golden" / "clip_vit_b32_vectors.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def test_one_threshold_separates_present_from_absent_for_real_clip_vectors(real: dict[str, np.ndarray]) -> None:
    """At 0.5, what photos show is found and what none of them shows is answered with nothing, mostly."""
    texts, images = unit(real["text_vectors"]), unit(real["image_vectors"])
    row = {str(text).lower(): number for number, text in enumerate(real["text"])}
    labels = np.array([str(label) for label in real["image_label"]])
    present = {"basketball": "a basketball", "building": "a building", "football": "a football", "fruit": "a fruit"}
    queries = {row[caption] for caption in present.values()}
    order = [number for number in np.random.default_rng(0).permutation(len(texts)) if number not in queries]
    bank, absent = texts[order[: len(CAPTION_BANK)]], order[-300:]

    accepted = []
    for label, caption in present.items():
        shown = images[labels == label]
        accepted += list(text_confidence((shown @ texts[row[caption]]).astype(float), bank, shown) >= 0.5)
    random_photo = np.random.default_rng(1).integers(0, len(images), len(absent))
    refused = [
        text_confidence((images[[photo]] @ texts[query]).astype(float), bank, images[[photo]])[0] < 0.5
        for query, photo in zip(absent, random_photo, strict=True)
    ]
    assert (np.mean(accepted) + np.mean(refused)) / 2 >= 0.85


def test_the_same_threshold_holds_for_real_photos_as_queries(real: dict[str, np.ndarray]) -> None:
    """Photos of one subject are accepted more often than photos of another, by a wide margin."""
    images = unit(real["image_vectors"])
    labels = np.array([str(label) for label in real["image_label"]])
    same, other = [], []
    for number in np.flatnonzero(labels != ""):
        rest = np.arange(len(images)) != number
        similarities = (images[rest] @ images[number]).astype(float)
        sure = sample_confidence(similarities, similarities) >= 0.5
        same += list(sure[labels[rest] == labels[number]])
        other += list(sure[labels[rest] != labels[number]])
    assert np.mean(other) < 0.05
    assert np.mean(same) > 8 * np.mean(other)


def test_the_same_threshold_holds_for_a_photo_with_words_beside_it(real: dict[str, np.ndarray]) -> None:
    """A photo together with what it shows: others of its subject are accepted, photos of another hardly ever."""
    texts, images = unit(real["text_vectors"]), unit(real["image_vectors"])
    row = {str(text).lower(): number for number, text in enumerate(real["text"])}
    labels = np.array([str(label) for label in real["image_label"]])
    space = FakeEncoder().tower.space
    same, other = [], []
    for subject in ("basketball", "building", "football", "fruit"):
        words = Query(texts[row[f"a {subject}"]], space, "text")
        for number in np.flatnonzero(labels == subject):
            query = compose([(Query(images[number], space, "image"), 1), (words, 3)])
            rest = np.arange(len(images)) != number
            similarities = (images[rest] @ query.vector).astype(float)
            assert query.prior is not None
            sure = sample_confidence(similarities, similarities, query.prior) >= 0.5
            same += list(sure[labels[rest] == subject])
            other += list(sure[labels[rest] != subject])
            # What the parts let expect of unrelated pictures is what these score.
            assert query.prior.mean == pytest.approx(similarities[labels[rest] != subject].mean(), abs=0.1)
    assert np.mean(other) < 0.05
    assert np.mean(same) > 0.5
