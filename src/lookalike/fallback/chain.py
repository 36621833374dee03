"""An ordered chain of what embeds into one space: where the first cannot answer, the next one does."""

from __future__ import annotations

import logging
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace

from lookalike.calls import Inputs, moved
from lookalike.errors import (
    ConfigError,
    LookalikeError,
    ModelError,
    ProviderError,
    Refused,
    ServiceError,
    SpaceMismatch,
    Unavailable,
    UnsupportedModel,
)
from lookalike.fallback.member import OPEN_S, SOON_S, Candidate, Member
from lookalike.health import MemberStatus
from lookalike.policy import ImagePolicy
from lookalike.ports import Recorder, Vectorizer
from lookalike.spaces import Modality, Space, Tower
from lookalike.types import Vectors

REST_S = 30.0
"""How long a member that failed is left alone: long enough to cost few calls a wait, short enough to be back soon."""

NEVER_S = float("inf")
Adopt = Callable[[Vectorizer, Space], Vectorizer]

_log = logging.getLogger("lookalike.fallback")


def across(vectorizer: Vectorizer, space: Space) -> Vectorizer:
    """An `Adopt` that adopts nobody. Raises SpaceMismatch, always."""
    theirs = vectorizer.tower.space
    raise SpaceMismatch("There is no proof of parity.", expected=space.id, actual=theirs.id)


class Chain:
    """ports.Vectorizer that asks its members in order; see `embed`. Safe to use from several threads at once.

    A member that cannot be opened now rests as one that failed does; its space is looked at when it is there.

    Args:
        members: All of one space. The first is asked as long as it answers.
        space: That space; the one of the first member that says whose it is, if left out.
        adopt: Puts a member into a space that is not its own by a proof of parity, or raises SpaceMismatch.
        recorder: Is told "failover", "failback" and "mismatch"; see ports.Recorder.
        rest_s: How long one that failed is left alone, in seconds. Then a single call tries it again.
        clock: Seconds, on time.monotonic().

    Raises:
        ConfigError: There are no members, or a setting of one is missing or wrong.
        SpaceMismatch: They are not all of one space, or one of them only comes near it.
        ModelError: One of them cannot be used.
        ProviderError: One of them will never answer.
    """

    def __init__(
        self,
        members: Sequence[Vectorizer | Candidate],
        *,
        space: Space | None = None,
        adopt: Adopt = across,
        recorder: Recorder | None = None,
        rest_s: float = REST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not members:
            raise ConfigError("A chain needs at least one member.")
        self._space = space
        self._adopt = adopt
        self._recorder = recorder
        self._rest_s = rest_s
        self._clock = clock
        self._lock = threading.RLock()
        self._lead: Vectorizer | None = None
        candidates = [one if isinstance(one, Candidate) else Candidate.of(one) for one in members]
        self._members = [Member(candidate, now_s=clock()) for candidate in candidates]
        self._open_all()

    @property
    def tower(self) -> Tower:
        """The recipe of the first member that could be opened; parts of an answer name that of whoever made them.

        Raises:
            ProviderError: None could be opened yet.
        """
        if self._lead is None:
            raise _all_failed({member: member.error for member in self._members if member.error is not None})
        return self._lead.tower

    @property
    def space(self) -> Space:
        """The space of all members, by the name that it was given. Errors as of `tower`."""
        return self._space or self.tower.space

    @property
    def policy(self) -> ImagePolicy:
        """What that member's image door lets through."""
        return ImagePolicy() if self._lead is None else self._lead.policy

    def status(self) -> tuple[MemberStatus, ...]:
        """How each member is, in the order in which they are asked; cheap."""
        with self._lock:
            now_s = self._clock()
            return tuple(member.status(now_s) for member in self._members)

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        """Vectors in parts; what a member fails to answer goes to the next, and a warning says so.

        Each member has an equal share of the time that is left, in which it is opened if it has to be; so one that
        hangs leaves some to the others. Inputs that cannot be used and a budget that is used up are answers: no other
        member is asked. One whose vectors turn out to be of another space is never asked again.

        Raises:
            UnsupportedModel: The space has no such modality.
            Unavailable: No member could answer, and one of them may be able to later.
            Refused: No member could answer, nor will.
            DeadlineExceeded: The time was up.
        """
        for _, part in self.answers(inputs, until=until):
            yield part

    def answers(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[tuple[str, Vectors]]:
        """As `embed`, each part with the name of the member that made it."""
        if self._lead is not None and inputs.modality not in self._lead.tower.space.modalities:
            raise _unsupported(self._lead.tower, inputs.modality)
        missing = _Missing(inputs)
        order, failed = self._order()
        for place, member in enumerate(order):
            now_s = self._clock()
            share_until = now_s + (until - now_s) / (len(order) - place)
            warnings = self._warnings(failed, member)
            try:
                vectorizer = self._opened(member, share_until)
                if inputs.modality not in vectorizer.tower.modalities:  # proven for other inputs only
                    failed[member] = _unsupported(vectorizer.tower, inputs.modality)
                    continue
                for part in missing.embedded_by(vectorizer, share_until):
                    yield member.name, replace(part, warnings=(*warnings, *part.warnings))
            except (ProviderError, ModelError, ServiceError, SpaceMismatch, ConfigError) as error:
                if self._clock() >= until:
                    raise  # nobody could do it in no time: that says nothing about the member
                self._failed(member, error)
                failed[member] = error
            else:
                self._recovered(member)
                return
        raise _all_failed(failed)

    def _open_all(self) -> None:
        """Open whom it takes long to open side by side; who cannot be opened now, but may be later, rests."""
        openings = {member: member.begin() for member in self._members}
        slow, until = set(openings.values()), time.monotonic() + OPEN_S
        while slow and not any(one.done() and one.exception() is None for one in openings.values()):
            done, slow = wait(slow, max(0.0, until - time.monotonic()), FIRST_COMPLETED)
            if not done:
                break
        wait(slow, SOON_S)
        for member, opening in openings.items():
            try:
                self._admit(member, opening, 0.0)
            except LookalikeError as error:
                if not error.retryable:
                    raise
                self._failed(member, error)

    def _opened(self, member: Member, until: float) -> Vectorizer:
        if member.vectorizer is not None:
            return member.vectorizer
        return self._admit(member, member.begin(), min(SOON_S, max(0.0, until - self._clock())))

    def _admit(self, member: Member, opening: Future[Vectorizer], timeout_s: float) -> Vectorizer:
        """It, once it is open and of the chain's space."""
        vectorizer = member.opened(opening, timeout_s)
        with self._lock:
            if member.vectorizer is None:
                tower = vectorizer.tower
                tower.require_parity()
                self._space = self._space or tower.space
                if tower.space.key != self._space.key:
                    vectorizer = self._adopted(vectorizer, self._space)
                member.vectorizer = member.candidate.surround(vectorizer)
                self._lead = self._lead or member.vectorizer
            return member.vectorizer

    def _adopted(self, vectorizer: Vectorizer, space: Space) -> Vectorizer:
        try:
            return self._adopt(vectorizer, space)
        except SpaceMismatch as error:
            theirs = vectorizer.tower.space
            command = f"lookalike parity {shlex.quote(space.model)} {shlex.quote(theirs.model)}"
            proof = f" If they are one model in two places, `{command}` proves it." if theirs.dim == space.dim else ""
            raise SpaceMismatch(
                f"{theirs.model} cannot stand in for {space.model}: its vectors are of another space ({theirs.id}, not "
                f"{space.id}), and a search among both would find nonsense. Three ways are right: another place that "
                f"serves the same weights; a bridge, which lets another model's words search {space.model}'s pictures; "
                f"or an index of its own, for which everything is embedded again.{proof}",
                expected=space.id,
                actual=theirs.id,
            ) from error

    def _order(self) -> tuple[list[Member], dict[Member, LookalikeError]]:
        """Whom to ask, those that rest last; and what these, and those that are out, failed with."""
        with self._lock:
            now_s = self._clock()
            awake = [member for member in self._members if member.error is None or now_s >= member.again_s]
            others = [member for member in self._members if member not in awake]
            for member in awake:
                if member.error is not None:
                    member.again_s = now_s + self._rest_s  # this call tries it, and no other does meanwhile
            order = [*awake, *(member for member in others if member.state == "resting")]
            return order, {member: member.error for member in others if member.error is not None}

    def _warnings(self, failed: Mapping[Member, LookalikeError], member: Member) -> tuple[str, ...]:
        """What this member's answer says of those before it, which should have given it."""
        before = self._members[: self._members.index(member)]
        return tuple(
            f"{other.name} could not answer, and {member.name} did in its place: {failed[other]}"
            for other in before
            if other in failed
        )

    def _failed(self, member: Member, error: LookalikeError) -> None:
        """Lay it to rest, or for good where it would mix spaces."""
        is_over = isinstance(error, SpaceMismatch | ConfigError)
        with self._lock:
            now_s = self._clock()
            was_ok = member.state == "ok"
            is_new = member.become(error, now_s=now_s, again_s=NEVER_S if is_over else now_s + self._rest_s)
        if is_new and is_over:
            _log.error("%s is taken out of the chain: %s", member.name, error)
            self._count("mismatch")
        if is_new and was_ok:
            _log.info("%s could not answer: %s", member.name, error)
            self._count("failover")

    def _recovered(self, member: Member) -> None:
        with self._lock:
            is_new = member.become(None, now_s=self._clock())
        if is_new:
            _log.info("%s answers again.", member.name)
            self._count("failback")

    def _count(self, event: str) -> None:
        if self._recorder is not None:
            self._recorder.count(event)


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


def _unsupported(tower: Tower, modality: Modality) -> UnsupportedModel:
    name = tower.space.model
    return UnsupportedModel(f"The model {name} embeds no {modality}s.", model=name)


def _all_failed(failed: Mapping[Member, LookalikeError]) -> ProviderError:
    reasons = " ".join(f"{member.name}: {error}" for member, error in failed.items())
    kind = Unavailable if any(error.retryable for error in failed.values()) else Refused
    return kind(f"No member of the chain could answer. {reasons}", provider=", ".join(member.name for member in failed))
