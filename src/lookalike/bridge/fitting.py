"""From texts with two vectors each to a bridge whose agreement is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.bridge.agreement import FULL_HELD_OUT, measure
from lookalike.bridge.bridge import Bridge
from lookalike.bridge.choosing import choose
from lookalike.bridge.files import arrays_digest
from lookalike.bridge.mapping import fit_mapping
from lookalike.bridge.spelling import subject_of
from lookalike.errors import InputError, UnsupportedModel
from lookalike.spaces import Tower, digest_of
from lookalike.types import Rows, Vectors

LEAST_SUBJECTS = 400
"""Different things that the texts have to be about: with fewer neither the map nor its figures are worth anything."""

MOST_TEXTS = 10_000
"""Of more texts a sample is used: memory grows with the square (2 GB here), time with the cube (a minute)."""


def fit(texts: Sequence[str], source: Vectors, target: Vectors, *, images: Rows | None = None, seed: int = 0) -> Bridge:
    """Fit a bridge, and measure it on texts that it has not seen.

    A quarter of the subjects, at most 300, is held out with all of its texts: neither the method nor the map has seen
    them. What is measured is what is returned; the map is not fitted again with the held-out texts.

    Args:
        texts: Short captions, of the kind that is searched with; each once.
        source: Their vectors by the model that will read the words; texts that failed are left out.
        target: Their vectors by the text model of the pictures' space.
        images: (m, dim) unit rows of pictures in the target's space, to measure with what people see.
        seed: Of which texts are held out.

    Raises:
        InputError: The texts are too few, or about too few things; or as `require_ends`.
        SpaceMismatch, UnsupportedModel: As `require_ends`.
    """
    require_ends(source.tower, target.tower)
    chance = np.random.default_rng(seed)
    texts, rows, true = _usable(texts, source, target, chance)
    out, tests = _held_out(texts, chance)
    known = np.flatnonzero(~out)
    read = [texts[place] for place in known]
    method = choose(read, rows[known], true[known])
    mapping = fit_mapping(read, rows[known], true[known], method)
    found = mapping([texts[place] for place in tests], rows[tests])
    return Bridge(
        source=source.space,
        source_fingerprint=source.tower.fingerprint,
        target=target.space,
        texts_digest=digest_of(sorted(read)),
        method=method,
        agreement=measure(found, true[tests], mean=mapping.mean, images=images),
        arrays_digest=arrays_digest(mapping),
        mapping=mapping,
    )


def require_ends(source: Tower, target: Tower) -> None:
    """Nothing, if a bridge from one to the other makes sense.

    Raises:
        SpaceMismatch: One of them only comes near its space.
        UnsupportedModel: The target embeds no pictures: there is nothing to search.
        InputError: Both are of one space.
    """
    source.require_parity()
    target.require_parity()
    if "image" not in target.modalities:
        raise UnsupportedModel(
            f"{target.space.model} embeds no pictures: a bridge leads to the model of an index.",
            model=target.space.model,
        )
    if source.space.key == target.space.key:
        raise InputError(
            f"Both models are of one space, {target.space.id}: its words find its pictures without a bridge."
        )


def _usable(
    texts: Sequence[str], source: Vectors, target: Vectors, chance: np.random.Generator
) -> tuple[list[str], Rows, Rows]:
    """The texts that have both vectors, and these."""
    ours, theirs = ({int(p): row for row, p in enumerate(part.positions)} for part in (source, target))
    first = {texts[place]: place for place in reversed(range(len(texts))) if place in ours and place in theirs}
    places = sorted(first.values())
    if len(places) > MOST_TEXTS:
        places = sorted(chance.permutation(places)[:MOST_TEXTS].tolist())
    return (
        [texts[place] for place in places],
        source.values[[ours[place] for place in places]],
        target.values[[theirs[place] for place in places]],
    )


def _held_out(texts: Sequence[str], chance: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(n,) which texts are held out; and of each subject among them one text to measure with."""
    subjects = [subject_of(text) for text in texts]
    distinct = list(dict.fromkeys(subjects))
    if len(distinct) < LEAST_SUBJECTS:
        raise InputError(
            f"A bridge needs texts about {LEAST_SUBJECTS} different things or more, and these are about "
            f"{len(distinct)}: add captions of your own, or use the built-in ones."
        )
    held = {distinct[place] for place in chance.permutation(len(distinct))[: min(FULL_HELD_OUT, len(distinct) // 4)]}
    out = np.array([subject in held for subject in subjects])
    candidates = chance.permutation(np.flatnonzero(out))
    one_each = {subjects[place]: place for place in candidates.tolist()}
    return out, np.array(sorted(one_each.values()), np.int64)
