"""Bridges: what they are fitted to, what is refused, what every vector that crosses one says of itself."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike import bridge as bridges
from lookalike.bridge import Bridge, BridgedVectorizer, built_in_captions
from lookalike.bridge.agreement import measure, overlap
from lookalike.bridge.spelling import spelling_rows, subject_of
from lookalike.calls import Inputs, failure_of
from lookalike.embed import Embedder
from lookalike.errors import CorruptModel, InputError, ModelError, ModelNotFound, SpaceMismatch, UnsupportedModel
from lookalike.policy import ImagePolicy
from lookalike.query import text_query
from lookalike.spaces import Space, Tower
from lookalike.store.memory import MemoryStore
from lookalike.types import Filter, Item, Rows, Vectors
from lookalike.vectors import normalise
from training.bridge_captions import OUT, captions

N_TEXTS, MEANINGS = 480, 12
CONSONANTS, VOWELS = "bdfgklmnprst", "aeiou"


def space(name: str, dim: int) -> Space:
    return Space(model=name, weights=name, preprocessing="", pooling="mean", dim=dim, modalities=("text",))


SOURCE = Tower(space=space("words", 24), runtime="fake")
TARGET = Tower(space=replace(space("pictures", 16), modalities=("image", "text")), runtime="fake")


def names(n: int = N_TEXTS) -> list[str]:
    """Names of two made-up syllables and a third."""
    chance = np.random.default_rng(5)
    syllables = [a + b for a in CONSONANTS for b in VOWELS]
    found = {"".join(chance.choice(syllables, 3)) for _ in range(2 * n)}
    return sorted(found)[:n]


def meaning(text: str) -> Rows:
    """(MEANINGS,) what a text means: by its letters alone, the same for "a cat" and "cat"."""
    seed = int.from_bytes(subject_of(text).encode()[:8], "big")
    return np.random.default_rng(seed).standard_normal(MEANINGS).astype(np.float32)


def world(tower: Tower, texts: Sequence[str], *, seed: int) -> Vectors:
    """Vectors that a model gives to texts by what they mean, all on one side of the sphere, as those of CLIP are."""
    turn = np.random.default_rng(seed).standard_normal((MEANINGS, tower.space.dim)).astype(np.float32)
    rows = np.array([meaning(text) for text in texts]).reshape(len(texts), MEANINGS) @ turn
    rows[:, 0] += 6
    return Vectors(normalise(rows), tower, np.arange(len(texts)), n_tokens=np.ones(len(texts), np.int64))


class Words:
    """A vectorizer of the source; a text of blanks is no text to it."""

    tower = SOURCE
    policy = ImagePolicy()

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        for position, text in enumerate(inputs.payloads):
            if str(text).strip():
                yield replace(world(SOURCE, [str(text)], seed=1), positions=np.array([position]))
            else:
                failure = failure_of(position, inputs.names[position], InputError("is empty."))
                yield replace(world(SOURCE, [], seed=1), failures=(failure,))


def fitted(texts: Sequence[str], *, target: Vectors | None = None, images: Rows | None = None) -> Bridge:
    there = world(TARGET, texts, seed=2) if target is None else target
    return bridges.fit(texts, world(SOURCE, texts, seed=1), there, images=images)


@pytest.fixture(scope="module")
def good() -> Bridge:
    """A bridge between two models that see the same in other words."""
    return fitted(names())


@pytest.fixture(scope="module")
def bad() -> Bridge:
    """A bridge fitted to texts that were paired with others' vectors."""
    there = world(TARGET, names(), seed=2)
    return fitted(names(), target=replace(there, values=np.ascontiguousarray(there.values[::-1])))


def test_a_bridge_finds_the_right_one_of_texts_that_it_has_not_seen(good: Bridge) -> None:
    """Where one model's vectors follow from the other's, unseen texts are found; a quarter is unseen."""
    assert good.agreement.n_texts == N_TEXTS // 4
    assert good.agreement.rank_1 > 0.9
    assert good.agreement.cosine_mean > 0.98 > good.agreement.cosine_of_mean


def test_all_forms_of_a_held_out_name_are_held_out() -> None:
    """ "a photo of a cat" would give "cat" away: what is measured is about other things than what was fitted."""
    plain = names()
    chance = np.random.default_rng(0)
    forms = [f"a photo of a {name}" for name in plain] + plain
    # Without knowledge of the other form there is nothing to learn here.
    blind = world(SOURCE, plain, seed=1)
    blind = replace(blind, values=normalise(chance.standard_normal((len(plain), 24)).astype(np.float32)))
    both = np.concatenate([blind.values, blind.values])
    source = replace(blind, values=both, positions=np.arange(len(forms)))
    bridge = bridges.fit(forms, source, world(TARGET, forms, seed=2))
    assert bridge.agreement.rank_1 < 0.1
    assert bridge.agreement.n_texts == N_TEXTS // 4


def test_the_same_texts_give_the_same_bridge(good: Bridge) -> None:
    """Nothing about a bridge is left to chance."""
    assert fitted(names()).digest == good.digest


def test_texts_that_failed_are_left_out(good: Bridge) -> None:
    """A text that one model has no vector of is not fitted to, and moves no other text to the wrong row."""
    texts = names()
    kept = np.delete(np.arange(len(texts)), [3, 40])
    source, target = world(SOURCE, texts, seed=1), world(TARGET, texts, seed=2)
    source = replace(source, values=source.values[kept], positions=kept)
    assert bridges.fit(texts, source, target).agreement.rank_1 > 0.9


def test_too_few_subjects_are_refused() -> None:
    """Forms of few things are few things."""
    forms = [form.format(name) for name in names(200) for form in ("{}", "a {}", "a photo of a {}")]
    with pytest.raises(InputError, match="400 different things or more, and these are about 200"):
        fitted(forms)


def test_a_bridge_that_does_not_hold_is_not_crossed(bad: Bridge, tmp_path: Path) -> None:
    """Below the floor nothing is saved and nothing is searched, and the error says how bad it is."""
    (tmp_path / "bridge.npz").write_bytes(b"what was there")
    with pytest.raises(SpaceMismatch, match="comes first in"):
        bridges.save(bad, tmp_path / "bridge.npz")
    assert (tmp_path / "bridge.npz").read_bytes() == b"what was there"
    with pytest.raises(SpaceMismatch, match="more texts of the kind that you search with"):
        BridgedVectorizer(Words(), bad)


def test_pictures_that_come_out_wrong_are_a_complaint(good: Bridge) -> None:
    """Finding names is not enough: where the wrong pictures would be shown, the bridge does not hold."""
    figures = replace(good.agreement, n_images=73, top_10=0.2)
    assert "20% of the best ten pictures" in figures.complaints[0]
    assert replace(figures, n_images=20).complaints == ()  # of 20, ten agree by chance


def test_a_bridge_is_itself_after_the_disk(good: Bridge, tmp_path: Path) -> None:
    """What is read gives the vectors that were written, bit for bit, and knows all that was known."""
    bridges.save(good, tmp_path / "sub" / "bridge.npz")
    read = bridges.load(tmp_path / "sub" / "bridge.npz")
    assert read.digest == good.digest
    assert (read.agreement, read.source, read.target) == (good.agreement, good.source, good.target)
    texts = ["bodako", "a gimesu"]
    rows = world(SOURCE, texts, seed=1).values
    np.testing.assert_array_equal(read.mapping(texts, rows), good.mapping(texts, rows))
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["bridge.npz"]


def test_damage_is_noticed(good: Bridge, tmp_path: Path) -> None:
    """A file that is cut, changed, newer or no bridge at all gives an error that says what to do."""
    path = tmp_path / "bridge.npz"
    bridges.save(good, path)
    whole = path.read_bytes()
    for data in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(CorruptModel, match="lookalike bridge fit") as caught:
            bridges.load(path)
        assert "pickle" not in str(caught.value)  # numpy's advice would run a stranger's code
    path.write_bytes(whole)
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, "mean": -arrays["mean"]})
    with pytest.raises(CorruptModel, match="not what was written"):
        bridges.load(path)
    header = {**json.loads(arrays["header"].tobytes()), "version": 2}
    np.savez(path, **{**arrays, "header": np.frombuffer(json.dumps(header).encode(), np.uint8)})
    with pytest.raises(UnsupportedModel, match="version 2"):
        bridges.load(path)
    with pytest.raises(ModelNotFound, match="There is no bridge"):
        bridges.load(tmp_path / "other.npz")


def test_a_place_that_cannot_be_written_is_an_error(good: Bridge, tmp_path: Path) -> None:
    """The reason is the system's, and nothing is left behind."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match="cannot be written"):
        bridges.save(good, tmp_path / "file" / "bridge.npz")


def test_words_cross_and_say_so(good: Bridge) -> None:
    """Vectors come out in the target's space, each in its place, of a tower that is an approximation."""
    crossing = BridgedVectorizer(Words(), good)
    texts = ["bodako", "   ", "gimesu"]
    found = Embedder(crossing).embed_texts(texts, on_error="collect")
    assert found.positions.tolist() == [0, 2]
    assert [failure.position for failure in found.failures] == [1]
    assert found.space == TARGET.space
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, atol=1e-6)
    true = world(TARGET, ["bodako", "gimesu"], seed=2).values
    assert (np.einsum("ij,ij->i", found.values, true) > 0.95).all()
    tower = crossing.tower
    assert tower.modalities == ("text",)
    assert tower.approximation is not None
    told = dict(tower.approximation.agreement)
    assert told["rank_1"] == round(good.agreement.rank_1, 4)
    assert "top_10" not in told  # no picture was searched: a 0 would say that all were wrong
    with pytest.raises(SpaceMismatch, match="may search pictures, and not store any"):
        tower.require_parity()


def test_another_bridge_is_another_tower(good: Bridge) -> None:
    """Caches and canaries keep the vectors of two bridges, and of two recipes of the words, apart."""
    other = replace(good, arrays_digest="0" * 64)
    assert BridgedVectorizer(Words(), other).tower.fingerprint != BridgedVectorizer(Words(), good).tower.fingerprint


def test_no_picture_crosses(good: Bridge) -> None:
    """A bridge is of words: a picture is refused before anybody is asked."""
    with pytest.raises(UnsupportedModel, match="embed pictures with pictures"):
        list(BridgedVectorizer(Words(), good).embed(Inputs(modality="image", payloads=[b""], names=["x"])))


def test_words_of_another_model_do_not_cross(good: Bridge) -> None:
    """A bridge begins in one space; vectors of another are refused, not mapped."""
    words = Words()
    words.tower = replace(SOURCE, space=space("others", 24))
    with pytest.raises(SpaceMismatch, match="Crossing this bridge"):
        BridgedVectorizer(words, good)


def test_a_bridge_ends_at_no_bridge(good: Bridge) -> None:
    """Approximations are not piled up: neither end of a bridge may be one."""
    near = replace(TARGET, approximation=good.approximation)
    with pytest.raises(SpaceMismatch):
        fitted(names(), target=world(near, names(), seed=2))


def test_a_search_through_a_bridge_finds_and_tells(good: Bridge) -> None:
    """The picture that the target's own words would find comes first, and the query says what read it."""
    texts = names()[:50]
    store = MemoryStore(TARGET.space)
    contents = [f"{number:064x}" for number in range(len(texts))]
    items = [Item(id=text, content=content) for text, content in zip(texts, contents, strict=True)]
    store.add(items, contents, world(TARGET, texts, seed=2).values)
    query = text_query(Embedder(BridgedVectorizer(Words(), good)), texts[7])
    assert query.approximation == good.approximation
    assert query.warnings == (good.approximation.note,)
    (best,), _ = store.search(query.vector, limit=1, where=Filter())
    assert best.item.id == texts[7]


def test_the_figures_are_what_they_say() -> None:
    """Rank@1 counts texts whose own vector is nearest; the overlap counts pictures that are the same."""
    true = normalise(np.eye(4, 6, dtype=np.float32) + 0.1)
    found = true[[0, 1, 3, 2]]
    images = normalise(np.eye(6, dtype=np.float32) + 0.01)
    figures = measure(found, true, mean=true.mean(axis=0), images=images)
    assert figures.rank_1 == 0.5
    assert figures.rank_10 == 1.0
    assert figures.top_10 == 1.0  # all six are among the best ten
    assert overlap(found, true, images, k=1) == 0.5


def test_spelling_is_about_words() -> None:
    """Texts that share a word are near, whatever the case and the signs between; without letters there is nothing."""
    ball, bat, other, same, none = spelling_rows(["tennis ball", "tennis bat", "red fox", "Tennis_Ball!", "?!"])
    np.testing.assert_array_equal(ball, same)
    assert ball @ bat > 0.5 > ball @ other + 0.3
    assert not none.any()


@pytest.mark.parametrize("text", ["cat", "a Cat", "the cat", "a photo of a cat", "A photo of the cat.", "photo of cat"])
def test_forms_of_one_caption_have_one_subject(text: str) -> None:
    """An article, a capital or "a photo of" makes no other thing of it."""
    assert subject_of(text) == "cat"


def test_the_built_in_captions_are_many_short_and_small() -> None:
    """At least 5,000 of at most 15 words, each once, in less than 200 KB; and the script still makes these."""
    found = built_in_captions()
    assert len(found) == len(set(found)) >= 5_000
    assert max(len(caption.split()) for caption in found) <= 15
    assert len({subject_of(caption) for caption in found}) >= 4_000
    assert OUT.stat().st_size < 200_000
    assert gzip.decompress(OUT.read_bytes()).decode().splitlines() == captions()
