"""What a client hands out: as `Vectors` and `Hits`, but of a space that is known by its id alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lookalike.embed import ImageInput
from lookalike.orders import JobState
from lookalike.spaces import Approximation
from lookalike.types import Failure, HitList, Rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RemoteVectors:
    """Vectors that a service made.

    Attributes:
        values: (n, dim) float32 with unit rows, in the order that was asked for; failed items are left out.
        space: The id of the space of every row; empty if nothing had to be asked.
        model: The name of the service's model.
        positions: (n,) int64: for each row, its place in the caller's sequence.
        warnings: Sentences about single items, such as a text that was cut.
        failures: One for each item that has no row, by position.
        approximation: What read the texts, if not the model that its space is named for; see `Approximation`.
    """

    values: Rows
    space: str
    model: str
    positions: NDArray[np.int64]
    warnings: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    approximation: Approximation | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.values)

    @classmethod
    def joined(cls, parts: Sequence[RemoteVectors], failures: Sequence[Failure]) -> RemoteVectors:
        """The parts of one job, and failures of items that were in none; of two answers to one item the later."""
        last = parts[-1] if parts else cls(values=_NO_ROWS, space="", model="", positions=np.empty(0, np.int64))
        positions = np.concatenate([part.positions for part in parts] or [last.positions])
        order = np.argsort(positions, kind="stable")
        every = (*failures, *(failure for part in parts for failure in part.failures))
        failed = {failure.position: failure for failure in every}
        return cls(
            values=np.concatenate([part.values for part in parts] or [last.values])[order],
            space=last.space,
            model=last.model,
            positions=positions[order],
            warnings=tuple(warning for part in parts for warning in part.warnings),
            failures=tuple(failed[place] for place in sorted(failed.keys() - set(positions.tolist()))),
            approximation=last.approximation,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHits(HitList):
    """The answer of a service, and the id of the space that was searched; see HitList."""

    space: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """A picture to hand in, by exactly one of `image` and `uri`, and what its item shall be.

    Attributes:
        image: Its bytes or path.
        uri: Where it is: an object of a bucket ("s3://bucket/key"), or a URL; as far as the service allows it.
        id: Its name, unique within the project; an item that is there already is replaced. Left out, that of its file,
            where it is, or of bytes their sha256.
        project: The collection that it shall belong to; the service's own, or the key's only one, if left out.
        caption: Free text.
        metadata: Further facts, to filter by.
    """

    image: ImageInput | None = field(default=None, repr=False)
    uri: str | None = None
    id: str | None = None
    project: str | None = None
    caption: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteJob:
    """What has become of a picture that was handed in.

    Attributes:
        number: Its name at the service; `Client.job` asks with it.
        id: The item that the picture becomes ...
        project: ... in this project.
        state: Where it stands: once it is "done", it is found.
        attempts: How often it has been begun.
        reason: Why the last attempt failed; empty if none has.
    """

    number: int
    id: str
    project: str
    state: JobState
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RemoteJobs:
    """What has become of pictures that were handed in together.

    Attributes:
        jobs: A job for each that was taken in, in the order that they were handed in.
        failures: One for each that was not, by position.
    """

    jobs: tuple[RemoteJob, ...]
    failures: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[RemoteJob]:
        return iter(self.jobs)


_NO_ROWS: Rows = np.empty((0, 0), np.float32)
