"""A dry run: what an ingest would do, without writing anything."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from lookalike.changes import Picture, changed, decided, gone, known_items, project_of, read_object
from lookalike.errors import InputError
from lookalike.image import decode
from lookalike.ingest import READERS, Target, chunked_by_bytes
from lookalike.ports import Source
from lookalike.types import Outcome, SourceObject

TIMED_PICTURES = 16
"""Pictures that are really embedded, to say how long all of them will take."""


@dataclass(slots=True)
class Survey:
    """What an ingest would do.

    Attributes:
        counts: Objects by the outcome that they would have.
        failures: (uri, reason) of each object that would fail.
        warnings: Sentences about the run as a whole.
        n_bytes: Bytes of the objects that would be read.
        n_pixels: Pixels of the pictures that would be embedded.
        vector_bytes: What the new vectors would weigh in the index.
        eta_s: Seconds that decoding and embedding would take on the target's threads; None if that was not measured.
    """

    counts: Counter[Outcome] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    n_bytes: int = 0
    n_pixels: int = 0
    vector_bytes: int = 0
    eta_s: float | None = None


def survey(
    sources: Sequence[Source],
    target: Target,
    *,
    is_timed: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> Survey:
    """Read, hash and decode everything that is not stored as it is now, and time a few pictures.

    Args:
        sources: What would be ingested.
        target: Where it would go; nothing is written.
        is_timed: Whether a few pictures are embedded to see how long all would take; a hosted model would bill them.
        on_progress: Told the number of objects done.
    """
    run = _Run(target, on_progress)
    with (
        ThreadPoolExecutor(READERS, thread_name_prefix="reading") as readers,
        ThreadPoolExecutor(target.threads, thread_name_prefix="survey") as pool,
    ):
        for source in sources:
            seen: set[int] = set()
            for chunk in chunked_by_bytes(run.unplanned(changed(source, target, seen, run.skip))):
                read = partial(read_object, source, max_bytes=target.embedder.policy.max_bytes)
                pictures = list(readers.map(read, chunk))
                fresh = run.fresh(pictures)
                reasons = list(pool.map(run.reason, fresh))
                run.count(pictures, fresh, reasons)
            _, lost = gone(source, target, seen, run.result.warnings.append)
            run.result.counts[Outcome.REMOVED] += len(lost)
    result, new = run.result, run.result.counts[Outcome.STORED]
    result.vector_bytes = new * 2 * target.embedder.space.dim  # 16 bits a value
    if is_timed:
        result.eta_s = new * _cpu_s_per_picture(run.timed, target) / target.threads
    return result


class _Run:
    """What was found so far, decided as `ingest` decides."""

    def __init__(self, target: Target, on_progress: Callable[[int], None] | None) -> None:
        self.result = Survey()
        self.timed: list[bytes] = []
        self._target = target
        self._on_progress = on_progress
        self._planned: set[int] = set()
        self._reasons: dict[str, str] = {}
        self._pixels: dict[str, int] = {}

    def skip(self, n: int) -> None:
        """n objects are stored as they are now."""
        self.result.counts[Outcome.UNCHANGED] += n
        self._tell()

    def unplanned(self, objects: Iterator[SourceObject]) -> Iterator[SourceObject]:
        """The objects that no source has listed before: by then they would be stored."""
        for obj in objects:
            name = hash((project_of(obj, self._target), obj.uri))
            if name in self._planned:
                self.skip(1)
            else:
                self._planned.add(name)
                yield obj

    def fresh(self, pictures: list[Picture]) -> list[Picture]:
        """The pictures that would have to be decoded, one of each content."""
        _, stored = self._target.store.vectors([picture.content for picture in pictures if picture.content])
        known = self._reasons.keys() | set(stored)
        return list(
            {one.content: one for one in reversed(pictures) if one.content and one.content not in known}.values()
        )

    def reason(self, picture: Picture) -> str:
        """Why a picture cannot be decoded; empty if it can."""
        try:
            image = decode(picture.data, self._target.embedder.policy, item=picture.obj.uri)
        except InputError as error:
            return error.reason
        self._pixels[picture.content] = image.width * image.height
        return ""

    def count(self, pictures: list[Picture], fresh: list[Picture], reasons: list[str]) -> None:
        """Count a chunk once its fresh pictures were decoded."""
        self._reasons.update((picture.content, reason) for picture, reason in zip(fresh, reasons, strict=True))
        new = {picture.content for picture in fresh}
        before = known_items(self._target, pictures)
        for picture, (_, item) in zip(pictures, before, strict=True):
            self.result.n_bytes += len(picture.data)
            reason = picture.reason or self._reasons.get(picture.content, "")
            outcome = decided(picture, item, reason, new)
            self.result.counts[outcome] += 1
            if outcome is Outcome.FAILED:
                self.result.failures.append((picture.obj.uri, reason))
            elif outcome is Outcome.STORED:
                self.result.n_pixels += self._pixels.pop(picture.content)
                if len(self.timed) < TIMED_PICTURES:
                    self.timed.append(picture.data)
        self._tell()

    def _tell(self) -> None:
        if self._on_progress:
            self._on_progress(self.result.counts.total())


def _cpu_s_per_picture(pictures: list[bytes], target: Target) -> float:
    """Core-seconds to decode and embed one picture, measured on a few after one to warm up."""
    if not pictures:
        return 0.0
    target.embedder.embed_images(pictures[:1])
    began_s = time.thread_time()
    target.embedder.embed_images(pictures)
    return (time.thread_time() - began_s) / len(pictures)
