"""One picture and one text whose vectors are known: what a model must answer before anything else is believed of it."""

from __future__ import annotations

import logging
import os
import struct
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from lookalike.spaces import Modality, Space
from lookalike.types import Rows

TEXT = "A red circle and 3 blue squares, on a white table."
LONG_TEXT = " ".join([TEXT] * 8)
"""What fills a model's context, or nearly."""

_EDGE = 64
_log = logging.getLogger("lookalike.canary")


def _bitmap() -> bytes:
    """A Windows bitmap, the simplest format to write: a disc on two gradients."""
    y, x = np.mgrid[:_EDGE, :_EDGE]
    disc = (x - 24) ** 2 + (y - 40) ** 2 < 300
    pixels = np.stack([4 * x, 255 - 4 * y, np.where(disc, 230, 2 * x)], axis=-1).astype(np.uint8)
    header = struct.pack("<IiiHHIIiiII", 40, _EDGE, _EDGE, 1, 24, 0, pixels.nbytes, 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + pixels.nbytes, 0, 0, 54) + header + pixels.tobytes()


PICTURE = _bitmap()

INPUTS: Mapping[Modality, bytes | str] = {"image": PICTURE, "text": TEXT}


def load(path: Path, shape: tuple[int, ...]) -> Rows | None:
    """The rows that `keep` wrote there; None if there are none of this shape that can be used."""
    with suppress(OSError, ValueError, EOFError):
        rows: Rows = np.load(path, allow_pickle=False)
        if rows.shape == shape and rows.dtype == np.float32 and np.isfinite(rows).all():
            return rows
    return None


def keep(path: Path, rows: Rows) -> None:
    """Write rows, whole or not at all; where that cannot be done the log says so, and nothing else happens."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, rows)
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        _log.warning("The canary's vectors cannot be kept in %s (%s).", path.parent, error.strerror or error)


class References:
    """What the vectors of the canary are in each space, by whoever is the reference there; safe to use from threads.

    Args:
        folder: Where they are kept from one process to the next.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, Modality], Rows] = {}

    def row(self, space: Space, modality: Modality) -> Rows | None:
        """The (dim,) unit vector of that input in that space; None if nobody has said it yet."""
        if (space.key, modality) not in self._known:
            found = load(self.path(space, modality), (space.dim,))
            if found is None:
                return None
            self._known[space.key, modality] = found
        return self._known[space.key, modality]

    def define(self, space: Space, modality: Modality, row: Rows) -> None:
        """Say it, where nobody has yet."""
        if self.row(space, modality) is None:
            self._known[space.key, modality] = row.copy()
            keep(self.path(space, modality), row)

    def path(self, space: Space, modality: Modality) -> Path:
        """Its file; to be deleted where the model of a space was changed on purpose."""
        return self._folder / f"{space.key}-{modality}.npy"
