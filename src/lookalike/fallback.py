"""An ordered chain of what embeds into one space: where the first cannot answer, the next one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lookalike.calls import Inputs, moved
from lookalike.errors import (
    ConfigError,
    DeadlineExceeded,
    LookalikeError,
    ModelError,
    NotReady,
    ProviderError,
    Refused,
    SpaceMismatch,
    Unavailable,
    UnsupportedModel,
)
from lookalike.policy import ImagePolicy
from lookalike.ports import Vectorizer
from lookalike.spaces import Tower
from lookalike.types import Vectors

REST_S = 30.0
"""How long a member that failed is left alone: long enough to cost few calls a wait, short enough to be back soon."""


class Chain:
    """ports.Vectorizer that asks its members in order; see `embed`. Safe to use from several threads at once.

    Args:
        members: All of one space. The first is asked as long as it answers.
        rest_s: How long one that failed is left alone, in seconds. Then a single call tries it again.
        clock: Seconds, on time.monotonic().

    Raises:
        ConfigError: There are no members.
        SpaceMismatch: They are not all of one space, or one of them only comes near it.
    """

    def __init__(
        self, members: Sequence[Vectorizer], *, rest_s: float = REST_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        _require_one_space(members)
        self._members = [_Member(member) for member in members]
        self._rest_s = rest_s
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def tower(self) -> Tower:
        """The first member's recipe; each part of an answer names that of whoever made it."""
        return self._members[0].vectorizer.tower

    @property
    def policy(self) -> ImagePolicy:
        """What the first member's image door lets through."""
        return self._members[0].vectorizer.policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        """Vectors in parts; what a member fails to answer goes to the next, and a warning says so.

        Each member has an equal share of the time that is left, so one that hangs leaves some to the others. Inputs
        that cannot be used and a budget that is used up are answers: no other member is asked.

        Raises:
            Unavailable: No member could answer, and one of them may be able to later.
            Refused: No member could answer, nor will.
            DeadlineExceeded: The time was up.
        """
        if inputs.modality not in self.tower.modalities:
            name = self.tower.space.model
            raise UnsupportedModel(f"The model {name} embeds no {inputs.modality}s.", model=name)
        missing = _Missing(inputs)
        order, failed = self._order()
        for place, member in enumerate(order):
            now_s = self._clock()
            share_until = now_s + (until - now_s) / (len(order) - place)
            warnings = self._warnings(failed, member)
            try:
                for part in missing.embedded_by(member.vectorizer, share_until):
                    yield replace(part, warnings=(*warnings, *part.warnings))
            except (ProviderError, ModelError, NotReady, DeadlineExceeded) as error:
                if self._clock() >= until:
                    raise  # nobody could do it in no time: that says nothing about the member
                self._rest(member, error)
                failed[member] = error
            else:
                self._recovered(member)
                return
        raise _all_failed(failed)

    def _order(self) -> tuple[list[_Member], dict[_Member, LookalikeError]]:
        """Whom to ask, those that rest last; and what these failed with."""
        with self._lock:
            now_s = self._clock()
            awake = [member for member in self._members if member.error is None or now_s >= member.again_s]
            resting = [member for member in self._members if member not in awake]
            for member in awake:
                if member.error is not None:
                    member.again_s = now_s + self._rest_s  # this call tries it, and no other does meanwhile
            return [*awake, *resting], {member: member.error for member in resting if member.error is not None}

    def _warnings(self, failed: Mapping[_Member, LookalikeError], member: _Member) -> tuple[str, ...]:
        """What this member's answer says of those before it, which should have given it."""
        before = self._members[: self._members.index(member)]
        return tuple(
            f"{other.name} could not answer, and {member.name} did in its place: {failed[other]}"
            for other in before
            if other in failed
        )

    def _rest(self, member: _Member, error: LookalikeError) -> None:
        with self._lock:
            member.error = error
            member.again_s = self._clock() + self._rest_s

    def _recovered(self, member: _Member) -> None:
        with self._lock:
            member.error = None


@dataclass(eq=False)
class _Member:
    """One of the chain, and how it is.

    Attributes:
        error: What it failed with last; None if it answered since.
        again_s: When it is tried again after that.
    """

    vectorizer: Vectorizer
    error: LookalikeError | None = None
    again_s: float = 0.0

    @property
    def name(self) -> str:
        tower = self.vectorizer.tower
        return f"{tower.space.model} on {tower.runtime}"


class _Missing:
    """Inputs that no member has answered yet."""

    def __init__(self, inputs: Inputs) -> None:
        # Payloads may be readable once only, and a second member may need them.
        self._inputs = inputs.at(range(len(inputs)))
        self._answered: set[int] = set()

    def embedded_by(self, vectorizer: Vectorizer, until: float) -> Iterator[Vectors]:
        """What a member makes of them, by their places in the caller's sequence."""
        positions = [position for position in range(len(self._inputs)) if position not in self._answered]
        for part in vectorizer.embed(self._inputs.at(positions), until=until):
            found = moved(part, positions)
            self._answered.update(found.positions.tolist())
            self._answered.update(failure.position for failure in found.failures)
            yield found


def _require_one_space(members: Sequence[Vectorizer]) -> None:
    if not members:
        raise ConfigError("A chain needs at least one member.")
    first = members[0].tower.space
    for member in members:
        member.tower.require_parity()
        space = member.tower.space
        if space.key != first.key:
            raise SpaceMismatch(
                f"{space.model} cannot stand in for {first.model}: its vectors are of another space ({space.id}, not "
                f"{first.id}), and a search among both would find nonsense. Three ways are right: another place that "
                f"serves the same weights; a bridge, which lets another model's words search {first.model}'s pictures; "
                "or an index of its own, for which everything is embedded again.",
                expected=first.id,
                actual=space.id,
            )


def _all_failed(failed: Mapping[_Member, LookalikeError]) -> ProviderError:
    reasons = " ".join(f"{member.name}: {error}" for member, error in failed.items())
    kind = Unavailable if any(error.retryable for error in failed.values()) else Refused
    return kind(f"No member of the chain could answer. {reasons}", provider=", ".join(member.name for member in failed))
