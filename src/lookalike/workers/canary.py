"""One picture and one text whose vectors are known: what a worker must answer before anything else is believed."""

from __future__ import annotations

import logging
import os
import struct
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from lookalike.spaces import REQUIRED_COSINE, Modality, Tower
from lookalike.types import Rows

LEAST_COSINE = 0.9999
"""Less, between processes of one service, is another model or broken hardware: the order of additions alone leaves more
than 0.999999. What an earlier version of lookalike kept may be as far off as another recipe of the same space."""

TEXT = "A red circle and 3 blue squares, on a white table."
LONG_TEXT = " ".join([TEXT] * 8)
"""What fills a model's context, or nearly."""

_EDGE = 64
_log = logging.getLogger("lookalike.workers")


def _bitmap() -> bytes:
    """A Windows bitmap, the simplest format to write: a disc on two gradients."""
    y, x = np.mgrid[:_EDGE, :_EDGE]
    disc = (x - 24) ** 2 + (y - 40) ** 2 < 300
    pixels = np.stack([4 * x, 255 - 4 * y, np.where(disc, 230, 2 * x)], axis=-1).astype(np.uint8)
    header = struct.pack("<IiiHHIIiiII", 40, _EDGE, _EDGE, 1, 24, 0, pixels.nbytes, 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + pixels.nbytes, 0, 0, 54) + header + pixels.tobytes()


PICTURE = _bitmap()

INPUTS: Mapping[Modality, bytes | str] = {"image": PICTURE, "text": TEXT}


class Canary:
    """The vectors that a tower is known to give: what its first worker here answered, if that was what it ever gave.

    Args:
        folder: Where the answers of the first process that ever ran a tower are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._expected: dict[str, Rows] = {}

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
        kept = self._load(tower, rows.shape)
        fault = _difference(rows, kept, REQUIRED_COSINE) if len(kept) else ""
        if fault:
            return f"{fault} If the model was changed on purpose, delete {self._path(tower)}."
        self._expected[tower.fingerprint] = rows.copy()
        if not len(kept):
            self._keep(tower, rows)
        return ""

    def _path(self, tower: Tower) -> Path:
        return self._folder / f"{tower.fingerprint}.npy"

    def _load(self, tower: Tower, shape: tuple[int, ...]) -> Rows:
        with suppress(OSError, ValueError, EOFError):
            rows: Rows = np.load(self._path(tower), allow_pickle=False)
            if rows.shape == shape and rows.dtype == np.float32 and np.isfinite(rows).all():
                return rows
        return np.empty((0, tower.space.dim), np.float32)

    def _keep(self, tower: Tower, rows: Rows) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=self._folder, suffix=".partial")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.save(file, rows)
                Path(partial).replace(self._path(tower))
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        except OSError as error:
            _log.warning("The canary's vectors cannot be kept in %s (%s).", self._folder, error.strerror or error)


def _difference(rows: Rows, expected: Rows, least: float) -> str:
    cosine = float(np.einsum("ij,ij->i", rows, expected).min())
    if cosine >= least:
        return ""
    return f"The model answers the canary differently than before (cosine {cosine:.5f}, needed {least})."
