"""Spaces and towers: what makes two vectors comparable, and what a cache key depends on."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace

import pytest

from lookalike.errors import SpaceMismatch
from lookalike.known import KNOWN_MODELS, known_model
from lookalike.spaces import Approximation, Space, Tower

SPACE = Space(
    model="owner/name",
    weights="a" * 64,
    preprocessing="b" * 64,
    pooling="projection",
    dim=512,
    modalities=("image", "text"),
)
NEAR = Approximation(source="other:text", note="It comes near.", agreement=(("rank_1", 0.6),))
OTHER = {
    "model": "owner/other",
    "weights": "c" * 64,
    "preprocessing": "d" * 64,
    "pooling": "mean",
    "dim": 384,
    "modalities": ("text",),
    "normalised": False,
    "orientation": "ignore",
}


@pytest.mark.parametrize("field", [field.name for field in fields(Space)])
def test_every_part_of_the_geometry_decides_equality_and_the_name_does_not(field: str) -> None:
    """A space equals another if and only if the geometry does; the model's name is for people."""
    changed = replace(SPACE, **{field: OTHER[field]})
    assert (changed.key == SPACE.key) == (field == "model")


def test_mixing_is_refused_with_both_names() -> None:
    """SpaceMismatch names the space in use, the one offered, and what was attempted."""
    other = replace(SPACE, weights="e" * 64)
    SPACE.require(replace(SPACE, model="/a/folder"), doing="Searching")
    with pytest.raises(SpaceMismatch, match="Searching") as caught:
        SPACE.require(other, doing="Searching")
    assert (caught.value.expected, caught.value.actual) == (SPACE.id, other.id)
    assert not caught.value.retryable


def test_a_space_survives_json() -> None:
    """What is written into an index reads back as the same space."""
    assert Space.from_json(SPACE.to_json()) == SPACE


def test_the_id_names_model_dimension_and_geometry() -> None:
    """The id is short, readable, and ends in the geometry's key."""
    assert SPACE.id == f"name-512@{SPACE.key}"
    hosted = replace(SPACE, model="openai:bge-m3?base_url=http://localhost:11434/v1")
    assert hosted.id == f"openai:bge-m3-512@{SPACE.key}"
    assert len(SPACE.key) == 12


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "int8"},
        {"runtime": "openvino"},
        {"recipe": (("max_tokens", "77"),)},
        {"space": replace(SPACE, dim=384)},
    ],
)
def test_whatever_can_change_a_bit_changes_the_fingerprint(change: dict[str, object]) -> None:
    """The fingerprint keys the cache: two recipes never share one."""
    tower = Tower(space=SPACE, runtime="onnxruntime")
    assert replace(tower, **change).fingerprint != tower.fingerprint


def test_a_measurement_is_no_part_of_the_recipe() -> None:
    """Measuring a tower again must not empty its cache."""
    tower = Tower(space=SPACE, runtime="onnxruntime", precision="int8")
    assert replace(tower, cosine=0.9995).fingerprint == tower.fingerprint


def test_a_tower_too_far_from_the_reference_may_not_write() -> None:
    """Below cosine 0.999 a recipe is refused; at 0.999 it is let in."""
    tower = Tower(space=SPACE, runtime="onnxruntime", precision="int8", cosine=0.999)
    tower.require_parity()
    with pytest.raises(SpaceMismatch, match=r"0\.99890"):
        replace(tower, cosine=0.9989).require_parity()


def test_an_approximation_may_ask_and_never_store() -> None:
    """A tower that only comes near its space embeds words alone; its vectors may be used, and not be stored."""
    tower = Tower(space=SPACE, runtime="bridge", approximation=NEAR)
    assert tower.modalities == ("text",)
    tower.require_use()
    with pytest.raises(SpaceMismatch, match="other:text comes near the space"):
        tower.require_parity()
    assert tower.fingerprint == replace(tower, approximation=None).fingerprint


@pytest.mark.parametrize("near", [None, NEAR])
def test_a_tower_is_itself_after_json(near: Approximation | None) -> None:
    """What a worker or a service says of its tower is read back as it was."""
    tower = Tower(space=SPACE, runtime="bridge", recipe=(("bridge", "abc"),), cosine=0.9995, approximation=near)
    assert Tower.from_dict(json.loads(json.dumps(asdict(tower)))) == tower


def test_names_and_aliases_lead_to_one_model() -> None:
    """Every alias is found whatever its case, and no two models share one."""
    names = [name.lower() for model in KNOWN_MODELS for name in (model.name, *model.aliases)]
    assert len(names) == len(set(names))
    for model in KNOWN_MODELS:
        for name in (model.name, *model.aliases):
            assert known_model(name.upper()) is model
    assert known_model("no/such-model") is None


def test_pins_are_full_digests() -> None:
    """A pinned revision is a whole commit, a pinned digest a whole sha256."""
    for model in KNOWN_MODELS:
        assert len(model.revision) in (0, 40)
        for file in model.files:
            assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16) >= 0)
