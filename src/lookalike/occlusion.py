"""Where in a picture its likeness to a query lies, by covering it piece by piece.

A grid is laid over the picture; around each of its cells a window of three by three is painted over with the mean
colour of the picture, and what the similarity to the query loses is the window's. A cell has the mean of the windows
that cover it.
(Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901, section 4.2.)

It needs nothing of the model but its vectors, so it works with every one, hosted ones too. The alternative, the states
of a vision tower's patches, is not there to be had: the graph computes only the class token in its last block; and of
CLIP such maps tend to show the background (Li et al., "CLIP Surgery", arXiv:2304.05653).

The built-in model points to the right quarter of a mosaic of four pictures in about half of the cases, where chance is
one in four: a hint, and no measurement. What the model does not see, such as the edges that it crops, has no loss.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.types import Rows

SHORT_CELLS = 7
"""Cells of the shorter side; the other has as many as make them nearly square, up to MAX_CELLS."""

MAX_CELLS = 12
REACH = 1
"""Cells around its own that a window covers: single ones are too small to matter to a model."""

SHORT_PX = 256
"""The shorter side of the pictures that are made: more than most models look at."""

JPEG_QUALITY = 92


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    """The rows and columns of cells for a picture of this width and height."""
    width, height = size
    short = min(size)
    cells = [min(MAX_CELLS, round(SHORT_CELLS * side / short)) for side in (height, width)]
    return cells[0], cells[1]


def covered(image: Image.Image) -> list[bytes]:
    """The pictures to embed: the picture itself, then each window painted over, row by row. JPEG files.

    Args:
        image: RGB, upright.
    """
    scale = SHORT_PX / min(image.size)
    rows, columns = grid_of(image.size)
    small = image.resize([max(1, round(side * scale)) for side in image.size]) if scale < 1 else image
    colour = tuple(int(value) for value in np.asarray(small).reshape(-1, 3).mean(axis=0))
    return [_jpeg(small), *(_without(small, colour, box) for box in _windows(small.size, rows, columns))]


def losses(vectors: Rows, query: Rows, *, rows: int, columns: int) -> NDArray[np.float64]:
    """What the similarity to a query loses where each cell is covered.

    Args:
        vectors: (1 + rows * columns, dim) unit vectors of what `covered` made.
        query: (dim,) of unit length.
        rows: Of the grid.
        columns: Of the grid.

    Returns:
        (rows, columns), above 0 where the picture is like the query.
    """
    similarities = vectors.astype(np.float64) @ query
    by_window = (similarities[0] - similarities[1:]).reshape(rows, columns)
    padded = np.pad(by_window, REACH, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1, 2 * REACH + 1))
    mean: NDArray[np.float64] = np.nanmean(around, axis=(2, 3))
    return mean


def _windows(size: tuple[int, int], rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    width, height = size
    xs = [round(n * width / columns) for n in range(columns + 1)]
    ys = [round(n * height / rows) for n in range(rows + 1)]
    return [
        (xs[max(0, x - REACH)], ys[max(0, y - REACH)], xs[min(columns, x + REACH + 1)], ys[min(rows, y + REACH + 1)])
        for y in range(rows)
        for x in range(columns)
    ]


def _without(image: Image.Image, colour: tuple[int, ...], box: tuple[int, int, int, int]) -> bytes:
    copy = image.copy()
    copy.paste(colour, box)
    return _jpeg(copy)


def _jpeg(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
