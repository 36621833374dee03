"""Proofs of parity: what is proven is kept, lets a model into another's space, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.calls import Inputs, joined
from lookalike.embed import LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import InputError, SpaceMismatch
from lookalike.parity import (
    MIN_INPUTS,
    GivenRows,
    Proof,
    Provenance,
    Shelf,
    Trait,
    Variant,
    adopted,
    causes,
    compare,
    compare_rows,
    corpus_digest,
    embed_both,
    mismatch,
    prove,
)
from lookalike.policy import ImagePolicy
from lookalike.ports import Vectorizer
from lookalike.spaces import Modality, Tower
from lookalike.types import Vectors
from tests.doubles.simple import texts
from tests.pictures import picture

WORDS = texts(*(f"word {number}" for number in range(MIN_INPUTS)))
COLOURS = ("red", "green", "blue", "white", "black", "yellow", "orange", "purple", "pink", "brown")
PICTURES = Inputs(modality="image", payloads=[picture(colour) for colour in COLOURS], names=COLOURS)
CORPUS = (WORDS, PICTURES)
MEASURED = Provenance(corpus="0", version="0", date="2026-01-01")


class Elsewhere:
    """The fake model under another name; what is in `off` is turned the other way round."""

    def __init__(self, *, name: str = "elsewhere", off: tuple[str, ...] = ()) -> None:
        self._local = LocalVectorizer(FakeEncoder())
        own = self._local.tower
        self.tower: Tower = replace(own, space=replace(own.space, model=name, weights=name), runtime="hosted")
        self.policy: ImagePolicy = self._local.policy
        self._off = off

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        for part in self._local.embed(inputs, until=until):
            signs = [-1.0 if inputs.names[position] in self._off else 1.0 for position in part.positions]
            values = part.values * np.array(signs, np.float32)[:, None]
            yield replace(part, values=values, tower=self.tower)


def local() -> LocalVectorizer:
    return LocalVectorizer(FakeEncoder())


def proof_of(b: Vectorizer, *corpus: Inputs) -> Proof | None:
    return prove(compare(local(), b, corpus or CORPUS), local().tower, b.tower, MEASURED)


def proven(b: Vectorizer, *corpus: Inputs) -> Proof:
    found = proof_of(b, *corpus)
    assert found is not None
    return found


def test_what_agrees_is_adopted() -> None:
    """The vectors are the same and say the other space; their fingerprint is nobody else's, so no cache mixes them."""
    other, space = Elsewhere(), local().tower.space
    inside = adopted(other, space, proven(other))
    vectors = joined(inside.embed(PICTURES), inside.tower)
    assert vectors.space.key == space.key
    assert inside.tower.modalities == ("image", "text")
    assert len({tower.fingerprint for tower in (inside.tower, other.tower, local().tower)}) == 3
    np.testing.assert_array_equal(vectors.values, joined(other.embed(PICTURES), other.tower).values)
    inside.tower.require_parity()
    assert Tower.from_dict(json.loads(json.dumps(asdict(inside.tower)))) == inside.tower


def test_a_modality_is_proven_for_itself() -> None:
    """Where texts agree and one picture does not, texts may be embedded and pictures are refused, with the reason."""
    other, space = Elsewhere(off=("red",)), local().tower.space
    proof = proven(other)
    assert proof.modalities == ("text",)
    inside = adopted(other, space, proof)
    assert inside.tower.modalities == ("text",)
    assert len(joined(inside.embed(WORDS), inside.tower)) == len(WORDS)
    with pytest.raises(SpaceMismatch, match="measured that for texts alone"):
        next(inside.embed(PICTURES))


def test_few_inputs_prove_nothing() -> None:
    """A modality with fewer inputs than are needed is not proven, however well they agree."""
    few = WORDS.at(range(MIN_INPUTS - 1))
    assert proof_of(Elsewhere(), few) is None
    assert proven(Elsewhere(), few, PICTURES).modalities == ("image",)


def test_a_bad_picture_outside_the_built_in_ones_counts() -> None:
    """All lists of a modality have to agree."""
    assert proof_of(Elsewhere(off=("red",)), PICTURES.at(range(1, 10)), PICTURES) is None


def test_a_proof_is_of_one_tower_and_one_space() -> None:
    """With the proof of another model, or into another space, nothing is adopted."""
    proof, space = proven(Elsewhere()), local().tower.space
    with pytest.raises(SpaceMismatch, match="cannot be compared"):
        adopted(Elsewhere(name="changed"), space, proof)
    with pytest.raises(SpaceMismatch, match="cannot be compared"):
        adopted(Elsewhere(), replace(space, weights="others"), proof)


def test_whoever_answers_in_its_place_is_not_adopted() -> None:
    """A part that another tower made is an error, as that one has not been measured."""

    class Replaced(Elsewhere):
        def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
            yield from Elsewhere(name="stand-in").embed(inputs, until=until)

    inside = adopted(Replaced(), local().tower.space, proven(Elsewhere()))
    with pytest.raises(SpaceMismatch, match="stand-in"):
        next(inside.embed(WORDS))


def test_an_error_of_the_reference_adds_up() -> None:
    """What is only near the reference of its space cannot vouch for another that is as near to it."""
    near = replace(local().tower, precision="int8", cosine=0.9992)
    other = Elsewhere()
    report = compare(local(), other, CORPUS)
    exact = prove(report, local().tower, other.tower, MEASURED)
    assert exact is not None
    assert exact.cosine == pytest.approx(1, abs=1e-6)
    through = prove(report, near, other.tower, MEASURED)
    assert through is not None
    assert through.cosine == pytest.approx(0.9992, abs=2e-5)
    assert prove(report, replace(near, cosine=0.99), other.tower, MEASURED) is None


def test_a_shelf_keeps_proofs_and_forgives_damage(tmp_path: Path) -> None:
    """What was put is found whole; a damaged file, one of another version and a foreign one count as none."""
    shelf, other, space = Shelf(tmp_path / "proofs"), Elsewhere(), local().tower.space
    proof = proven(other)
    assert shelf.find(space, other.tower) is None
    shelf.put(proof)
    assert shelf.find(space, other.tower) == proof
    (path,) = (tmp_path / "proofs").iterdir()
    whole = path.read_text()
    older, other_n = whole.replace('"version": 1', '"version": 0', 1), whole.replace('"n": 10', '"n": 11')
    for bad in (whole[:-40], older, other_n, "[]"):
        assert bad != whole
        path.write_text(bad)
        assert shelf.find(space, other.tower) is None
    path.write_text(whole)
    assert shelf.remove(space, other.tower)
    assert not shelf.remove(space, other.tower)
    assert shelf.find(space, other.tower) is None


def test_the_remedy_fits_the_mismatch() -> None:
    """Models that may be the same are told how to prove it, with a command for a shell; others are not."""
    space = local().tower.space
    twin = replace(space, model="huggingface:https://a.b?images=1&role=query", weights="x")
    assert f"lookalike parity fake '{twin.model}'" in str(mismatch(space, twin))
    assert "lookalike parity" not in str(mismatch(space, replace(twin, dim=3)))
    assert "cannot be changed" in str(mismatch(space, replace(twin, orientation="ignore")))


def test_the_corpus_of_a_proof_is_its_content(tmp_path: Path) -> None:
    """The digest is of the bytes, wherever they are, and changes with any of them."""
    (tmp_path / "red.png").write_bytes(picture("red"))
    names = ["red"]
    inside = Inputs(modality="image", payloads=[picture("red")], names=names)
    on_disk = Inputs(modality="image", payloads=[tmp_path / "red.png"], names=names)
    assert corpus_digest([inside]) == corpus_digest([on_disk])
    assert corpus_digest([inside]) != corpus_digest([inside, WORDS])


def test_rows_are_compared_as_a_model() -> None:
    """Rows of any length agree with the model that made them; one that is no vector is left out, and said."""
    rows = joined(local().embed(PICTURES), local().tower).values.astype(np.float64) * 7
    report = compare_rows(local(), PICTURES, rows)
    assert report.passed
    rows[3] = 0
    rows[4] = np.nan
    (agreement,) = compare_rows(local(), PICTURES, rows).agreements
    assert (agreement.n, len(agreement.left_out)) == (8, 2)
    assert not compare_rows(local(), PICTURES, rows[::-1].copy()).shares_space
    with pytest.raises(InputError, match="a row for each"):
        GivenRows(PICTURES, rows[:5], model="rows", like=local().tower)


def variant(change: str, opened: Vectorizer, modality: Modality = "text") -> Variant:
    @contextmanager
    def opening() -> Iterator[Vectorizer]:
        yield opened

    return Variant(modality=modality, change=change, open=opening)


def test_a_cause_is_found_by_trying() -> None:
    """The change that makes the two agree is named as found; about what agrees anyway nothing is said."""
    off = ("word 3", "word 7")
    pairs = embed_both(local(), Elsewhere(off=off), CORPUS)
    tried = [variant("nothing", local()), variant("some words turned", Elsewhere(off=off))]
    (cause,) = causes(pairs, tried)
    assert (cause.modality, cause.found) == ("text", True)
    assert "With some words turned, fake agrees with elsewhere exactly (without, to " in cause.sentence


def test_a_change_of_the_second_is_held_against_the_first() -> None:
    """Where B is what can be opened in other ways, its variants are compared with A."""
    off = ("word 3",)
    pairs = embed_both(Elsewhere(off=off), local(), CORPUS)
    (cause,) = causes(pairs, [variant("a word turned", Elsewhere(off=off))], varied="theirs")
    assert cause.found
    assert "With a word turned, fake agrees with elsewhere" in cause.sentence


def test_vectors_of_other_inputs_are_said_to_be_out_of_order() -> None:
    """Rows that are one off are no other model's: nothing is tried, and the order is the cause."""
    (ours,) = local().embed(PICTURES)
    rows = GivenRows(PICTURES, np.roll(ours.values, 1, axis=0), model="rows.npy", like=local().tower)
    (cause,) = causes(embed_both(local(), rows, [PICTURES]), [])
    assert cause.found
    assert "in another order" in cause.sentence


def test_without_a_trial_the_pattern_is_likely() -> None:
    """What only inputs of one kind show is named after the smallest kind that has them all, as likely."""
    pairs = embed_both(local(), Elsewhere(off=("red", "blue")), CORPUS)
    traits = [
        Trait(names=frozenset(COLOURS), cause="everything"),
        Trait(names=frozenset({"red", "blue", "pink"}), cause="the colours"),
        Trait(names=frozenset({"red"}), cause="one colour"),
    ]
    (cause,) = causes(pairs, [], traits=traits)
    assert (cause.found, cause.sentence) == (False, "Likely the colours.")


def test_other_models_are_called_that() -> None:
    """Where most vectors have nothing in common no likeness is made up."""
    pairs = embed_both(local(), Elsewhere(off=tuple(WORDS.names)), CORPUS)
    (cause,) = causes(pairs, [], traits=[Trait(names=frozenset(WORDS.names), cause="everything")])
    assert "different models" in cause.sentence
    assert not cause.found


def test_what_the_recipes_say_needs_no_trial() -> None:
    """Of one model in two precisions, or with two tokenizers, the difference is known; nothing is opened for it."""
    ours = Elsewhere()
    for changes, named in (
        ({"precision": "int8"}, "the precision"),
        ({"recipe": (("tokenizer", "2"),)}, "another tokenizer"),
    ):
        theirs = Elsewhere(off=("word 1",))
        theirs.tower = replace(ours.tower, **changes)
        (cause,) = causes(embed_both(ours, theirs, [WORDS]), [])
        assert cause.found
        assert named in cause.sentence
