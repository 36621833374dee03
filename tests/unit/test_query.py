"""Queries of several parts: what their sum is, what is refused, what is left out of the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lookalike.bank import caption_bank
from lookalike.confidence import CAPTION_BANK, IMAGE_PRIOR, TEXT_PRIOR
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import COLOURS, FakeEncoder
from lookalike.errors import InputError, ItemNotFound, SpaceMismatch
from lookalike.query import Part, Query, QueryMaker, compose
from lookalike.search import Searcher
from lookalike.spaces import Approximation, Tower
from lookalike.store.memory import MemoryStore
from lookalike.types import Hits, Item
from tests.pictures import picture

NEAR = Approximation(source="other:text", note="Words are read by other:text, which comes near.")
EMBEDDER = Embedder(LocalVectorizer(FakeEncoder()))
DIM = EMBEDDER.space.dim


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """One picture of each colour, in project "default"."""
    store = MemoryStore(EMBEDDER.space)
    contents = [f"{number:064x}" for number in range(len(COLOURS))]
    items = [Item(id=name, content=content) for name, content in zip(COLOURS, contents, strict=True)]
    store.add(items, contents, EMBEDDER.embed_images([picture(rgb) for rgb in COLOURS.values()]).values)
    return store


@pytest.fixture(scope="module")
def maker(store: MemoryStore) -> QueryMaker:
    return QueryMaker(store, lambda: EMBEDDER, "default")


def search(store: MemoryStore, query: Query, **options: Any) -> Hits:
    return Searcher(store, lambda: EMBEDDER.embed_texts(CAPTION_BANK).values).search(query, **options)


def ids(hits: Hits) -> list[str]:
    return [hit.item.id for hit in hits]


def along(axis: int, **options: Any) -> Query:
    """A query along one axis."""
    return Query(np.eye(DIM, dtype=np.float32)[axis], EMBEDDER.space, options.pop("kind", "image"), **options)


def test_a_sum_points_between_its_parts() -> None:
    """The vector is the normalised sum of weight times unit vector; only the proportion of the weights counts."""
    for scale in (1.0, 1e-200, 1e300):
        query = compose([(along(0), 3 * scale), (along(1), -4 * scale)])
        np.testing.assert_allclose(query.vector[:3], [0.6, -0.8, 0], atol=1e-6)
        assert query.vector.dtype == np.float32
        assert query.kind == "composed"


def test_one_part_is_what_it_was_unless_turned_around() -> None:
    """A caption with a weight is still a caption; the opposite of one is not."""
    words = along(0, kind="text")
    assert compose([(words, 7.0)]) is words
    turned = compose([(words, -0.5)])
    assert turned.kind == "composed"
    np.testing.assert_array_equal(turned.vector, -words.vector)


@pytest.mark.parametrize("weights", [(1.0, -1.0), (1e300, -1e300), (1.0, -0.99)])
def test_parts_that_cancel_out_are_refused(weights: tuple[float, float]) -> None:
    """What is left of a vector less itself is rounding, and would rank at random."""
    with pytest.raises(InputError, match="cancel each other out"):
        compose([(along(2), weight) for weight in weights])


def test_no_part_is_no_query() -> None:
    """The sentence says what is missing."""
    with pytest.raises(InputError, match="at least one part"):
        compose([])


def test_parts_of_two_spaces_are_not_added() -> None:
    """Their sum would be a number without a meaning."""
    other = FakeEncoder(name="other").tower.space
    with pytest.raises(SpaceMismatch, match="Composing"):
        compose([(along(0), 1), (Query(along(1).vector, other, "text"), 1)])


def test_every_warning_and_every_item_of_the_parts_is_kept() -> None:
    """What a part says or names counts for the whole query."""
    query = compose(
        [(along(0, warnings=("first",), exclude=frozenset({("a", "1")})), 1), (along(1, warnings=("second",)), 1)]
    )
    assert query.warnings == ("first", "second")
    assert query.exclude == {("a", "1")}


def test_the_prior_of_a_sum_follows_from_those_of_its_parts() -> None:
    """The cosine of a sum to a picture is the weighted sum of cosines over the length; so is its expectation."""
    prior = compose([(along(0), 1), (along(1, kind="text"), 1)]).prior
    assert prior is not None
    assert prior.mean == pytest.approx((IMAGE_PRIOR.mean + TEXT_PRIOR.mean) / np.sqrt(2))
    assert prior.std == pytest.approx(np.hypot(IMAGE_PRIOR.std, TEXT_PRIOR.std) / np.sqrt(2))
    doubled = compose([(along(0), 1), (along(0), 1)]).prior
    assert doubled is not None
    assert doubled.mean == pytest.approx(IMAGE_PRIOR.mean)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"text": "a", "item": "b"}, {"text": "a", "weight": 0.0}, {"text": "a", "weight": float("nan")}],
)
def test_a_part_is_one_thing_with_a_weight(wrong: dict[str, Any]) -> None:
    """No thing, two things, or a weight that is none: refused when the part is made."""
    with pytest.raises(InputError):
        Part(**wrong)


@pytest.mark.parametrize(
    "values",
    [[1.0] * (DIM + 1), [0.0] * DIM, [float("inf")] * DIM, ["red"] * DIM, [[1.0]] * DIM, "red", [None] * DIM],
)
def test_a_vector_that_is_none_is_refused(maker: QueryMaker, values: Any) -> None:
    """Wrong number, zero, not finite, not numbers: an error that names the vector."""
    with pytest.raises(InputError, match="vector"):
        maker.query([Part(vector=values)])


def test_a_vector_may_have_any_length(maker: QueryMaker, store: MemoryStore) -> None:
    """What counts is its direction, however small or large its numbers are."""
    red = EMBEDDER.embed_images([picture(COLOURS["red"])]).values[0].astype(np.float64)
    for scale in (1e-300, 1, 1e300):
        assert ids(search(store, maker.query([Part(vector=(red * scale).tolist())]), limit=1)) == ["red"]


def test_words_beside_an_item_move_the_answer(maker: QueryMaker, store: MemoryStore) -> None:
    """More like this item, but of another colour: that colour comes first, and the item itself does not come."""
    query = maker.query([Part(item="red"), Part(text="green", weight=2), Part(text="blue", weight=-1)])
    found = ids(search(store, query, limit=len(COLOURS)))
    assert found[0] == "green"
    assert found[-1] == "blue"
    assert "red" not in found


def test_all_items_of_a_query_are_left_out_and_the_rest_fills_the_limit(maker: QueryMaker, store: MemoryStore) -> None:
    """Two items asked with, as many answers as asked for, none of them among these."""
    found = ids(search(store, maker.query([Part(item="red"), Part(item="blue", weight=-0.5)]), limit=4))
    assert len(found) == 4
    assert not {"red", "blue"} & set(found)


def test_an_item_of_the_query_must_be_there(maker: QueryMaker) -> None:
    """The error names it."""
    with pytest.raises(ItemNotFound, match="'mauve'"):
        maker.query([Part(item="red"), Part(item="mauve")])


def test_the_bank_is_embedded_once_and_read_by_the_next(tmp_path: Any) -> None:
    """The folder has it for the next process; a damaged file is made again; a folder that is a file does not matter."""
    bank = caption_bank(EMBEDDER, tmp_path / "banks")
    (kept,) = (tmp_path / "banks").iterdir()

    class Silent:
        tower = EMBEDDER.tower

        def embed_images(self, *_: Any, **__: Any) -> Any:
            raise AssertionError

        embed_texts = embed_images

    np.testing.assert_array_equal(caption_bank(Silent(), tmp_path / "banks"), bank)
    kept.write_bytes(kept.read_bytes()[:100])
    np.testing.assert_array_equal(caption_bank(EMBEDDER, tmp_path / "banks"), bank)
    (tmp_path / "file").touch()
    np.testing.assert_array_equal(caption_bank(EMBEDDER, tmp_path / "file"), bank)


class _Nearby(LocalVectorizer):
    """Words read by a model that only comes near the space."""

    @property
    def tower(self) -> Tower:
        return replace(super().tower, approximation=NEAR)


def test_every_answer_says_that_its_words_came_near(store: MemoryStore) -> None:
    """What read the words, and how well, is a field of the answer and one of its warnings, alone or in a sum."""
    maker = QueryMaker(store, lambda: Embedder(_Nearby(FakeEncoder())), "default")
    for parts in (
        [Part(text="a red dress")],
        [Part(item="red"), Part(text="a red dress"), Part(text="blue", weight=-1)],
    ):
        hits = search(store, maker.query(parts))
        assert hits.approximation == NEAR
        assert hits.warnings == (NEAR.note,)
    assert search(store, maker.query([Part(item="red")])).approximation is None
