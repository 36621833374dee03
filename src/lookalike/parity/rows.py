"""Vectors that were made elsewhere, compared with those that a model makes of the same inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lookalike.calls import Inputs, failure_of
from lookalike.errors import InputError, UnsupportedModel
from lookalike.parity.compare import TOLERANCE, ParityReport, compare
from lookalike.policy import ImagePolicy
from lookalike.ports import Vectorizer
from lookalike.spaces import Tower
from lookalike.types import Vectors


def compare_rows(
    a: Vectorizer, inputs: Inputs, rows: NDArray[np.floating], *, model: str = "rows", tolerance: float = TOLERANCE
) -> ParityReport:
    """Whether vectors that were made elsewhere are those that a model makes of the same inputs.

    Args:
        a: The model.
        inputs: n pictures or texts.
        rows: (n, dim) numbers, for each input in order, of any length and any floating type. A row that is not finite,
            or all zero, is left out.
        model: What to call whatever made the rows, for people.
        tolerance: The largest |difference| that passes.

    Raises:
        SpaceMismatch: The rows have another length than the model's vectors, or the model embeds no such inputs.
        InputError: There are more rows, or fewer, than inputs.
    """
    return compare(a, GivenRows(inputs, rows, model=model, like=a.tower), [inputs], tolerance=tolerance)


class GivenRows:
    """ports.Vectorizer that has the vectors of some inputs, made elsewhere, and embeds nothing else.

    Args:
        inputs: n pictures or texts.
        rows: (n, dim) numbers, for each input in order.
        model: What to call whatever made them.
        like: The tower of the model that they are compared with.

    Raises:
        InputError: There are more rows, or fewer, than inputs.
    """

    def __init__(self, inputs: Inputs, rows: NDArray[np.floating], *, model: str, like: Tower) -> None:
        if rows.ndim != 2 or len(rows) != len(inputs):
            raise InputError(
                f"holds an array of shape {rows.shape}, and there are {len(inputs)} {inputs.modality}s: it needs a row "
                "for each, in their order.",
                item=model,
            )
        self._inputs = inputs
        self._rows = rows
        space = replace(
            like.space, model=model, weights=f"rows:{model}", dim=rows.shape[1], modalities=(inputs.modality,)
        )
        self._tower = Tower(space=space, runtime="rows")

    @property
    def tower(self) -> Tower:
        """A space of their own: nobody knows what made them."""
        return self._tower

    @property
    def policy(self) -> ImagePolicy:
        """What the image door would let through; nothing is opened."""
        return ImagePolicy()

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:  # noqa: ARG002
        """The rows, one part. UnsupportedModel for other inputs than theirs."""
        if inputs is not self._inputs:
            raise UnsupportedModel(f"{self._tower.space.model} has rows for its own inputs alone.", model="rows")
        rows = self._rows.astype(np.float64)
        with np.errstate(over="ignore"):  # infinite, then, and left out
            lengths = np.linalg.norm(rows, axis=1)
        is_good = np.isfinite(lengths) & (lengths > 0)
        good = np.flatnonzero(is_good)
        bad: list[int] = np.flatnonzero(~is_good).tolist()
        error = InputError("its row is not finite, or all zero.")
        yield Vectors(
            (rows[good] / lengths[good, None]).astype(np.float32),
            self._tower,
            good.astype(np.int64),
            n_tokens=np.zeros(len(good), np.int64),
            failures=tuple(failure_of(place, inputs.names[place], error) for place in bad),
        )
