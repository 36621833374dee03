"""The canary of the workers: what one must answer, as the first that ever ran its tower did, before it is believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lookalike.canary import References, keep, load
from lookalike.spaces import REQUIRED_COSINE, Tower
from lookalike.types import Rows

LEAST_COSINE = 0.9999
"""Less, between processes of one service, is another model or broken hardware: the order of additions alone leaves more
than 0.999999. What an earlier version of lookalike kept may be as far off as another recipe of the same space."""


class Canary:
    """The vectors that a tower is known to give: what its first worker here answered, if that was what it ever gave.

    Args:
        folder: Where the answers of the first process that ever ran a tower are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._expected: dict[str, Rows] = {}
        self._references = References(folder)

    def fault(self, tower: Tower, rows: Rows) -> str:
        """What is wrong with a worker's answer to the canary; empty if nothing is.

        Args:
            tower: The recipe that the worker says it has.
            rows: (m, dim) float32: its vectors for the inputs of the tower's m modalities, in their order.
        """
        if rows.shape != (len(tower.modalities), tower.space.dim) or not np.isfinite(rows).all():
            return "The model's answer to the canary is not made of finite vectors."
        expected = self._expected.get(tower.fingerprint)
        if expected is not None:
            return _difference(rows, expected, LEAST_COSINE)
        kept = load(self._path(tower), rows.shape)
        fault = "" if kept is None else _difference(rows, kept, REQUIRED_COSINE)
        if fault:
            return f"{fault} If the model was changed on purpose, delete {self._path(tower)}."
        self._expected[tower.fingerprint] = rows.copy()
        if kept is None:
            keep(self._path(tower), rows)
        if not tower.approximation:  # whoever stands in for the workers is compared with them
            for modality, row in zip(tower.modalities, rows, strict=True):
                self._references.define(tower.space, modality, row)
        return ""

    def _path(self, tower: Tower) -> Path:
        return self._folder / f"{tower.fingerprint}.npy"


def _difference(rows: Rows, expected: Rows, least: float) -> str:
    cosine = float(np.einsum("ij,ij->i", rows, expected).min())
    if cosine >= least:
        return ""
    return f"The model answers the canary differently than before (cosine {cosine:.5f}, needed {least})."
