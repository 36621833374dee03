"""The one space that a client gets its vectors in."""

from __future__ import annotations

import threading

from lookalike.errors import ProviderError, SpaceMismatch


class OneSpace:
    """The one space that every answer must be of: the caller's, or else that of the first answer."""

    def __init__(self, expected: str | None, host: str) -> None:
        self._expected = expected
        self._dim: int | None = None
        self._host = host
        self._lock = threading.Lock()

    def require(self, actual: str, *, dim: int | None = None) -> None:
        """Raise SpaceMismatch unless an answer is of that space, ProviderError unless its vectors are of one length."""
        with self._lock:
            expected = self._expected = self._expected or actual
            known_dim = self._dim = self._dim or dim
        # The name before the "@" is for people: the same weights under another name are the same space.
        if expected.rsplit("@", 1)[-1] != actual.rsplit("@", 1)[-1]:
            raise SpaceMismatch(
                f"{self._host} answers with vectors of {actual}, and those so far are of {expected}: the two cannot be "
                "compared. Has its model been changed? Then embed everything again, with a new client.",
                expected=expected,
                actual=actual,
            )
        if dim not in (None, known_dim):
            raise ProviderError(
                f"{self._host} answers with vectors of {dim} numbers, and those so far had {known_dim}, all said to be "
                f"of {actual}.",
                provider=self._host,
            )
