"""A model in the space of another, by a proof that their vectors are the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from lookalike.calls import Inputs
from lookalike.errors import SpaceMismatch
from lookalike.parity.proof import Proof
from lookalike.policy import ImagePolicy
from lookalike.ports import Vectorizer
from lookalike.spaces import Space, Tower
from lookalike.types import Vectors


def adopted(vectorizer: Vectorizer, space: Space, proof: Proof) -> Vectorizer:
    """The same vectorizer, its vectors in another space; only what was proven is embedded.

    Its tower still says whose it is (runtime, recipe), and its fingerprint tells its vectors from the reference's.

    Args:
        vectorizer: Makes vectors of a space of its own.
        space: The space that they shall belong to.
        proof: That they do.

    Raises:
        SpaceMismatch: The proof is of another space or tower, or of too little.
    """
    tower = adopted_tower(vectorizer.tower, space, proof)
    return vectorizer if vectorizer.tower.space.key == space.key else _Adopted(vectorizer, tower)


def adopted_tower(tower: Tower, space: Space, proof: Proof) -> Tower:
    """The tower of `adopted`, for whoever has vectors of a tower and no vectorizer.

    Raises:
        SpaceMismatch: The proof is of another space or tower, or of too little.
    """
    if tower.space.key == space.key:
        return tower
    if (proof.space.key, proof.fingerprint) != (space.key, tower.fingerprint):
        raise mismatch(space, tower.space)
    found = replace(
        tower,
        space=space,
        recipe=(("adopted", tower.fingerprint), ("model", tower.space.model)),
        cosine=proof.cosine,
        proven=tuple(sorted({*proof.modalities} & {*tower.modalities} & {*space.modalities})),
    )
    found.require_parity()
    return found


def mismatch(wanted: Space, made: Space) -> SpaceMismatch:
    """The error for vectors of another space than is wanted, with what there is to do about it."""
    usual = "Leave the model out to use the index's own, or make another index with --index."
    if wanted.orientation != made.orientation:
        remedy = f"It was made with orientation {wanted.orientation!r}, which cannot be changed afterwards."
    elif wanted.model == made.model:
        remedy = "The model of that name has changed since the index was made: make a new index with --index."
    elif wanted.dim != made.dim or not {*wanted.modalities} & {*made.modalities}:
        remedy = usual
    else:
        command = f"lookalike parity {shlex.quote(wanted.model)} {shlex.quote(made.model)}"
        remedy = f"{usual} If they are one model in two places, `{command}` measures that, and lets the second in."
    return SpaceMismatch(
        f"Vectors of {wanted.id} are needed here, and {made.model} makes vectors of {made.id}: "
        f"the two cannot be compared. {remedy}",
        expected=wanted.id,
        actual=made.id,
    )


class _Adopted:
    """ports.Vectorizer that puts another one's vectors into the space of its tower."""

    def __init__(self, inner: Vectorizer, tower: Tower) -> None:
        self._inner = inner
        self._proven = inner.tower.fingerprint
        self._tower = tower

    @property
    def tower(self) -> Tower:
        return self._tower

    @property
    def policy(self) -> ImagePolicy:
        return self._inner.policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        tower = self._tower
        if inputs.modality in tower.space.modalities and inputs.modality not in tower.modalities:
            raise SpaceMismatch(
                f"It is not proven that {self._inner.tower.space.model} makes {inputs.modality}s into vectors of "
                f"{tower.space.model}: `lookalike parity` measured that for {' and '.join(tower.modalities)}s alone.",
                expected=tower.space.id,
                actual=self._inner.tower.space.id,
            )
        for part in self._inner.embed(inputs, until=until):
            if part.tower.fingerprint != self._proven:  # another one answered in its place
                raise mismatch(tower.space, part.tower.space)
            yield replace(part, tower=tower)
