"""Why two models differ: tried out where one of them can be opened in another way, else read off what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.calls import joined
from lookalike.parity.compare import TOLERANCE, Agreement, Pair, agreement_of
from lookalike.ports import Vectorizer
from lookalike.spaces import REQUIRED_COSINE, Modality, Tower
from lookalike.types import Vectors

N_TRIED = 10
"""So many inputs are embedded in another way: those that differ most, and some that do not."""

EXACT = 1e-5
"""A largest difference that only rounding makes: nothing else needs to be tried."""

SHARE = 0.25
"""What brings the largest difference down to this share of it is most of the cause."""

SHUFFLED = 0.4
"""The share of vectors that agree with those of other inputs from which they are out of order; of rows in pairs of
neighbours that are one off, half do."""

UNRELATED = 0.5
"""A median cosine below this is not that of one model in two places."""

NEAR = 0.995
"""Cosines from here on are what another precision makes of a model."""

_SPOKEN = {"tokenizer": "tokenizer, or length at which texts are cut"}
"""Parts of a recipe whose names do not say all that is in them."""

Side = Literal["ours", "theirs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the two models, opened in another way.

    Attributes:
        modality: What it embeds in another way.
        change: What is done in another way: "GELU in place of QuickGELU".
        open: Opens it, for a while.
    """

    modality: Modality
    change: str
    open: Callable[[], AbstractContextManager[Vectorizer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """What some inputs of a corpus have in common.

    Attributes:
        names: The inputs.
        cause: Why these alone would differ.
    """

    names: frozenset[str]
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why two models differ about one modality.

    Attributes:
        modality: About which.
        sentence: For people.
        found: Whether it was tried out; else it is likely, by what differs and what does not.
    """

    modality: Modality
    sentence: str
    found: bool


def causes(
    pairs: Sequence[Pair],
    variants: Iterable[Variant],
    *,
    varied: Side = "ours",
    traits: Sequence[Trait] = (),
    tolerance: float = TOLERANCE,
) -> tuple[Cause, ...]:
    """Why two models differ: one cause for each modality that they differ about.

    Args:
        pairs: What both made of the corpus.
        variants: One of the two models in other ways; each is opened only if it is tried.
        varied: Which of the two that is.
        traits: What inputs of the corpus have in common.
        tolerance: The largest |difference| that counts as none.
    """
    found = []
    variants = list(variants)
    for modality in dict.fromkeys(pair.inputs.modality for pair in pairs):
        bad = [pair for pair in pairs if pair.inputs.modality == modality]
        agreements = [agreement_of(pair) for pair in bad]
        if all(agreement.max_difference <= tolerance for agreement in agreements):
            continue
        mine = [variant for variant in variants if variant.modality == modality]
        sentence = _known(bad[0]) or _out_of_order(bad) or _tried(bad, mine, varied, tolerance)
        likely = sentence or _pattern(bad, agreements, traits, tolerance)
        found.append(Cause(modality=modality, sentence=likely, found=bool(sentence)))
    return tuple(found)


def _known(pair: Pair) -> str:
    """What their towers say themselves, if both are one model."""
    a, b = pair.ours.tower, pair.theirs.tower
    if a.space.key != b.space.key:
        return ""
    if (a.precision, a.runtime) != (b.precision, b.runtime):
        return f"Both are one model, {_way(a)} and {_way(b)}: the precision is the cause."
    parts = sorted({_SPOKEN.get(name, name) for name, _ in {*a.recipe} ^ {*b.recipe}})
    return f"Both are one model with another {' and '.join(parts)}: that is the cause." if parts else ""


def _way(tower: Tower) -> str:
    return f"{tower.precision} on {tower.runtime}"


def _out_of_order(pairs: Sequence[Pair]) -> str:
    """That vectors are those of other inputs, if many are."""
    share = np.mean(np.concatenate([_is_of_another(pair) for pair in pairs]))
    return (
        "The vectors are those of other inputs: one of the two has them in another order." if share >= SHUFFLED else ""
    )


def _is_of_another(pair: Pair) -> NDArray[np.bool_]:
    """(n,): which vectors of the second model agree with one of the first of another input, and not with their own."""
    _, rows_a, rows_b = np.intersect1d(
        pair.ours.positions, pair.theirs.positions, assume_unique=True, return_indices=True
    )
    is_near = pair.theirs.values[rows_b] @ pair.ours.values[rows_a].T >= REQUIRED_COSINE
    of_another: NDArray[np.bool_] = is_near.any(axis=1) & ~is_near.diagonal()
    return of_another


def _tried(pairs: Sequence[Pair], variants: Sequence[Variant], varied: Side, tolerance: float) -> str:
    """The change of one model that makes the two agree, or nearly; empty if none does."""
    trials = [_trial(pair) for pair in pairs]
    before = max(_difference(trial.ours, trial.theirs) for trial in trials)
    best, change = before, ""
    for variant in variants:
        with variant.open() as vectorizer:
            after = max(_difference(_again(vectorizer, trial), _fixed(trial, varied)) for trial in trials)
        if after < best:
            best, change = after, variant.change
        if best <= EXACT:
            break
    names = [vectors.tower.space.name for vectors in (pairs[0].ours, pairs[0].theirs)]
    changed, other = names if varied == "ours" else reversed(names)
    if best <= tolerance:
        agrees = f"agrees with {other} {f'to {best:.0e}' if best else 'exactly'}"
        return f"With {change}, {changed} {agrees} (without, to {before:.0e}): that is the cause."
    if best <= before * SHARE:
        differs = f"differs from {other} by {best:.0e} instead of {before:.0e}"
        return f"With {change}, {changed} {differs}: that is most of the cause."
    return ""


def _trial(pair: Pair) -> Pair:
    """Some of the inputs that both have embedded: the worst, and every so-manieth of the others."""
    both, rows_a, rows_b = np.intersect1d(
        pair.ours.positions, pair.theirs.positions, assume_unique=True, return_indices=True
    )
    differences = np.abs(pair.ours.values[rows_a] - pair.theirs.values[rows_b]).max(axis=1, initial=0)
    order = np.argsort(-differences, kind="stable")
    rest = order[N_TRIED // 2 :]
    chosen = [*order[: N_TRIED // 2], *rest[:: max(1, len(rest) // (N_TRIED // 2))]]
    return Pair(
        inputs=pair.inputs.at([int(both[row]) for row in chosen]),
        ours=_at(pair.ours, rows_a[chosen]),
        theirs=_at(pair.theirs, rows_b[chosen]),
    )


def _at(vectors: Vectors, rows: NDArray[np.integer]) -> Vectors:
    values, n_tokens = vectors.values[rows], vectors.n_tokens[rows]
    return replace(vectors, values=values, n_tokens=n_tokens, positions=np.arange(len(rows)), failures=())


def _fixed(trial: Pair, varied: Side) -> Vectors:
    return trial.theirs if varied == "ours" else trial.ours


def _again(vectorizer: Vectorizer, trial: Pair) -> Vectors:
    return joined(vectorizer.embed(trial.inputs), vectorizer.tower)


def _difference(a: Vectors, b: Vectors) -> float:
    """The largest |a - b|; infinite if one has a row that the other has not."""
    if not np.array_equal(a.positions, b.positions):
        return float("inf")
    return float(np.abs(a.values - b.values).max(initial=0))


def _pattern(pairs: Sequence[Pair], agreements: Sequence[Agreement], traits: Sequence[Trait], tolerance: float) -> str:
    """What the inputs that differ say, and those that do not."""
    if min(agreement.cosine_p50 for agreement in agreements) < UNRELATED:
        return "Likely the two are different models: most vectors have little in common."
    differing = {name for pair in pairs for name in _differing(pair, tolerance)}
    for trait in sorted(traits, key=lambda trait: len(trait.names)):
        if differing <= trait.names:
            return f"Likely {trait.cause}."
    if min(agreement.cosine_min for agreement in agreements) >= NEAR:
        return "Likely the precision: everything differs, and nothing by much."
    return "Nothing that was tried explains it: likely other weights, or several causes at once."


def _differing(pair: Pair, tolerance: float) -> list[str]:
    both, rows_a, rows_b = np.intersect1d(
        pair.ours.positions, pair.theirs.positions, assume_unique=True, return_indices=True
    )
    differences = np.abs(pair.ours.values[rows_a] - pair.theirs.values[rows_b]).max(axis=1, initial=0)
    return [pair.inputs.names[int(position)] for position in both[differences > tolerance]]
