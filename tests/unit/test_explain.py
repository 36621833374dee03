"""Why a picture matches: words left out, shares of a composed query, concepts, and covering the picture."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lookalike.bank import LOOKS, concept_names
from lookalike.confidence import CAPTION_BANK
from lookalike.explain import MAX_PIECES, Asked, Explainer, asked_of, pieces
from lookalike.occlusion import covered, grid_of, losses
from lookalike.query import Part, QueryMaker
from lookalike.search import Searcher
from lookalike.store.memory import MemoryStore
from lookalike.types import Item, Rows
from tests.catalogued import EMBEDDER
from tests.pictures import picture

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220)}


@pytest.fixture
def store() -> MemoryStore:
    """One picture of each colour."""
    made = MemoryStore(EMBEDDER.space)
    for number, (name, rgb) in enumerate(COLOURS.items()):
        content = f"{number:064x}"
        made.add([Item(id=name, content=content)], [content], EMBEDDER.embed_images([picture(rgb)]).values)
    return made


@pytest.fixture
def explainer(store: MemoryStore) -> Explainer:
    """Explains them."""
    searcher = Searcher(store, lambda: EMBEDDER.embed_texts(CAPTION_BANK).values)
    return Explainer(store, searcher, lambda: EMBEDDER.embed_texts((*CAPTION_BANK, *LOOKS)).values)


def asked(store: MemoryStore, *parts: Part) -> list[Asked]:
    """The parts, taken apart."""
    return asked_of(parts, QueryMaker(store, lambda: EMBEDDER, "default"))


def test_the_word_that_matters_is_the_one_whose_loss_hurts(store: MemoryStore, explainer: Explainer) -> None:
    """Of "a red dress" the picture of red loses most without "red"; the order is that of the text."""
    item = store.get([("default", "red")])[0]
    assert item is not None
    found = explainer.explain(item, asked(store, Part(text="a red dress")))
    (part,) = found.parts
    assert [word.text for word in part.words] == ["a", "red", "dress"]
    assert min(part.words, key=lambda word: word.similarity).text == "red"
    assert found.hit is not None
    assert part.confidence == found.hit.confidence


def test_shares_add_up(store: MemoryStore, explainer: Explainer) -> None:
    """What the parts of a composed query bring adds up to its similarity; a minus may take off."""
    item = store.get([("default", "red")])[0]
    assert item is not None
    parts = (Part(text="red", weight=2), Part(item="green"), Part(item="blue", weight=-0.5))
    found = explainer.explain(item, asked(store, *parts))
    assert found.hit is not None
    assert sum(part.share for part in found.parts) == pytest.approx(found.hit.similarity, abs=1e-5)
    assert all(
        np.sign(part.share) == np.sign(part.similarity * asks.weight)
        for part, asks in zip(found.parts, parts, strict=True)
    )


def test_the_whole_is_what_a_search_says(store: MemoryStore, explainer: Explainer) -> None:
    """Similarity and confidence are those of the search that found the picture."""
    query = QueryMaker(store, lambda: EMBEDDER, "default").query([Part(text="green")])
    hit = explainer.searcher.search(query, limit=1)[0]
    found = explainer.explain(hit.item, asked(store, Part(text="green")))
    assert found.hit is not None
    assert found.hit.item == hit.item
    assert found.hit.similarity == pytest.approx(hit.similarity, abs=1e-3)  # the store rounds vectors
    assert found.hit.confidence == pytest.approx(hit.confidence, abs=1e-2)


def test_without_a_query_there_are_concepts(store: MemoryStore, explainer: Explainer) -> None:
    """A picture that nobody searched for is told by what it is near to, the nearest first."""
    item = store.get([("default", "blue")])[0]
    assert item is not None
    found = explainer.explain(item, ())
    assert found.hit is None
    assert found.parts == ()
    excesses = [concept.excess for concept in found.concepts]
    assert excesses == sorted(excesses, reverse=True)
    assert {concept.name for concept in found.concepts} <= set(concept_names())


def test_concepts_have_no_article() -> None:
    """The name of a concept is the caption without its article; there is one for each."""
    assert concept_names()[CAPTION_BANK.index("an elephant")] == "elephant"
    assert concept_names()[-len(LOOKS)] == "red"
    assert len(concept_names()) == len(CAPTION_BANK) + len(LOOKS)


def test_long_texts_are_taken_apart_in_runs() -> None:
    """A text of many words has MAX_PIECES pieces at most, which together are the text; one word has none."""
    words = [f"w{n}" for n in range(100)]
    cut = pieces(" ".join(words))
    assert len(cut) == MAX_PIECES
    assert " ".join(piece.text for piece in cut).split() == words
    assert all(len(piece.rest.split()) + len(piece.text.split()) == 100 for piece in cut)
    assert pieces("dress") == ()


def test_the_grid_follows_the_picture() -> None:
    """Cells are nearly square, and there are as many pictures as cells and one, whatever the picture's shape."""
    for size in ((300, 300), (640, 400), (90, 400), (3, 2)):
        rows, columns = grid_of(size)
        assert len(covered(Image.new("RGB", size, "red"))) == 1 + rows * columns
    assert grid_of((640, 400)) == (7, 11)


def test_covering_finds_where_the_likeness_lies() -> None:
    """The loss is largest where the colour is that was asked for."""
    image = Image.new("RGB", (280, 280), (30, 30, 220))
    image.paste((220, 30, 30), (200, 0, 280, 80))
    vectors: Rows = np.stack([_redness(copy) for copy in covered(image)])
    found = losses(vectors, np.array([1, 0], np.float32), rows=7, columns=7)
    assert np.unravel_index(found.argmax(), found.shape) == (0, 6)
    assert found[6, 0] == pytest.approx(0, abs=0.02)


def _redness(data: bytes) -> Rows:
    """A model that sees how much of a picture is red."""
    pixels = np.asarray(Image.open(BytesIO(data)), np.float64)
    red = float((pixels[..., 0] > pixels[..., 2]).mean())
    return np.array([red, np.sqrt(1 - red**2)], np.float32)
