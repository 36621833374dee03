"""Whether two models make the same vectors: both embed the same pictures and texts, and the rows are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.calls import Inputs, joined
from lookalike.errors import SpaceMismatch
from lookalike.ports import Vectorizer
from lookalike.spaces import REQUIRED_COSINE, Modality
from lookalike.types import Vectors

TOLERANCE = 1e-3
"""The largest difference of two numbers of unit vectors that counts as none, if nobody says otherwise."""

N_WORST = 5
"""How many cases of a modality are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One picture or text, as both models have it.

    Attributes:
        name: What it is called.
        difference: The largest |a - b| among its numbers.
        cosine: Between the two vectors.
    """

    name: str
    difference: float
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two models agree about one modality.

    Attributes:
        modality: Of what.
        n: How many pictures or texts both embedded.
        max_difference: The largest |a - b| among all numbers; 0 if n is.
        cosine_min: The least cosine between two vectors of one input; 0, as the others, if n is.
        cosine_p1: The cosine that 1 % of the inputs are below.
        cosine_p50: The cosine that half of them are below.
        worst: The cases that differ most, the worst first.
        left_out: A sentence for each input that one of the two, or both, could not use.
    """

    modality: Modality
    n: int
    max_difference: float
    cosine_min: float
    cosine_p1: float
    cosine_p50: float
    worst: tuple[Case, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """What came of a comparison.

    Attributes:
        tolerance: The largest difference that passes.
        agreements: One for each modality that was compared.
    """

    tolerance: float
    agreements: tuple[Agreement, ...]

    @property
    def passed(self) -> bool:
        """Whether no number differs by more than the tolerance, and there was something to compare in each modality."""
        return all(a.n > 0 and a.max_difference <= self.tolerance for a in self.agreements)

    @property
    def shares_space(self) -> bool:
        """Whether every cosine is high enough for the vectors of both to be in one index."""
        return all(a.n > 0 and a.cosine_min >= REQUIRED_COSINE for a in self.agreements)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """The same inputs, as two models have embedded them."""

    inputs: Inputs
    ours: Vectors
    theirs: Vectors


def compare(a: Vectorizer, b: Vectorizer, corpus: Sequence[Inputs], *, tolerance: float = TOLERANCE) -> ParityReport:
    """Embed the same with two models, and compare; see `embed_both` and `report_of`."""
    return report_of(embed_both(a, b, corpus), tolerance=tolerance)


def embed_both(a: Vectorizer, b: Vectorizer, corpus: Sequence[Inputs]) -> list[Pair]:
    """Embed the same with two models.

    Args:
        a: The reference.
        b: What is measured against it.
        corpus: Pictures, texts or both; those of a modality that one of the models has not are left out.

    Raises:
        SpaceMismatch: Their vectors have not the same length, or the corpus has nothing that both embed.
        ProviderError: A provider did not do its part.
    """
    ours, theirs = a.tower.space, b.tower.space
    modalities = set(a.tower.modalities) & set(b.tower.modalities)
    common = [inputs for inputs in corpus if inputs.modality in modalities]
    if ours.dim != theirs.dim or not common:
        reason = (
            f"vectors of {ours.dim} numbers cannot be those of {theirs.dim}"
            if ours.dim != theirs.dim
            else "there is nothing that both of them embed"
        )
        raise SpaceMismatch(
            f"{ours.model} and {theirs.model} are models of two spaces: {reason}. Vectors of one are of no use to the "
            "other; embed everything again with the model that you want to go on with.",
            expected=ours.id,
            actual=theirs.id,
        )
    return [Pair(inputs=inputs, ours=_embedded(a, inputs), theirs=_embedded(b, inputs)) for inputs in common]


def report_of(pairs: Sequence[Pair], *, tolerance: float = TOLERANCE) -> ParityReport:
    """What comes of comparing; `tolerance` is the largest |difference| that passes."""
    return ParityReport(tolerance=tolerance, agreements=tuple(agreement_of(pair) for pair in pairs))


def agreement_of(pair: Pair) -> Agreement:
    """How far the two agree about these inputs."""
    inputs, ours, theirs = pair.inputs, pair.ours, pair.theirs
    both, rows_a, rows_b = np.intersect1d(ours.positions, theirs.positions, assume_unique=True, return_indices=True)
    values_a, values_b = ours.values[rows_a].astype(np.float64), theirs.values[rows_b].astype(np.float64)
    differences = np.abs(values_a - values_b).max(axis=1, initial=0)
    # Unit rows of float32 are not quite of length 1, which is more than some differences are.
    lengths = np.linalg.norm(values_a, axis=1) * np.linalg.norm(values_b, axis=1)
    cosines = np.einsum("ij,ij->i", values_a, values_b) / lengths
    least, p1, p50 = np.quantile(cosines, (0, 0.01, 0.5)) if len(both) else (0.0, 0.0, 0.0)
    return Agreement(
        modality=inputs.modality,
        n=len(both),
        max_difference=float(differences.max(initial=0)),
        cosine_min=float(least),
        cosine_p1=float(p1),
        cosine_p50=float(p50),
        worst=tuple(
            Case(name=inputs.names[both[row]], difference=float(differences[row]), cosine=float(cosines[row]))
            for row in np.argsort(-differences, kind="stable")[:N_WORST]
        ),
        left_out=(*_left_out(ours), *_left_out(theirs)),
    )


def _embedded(vectorizer: Vectorizer, inputs: Inputs) -> Vectors:
    return joined(vectorizer.embed(inputs), vectorizer.tower)


def _left_out(vectors: Vectors) -> list[str]:
    tower = vectors.tower
    return [
        f"{failure.item}: not by {tower.space.model} on {tower.runtime}: {failure.reason}"
        for failure in vectors.failures
    ]
