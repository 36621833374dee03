"""Memory that is no longer used goes back to the system, where Python and the C library would keep it for later."""

from __future__ import annotations

import ctypes
import gc
from functools import cache
from typing import Any


def give_back() -> None:
    """Return every free page of the heap. For quiet moments: it takes milliseconds.

    An error that was caught holds the picture that it was about until the cycle of its traceback is collected; and
    after a few large pictures glibc holds on to several times what is in use (malloc_trim(3)).
    """
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
