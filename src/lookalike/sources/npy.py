"""NumPy's files (.npy), mapped and not loaded."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from lookalike.errors import InputError

_DAMAGE = (ValueError, EOFError, OverflowError, TypeError, TokenError)
"""What NumPy raises about a header that it cannot read, and about a file that ends too early."""


def map_array(path: Path) -> NDArray[Any]:
    """The array in a file.

    Raises:
        InputError: There is none, it is damaged, or it is one of objects.
    """
    try:
        # Unlike `np.load` this knows neither archives nor pickles, which run what is in them.
        return open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise InputError("there is no such file.", item=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}.", item=str(path)) from error
    except _DAMAGE as error:
        raise InputError(
            "is no array that NumPy wrote without pickle (.npy), or is cut off.", item=str(path)
        ) from error


def map_vectors(path: Path) -> NDArray[np.floating]:
    """(n, dim) float: the vectors in a file.

    Raises:
        InputError: As of `map_array`, or it is an array of something else.
    """
    values = map_array(path)
    if values.ndim != 2 or values.dtype.kind != "f" or not values.shape[1]:
        raise InputError(
            f"is not an array of (rows, numbers) of a float type; it is {values.dtype} of shape {values.shape}.",
            item=str(path),
        )
    return values
