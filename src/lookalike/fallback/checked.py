"""A member that has to answer the canary before it is believed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np

from lookalike.calls import Inputs, joined
from lookalike.canary import INPUTS, References
from lookalike.errors import DeadlineExceeded, LookalikeError, ModelError, SpaceMismatch
from lookalike.policy import ImagePolicy
from lookalike.ports import Vectorizer
from lookalike.spaces import REQUIRED_COSINE, Modality, Tower
from lookalike.types import Rows, Vectors


class Checked:
    """ports.Vectorizer that embeds a known picture or text first, and again after every failure.

    Its vector must be that of the space, as the first member of the chain once gave it. As long as that has said
    nothing, another one is trusted: that its space is the same was said by itself, or is proven by parity.

    Args:
        inner: Who is checked. What stands behind it (not: a cache) has to answer itself.
        references: The vectors that are expected.
        name: What it is called in errors.
        defines: Whether it is the first member, whose answer is the reference where there is none yet.
    """

    def __init__(self, inner: Vectorizer, references: References, *, name: str, defines: bool) -> None:
        self._inner = inner
        self._references = references
        self._name = name
        self._defines = defines
        self._lock = threading.Lock()
        self._rows: dict[Modality, Rows] = {}

    @property
    def tower(self) -> Tower:
        """The recipe of the vectors."""
        return self._inner.tower

    @property
    def policy(self) -> ImagePolicy:
        """What the image door lets through."""
        return self._inner.policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        """As of who is checked; see ports.Vectorizer.

        Raises:
            SpaceMismatch: The canary's vector is another than expected.
        """
        modality = inputs.modality
        self._require(modality, until)
        try:
            yield from self._inner.embed(inputs, until=until)
        except LookalikeError:
            self._rows.pop(modality, None)  # who comes back may be another one
            raise

    def _require(self, modality: Modality, until: float) -> None:
        row = self._rows.get(modality)
        if row is None:
            row = self._asked_once(modality, until)
        space = self._inner.tower.space
        expected = self._references.row(space, modality)
        if expected is None:
            if self._defines:
                self._references.define(space, modality, row)
            return
        cosine = float(row @ expected)
        if not cosine >= REQUIRED_COSINE:
            raise SpaceMismatch(
                f"{self._name} gives the canary (a known {modality}) another vector than is usual in {space.id}: "
                f"cosine {cosine:.5f}, needed {REQUIRED_COSINE}. It is not asked any more. If the model was changed on "
                "purpose, everything has to be embedded again; then delete "
                f"{self._references.path(space, modality)}.",
                expected=space.id,
                actual=f"{space.id}~{self._name}",
            )

    def _asked_once(self, modality: Modality, until: float) -> Rows:
        """The canary's vector; of several threads one asks."""
        if not self._lock.acquire(timeout=min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)):
            raise DeadlineExceeded(f"{self._name} did not answer the canary in time.")
        try:
            row = self._rows.get(modality)
            if row is None:
                row = self._rows[modality] = self._asked(modality, until)
            return row
        finally:
            self._lock.release()

    def _asked(self, modality: Modality, until: float) -> Rows:
        canary = Inputs(modality=modality, payloads=[INPUTS[modality]], names=["the canary"])
        found = joined(self._inner.embed(canary, until=until), self._inner.tower)
        if len(found) != 1 or not np.isfinite(found.values).all():
            reason = found.failures[0].reason if found.failures else "there is no vector."
            raise ModelError(f"{self._name} does not embed the canary: {reason}", model=self._name)
        return np.ascontiguousarray(found.values[0], np.float32)
