"""Searching: the right pictures, a threshold that means something, no mixing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lookalike.confidence import CAPTION_BANK
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import COLOURS, FakeEncoder
from lookalike.errors import InputError, ItemNotFound, SpaceMismatch
from lookalike.query import Query, item_query
from lookalike.search import DRAWN_FOR_S, Searcher
from lookalike.store.memory import MemoryStore
from lookalike.types import Filter, Item, Rows
from lookalike.vectors import normalise
from tests.pictures import noise, picture

EMBEDDER = Embedder(LocalVectorizer(FakeEncoder()))
NO_BANK = np.empty((0, EMBEDDER.space.dim), np.float32)


@pytest.fixture
def store() -> MemoryStore:
    """One picture of each colour and twenty of noise; the odd ones in project "odd"."""
    pictures = [picture(rgb) for rgb in COLOURS.values()] + [noise(seed) for seed in range(20)]
    names = [*COLOURS, *(f"noise{seed}" for seed in range(20))]
    store = MemoryStore(EMBEDDER.space)
    vectors = EMBEDDER.embed_images(pictures).values
    contents = [f"{number:064x}" for number in range(len(names))]
    items = [
        Item(id=name, content=content, project="odd" if number % 2 else "even", metadata={"kind": name[:5]})
        for number, (name, content) in enumerate(zip(names, contents, strict=True))
    ]
    store.add(items, contents, vectors)
    return store


@pytest.fixture
def searcher(store: MemoryStore) -> Searcher:
    return Searcher(store, lambda: EMBEDDER.embed_texts(CAPTION_BANK).values)


def words(text: str) -> Query:
    return Query(EMBEDDER.embed_texts([text]).values[0], EMBEDDER.space, "text")


def example(data: bytes) -> Query:
    return Query(EMBEDDER.embed_images([data]).values[0], EMBEDDER.space, "image")


def ids(hits: object) -> list[str]:
    return [hit.item.id for hit in hits]  # type: ignore[attr-defined]


@pytest.mark.parametrize("colour", COLOURS)
def test_words_find_what_they_say(searcher: Searcher, colour: str) -> None:
    """The best answer to a colour is the picture of that colour; similarities fall."""
    hits = searcher.search(words(f"something {colour}"), limit=5)
    assert ids(hits)[0] == colour
    similarities = [hit.similarity for hit in hits]
    assert similarities == sorted(similarities, reverse=True)
    assert hits.space == EMBEDDER.space
    assert hits.considered == 26


def test_an_example_finds_itself_first(searcher: Searcher) -> None:
    """The same picture is the surest answer there is."""
    best = searcher.search(example(picture("red")), limit=1)[0]
    assert best.similarity == pytest.approx(1, abs=1e-3)
    assert best.confidence > 0.5


def test_more_like_an_item_leaves_the_item_out(searcher: Searcher, store: MemoryStore) -> None:
    """Nobody asks for the picture that they already look at; and as many answers as asked for."""
    hits = searcher.search(item_query(store, "even", "red"), limit=25)
    assert len(hits) == 25
    assert "red" not in ids(hits)


def test_an_unknown_item_is_named(store: MemoryStore) -> None:
    """The error says which item of which project."""
    with pytest.raises(ItemNotFound, match=r"'red' in project 'odd'"):
        item_query(store, "odd", "red")


def test_only_what_the_filter_lets_through(searcher: Searcher) -> None:
    """Project and metadata narrow the answer, never the number of answers below the limit."""
    hits = searcher.search(words("red"), limit=100, where=Filter(project="odd"))
    assert hits.considered == len(hits) == 13
    assert {hit.item.project for hit in hits} == {"odd"}
    hits = searcher.search(words("red"), limit=100, where=Filter(metadata={"kind": "noise"}))
    assert len(hits) == 20


def test_a_threshold_leaves_out_what_is_less_sure(searcher: Searcher) -> None:
    """With a threshold the answer is the unlimited answer without its unsure part."""
    everything = searcher.search(example(picture("red")), limit=26)
    sure = searcher.search(example(picture("red")), limit=26, min_confidence=0.5)
    assert ids(sure) == [hit.item.id for hit in everything if hit.confidence >= 0.5]
    assert 0 < len(sure) < 26


def test_nothing_matches_is_an_answer() -> None:
    """An empty collection, or one where nothing is like the query, gives no hits and no error."""
    store = MemoryStore(EMBEDDER.space)
    searcher = Searcher(store, lambda: EMBEDDER.embed_texts(CAPTION_BANK).values)
    for query in (words("red"), example(picture("red"))):
        hits = searcher.search(query, limit=5)
        assert (len(hits), hits.considered) == (0, 0)


def test_a_query_of_another_space_is_refused(searcher: Searcher) -> None:
    """Never a bad ranking: an error."""
    foreign = replace(words("red"), space=FakeEncoder(name="other").tower.space)
    with pytest.raises(SpaceMismatch, match="Searching"):
        searcher.search(foreign)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"min_confidence": -0.1}, {"min_confidence": 1.5}])
def test_a_wrong_request_is_refused(searcher: Searcher, wrong: dict[str, float]) -> None:
    """The sentence says what the value must be."""
    with pytest.raises(InputError):
        searcher.search(words("red"), **wrong)  # type: ignore[arg-type]


def test_the_bank_is_made_once_and_only_for_words(store: MemoryStore) -> None:
    """Looking for more like a picture needs no text model."""
    made: list[Rows] = []

    def bank() -> Rows:
        made.append(EMBEDDER.embed_texts(CAPTION_BANK).values)
        return made[-1]

    searcher = Searcher(store, bank)
    searcher.search(example(picture("red")))
    assert not made
    searcher.search(words("red"))
    searcher.search(words("green"))
    assert len(made) == 1


def test_the_background_follows_a_growing_collection(store: MemoryStore, searcher: Searcher) -> None:
    """What "unrelated" means is drawn again once the collection has changed much."""
    before = searcher.search(example(picture("red")), limit=1)[0].confidence
    red = EMBEDDER.embed_images([picture("red")]).values
    rows = normalise(red + np.random.default_rng(0).normal(size=(300, red.shape[1])) * 0.05)
    contents = [f"{number:064x}" for number in range(1000, 1300)]
    store.add([Item(id=content, content=content) for content in contents], contents, rows)
    after = searcher.search(example(picture("red")), limit=1)[0].confidence
    assert after < before


@pytest.mark.parametrize("where", [Filter(), Filter(project="even", apart=True)])
def test_the_background_follows_a_collection_that_is_replaced(store: MemoryStore, where: Filter) -> None:
    """As many other pictures in the place of those that went show in confidences, after a minute."""
    clock = [0.0]
    searcher, red = Searcher(store, lambda: NO_BANK, clock=lambda: clock[0]), example(picture("red"))
    searcher.search(red, where=where)
    items = list(store.items(Filter()))
    store.delete([(item.project, item.id) for item in items])
    rows = normalise(red.vector + np.random.default_rng(0).normal(size=(len(items), len(red.vector))) * 0.05)
    contents = [f"{number:064x}" for number in range(1000, 1000 + len(items))]
    store.add([replace(item, content=new) for item, new in zip(items, contents, strict=True)], contents, rows)
    expected = Searcher(store, lambda: NO_BANK).search(red, where=where)[0].confidence
    assert searcher.search(red, where=where)[0].confidence > expected
    clock[0] += DRAWN_FOR_S
    assert searcher.search(red, where=where)[0].confidence == expected


def test_warnings_of_the_query_reach_the_answer(searcher: Searcher) -> None:
    """A text that was cut is said in the answer."""
    query = replace(words("red"), warnings=("query: its end was left out.",))
    assert searcher.search(query).warnings == ("query: its end was left out.",)
