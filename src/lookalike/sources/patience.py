"""When a service that fails is given up: one object is that object's matter, many in a row are the run's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lookalike.errors import ImageError, ProviderError

MAX_IN_A_ROW = 8
"""Each has been tried several times by then, and waited for; a service that is back in a minute is worth a new run."""


class Patience:
    """Counts failures in a row, from any number of threads."""

    def __init__(self, max_in_a_row: int = MAX_IN_A_ROW) -> None:
        self._max_in_a_row = max_in_a_row
        self._n = 0
        self._lock = threading.Lock()

    @contextmanager
    def reading(self, uri: str) -> Iterator[None]:
        """Make a failure of the service that of this one object.

        Raises:
            ImageError: It could not be read.
            ProviderError: Nor could those before it, with no other in between.
        """
        try:
            yield
        except ProviderError as error:
            with self._lock:
                self._n = self._n + 1 if error.retryable else 0
                is_over = self._n >= self._max_in_a_row
            if is_over:
                raise
            raise ImageError(str(error).removeprefix(f"{uri}: ").removeprefix(f"{uri} "), item=uri) from error
        else:
            with self._lock:
                self._n = 0
