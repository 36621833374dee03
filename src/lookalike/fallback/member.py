"""One of a chain: opened when it can be, and how it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from lookalike.errors import LookalikeError, Unavailable
from lookalike.health import MemberState, MemberStatus
from lookalike.ports import Vectorizer

OPEN_S = 10.0
"""How long a chain waits, when it is made, for the first of its members to say who it is; some may be down."""

SOON_S = 2.0
"""How long it waits for one where another can answer. Its opening goes on in a thread, and is done for the next try."""


def _as_it_is(vectorizer: Vectorizer) -> Vectorizer:
    return vectorizer


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Who may become a member of a chain.

    Attributes:
        name: What it is called in warnings and figures.
        open: Opens it, which may ask it who it is; called again if it failed.
        surround: Puts around it what shall stand between it and the chain: the canary, its cache.
        waits: Whether opening it may wait for the network, and is done in a thread.
    """

    name: str
    open: Callable[[], Vectorizer]
    surround: Callable[[Vectorizer], Vectorizer] = _as_it_is
    waits: bool = True

    @classmethod
    def of(cls, vectorizer: Vectorizer) -> Candidate:
        """One that is open already."""
        tower = vectorizer.tower
        return cls(name=f"{tower.space.model} on {tower.runtime}", open=lambda: vectorizer, waits=False)


class Member:
    """A candidate in its chain, which holds a lock for what changes here, but for the opening.

    Attributes:
        name: As of the candidate.
        vectorizer: It, opened and surrounded; None until it is.
        error: What it failed with last; None if it answered since, or was never asked.
        again_s: When it is tried again after that; never if that is infinite.
    """

    def __init__(self, candidate: Candidate, *, now_s: float) -> None:
        self.name = candidate.name
        self.candidate = candidate
        self.vectorizer: Vectorizer | None = None
        self.error: LookalikeError | None = None
        self.again_s = 0.0
        self._since_s = now_s
        self._lock = threading.Lock()
        self._opening: Future[Vectorizer] | None = None

    @property
    def state(self) -> MemberState:
        """How it is."""
        if self.error is None:
            return "ok"
        return "out" if self.again_s == float("inf") else "resting"

    def status(self, now_s: float) -> MemberStatus:
        """How it is, for people."""
        error = "" if self.error is None else str(self.error)
        return MemberStatus(name=self.name, state=self.state, error=error, age_s=max(0.0, now_s - self._since_s))

    def become(self, error: LookalikeError | None, *, now_s: float, again_s: float = 0.0) -> bool:
        """Take in how a call ended; whether that is another state than before."""
        before = self.state
        self.error, self.again_s = error, again_s
        if self.state == before:
            return False
        self._since_s = now_s
        return True

    def begin(self) -> Future[Vectorizer]:
        """Begin to open it, or go on; of several threads one opens."""
        with self._lock:
            if self._opening is not None and not (self._opening.done() and self._opening.exception()):
                return self._opening
            opening = self._opening = Future()
        if self.candidate.waits:
            threading.Thread(target=self._open, args=(opening,), name=f"open {self.name}", daemon=True).start()
        else:
            self._open(opening)
        return opening

    def opened(self, opening: Future[Vectorizer], timeout_s: float) -> Vectorizer:
        """It, not yet surrounded.

        Raises:
            Unavailable: It is not open yet; the thread goes on.
            LookalikeError: It cannot be opened.
        """
        try:
            return opening.result(timeout_s)
        except TimeoutError as error:
            raise Unavailable(f"{self.name} has not yet said who it is.", provider=self.name) from error

    def _open(self, opening: Future[Vectorizer]) -> None:
        try:
            vectorizer = self.candidate.open()
            _ = vectorizer.tower  # which may ask over the network as well
            opening.set_result(vectorizer)
        except LookalikeError as error:
            opening.set_exception(error)
        except BaseException as error:  # a bug: whoever waits must not wait for ever
            opening.set_exception(error)
            raise
