"""A dry run: what an ingest would do, without writing anything."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lookalike.errors import InputError
from lookalike.ingest import CHUNK_SIZE, Picture, Target, changed, chunked, read_objects
from lookalike.ports import Source
from lookalike.types import Failure

TIMED_PICTURES = 16
"""Pictures that are really embedded, to say how long all of them will take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What an ingest would do.

    Attributes:
        new: Pictures that would be embedded.
        duplicates: Items that would be stored without embedding: their content is known, or occurs before.
        unchanged: Objects that are stored as they are now.
        failures: Objects that would fail, with the reason.
        n_bytes: Bytes of the objects that would be read.
        vector_bytes: What the new vectors would weigh in the index.
        eta_s: Seconds that decoding and embedding would take on the target's threads.
    """

    new: int
    duplicates: int
    unchanged: int
    failures: tuple[Failure, ...]
    n_bytes: int
    vector_bytes: int
    eta_s: float


def survey(sources: Sequence[Source], target: Target, *, on_progress: Callable[[int], None] | None = None) -> Survey:
    """Read, hash and decode everything that is not stored as it is now, and time a few pictures.

    Args:
        sources: What would be ingested.
        target: Where it would go; nothing is written.
        on_progress: Told the number of objects done.
    """
    tally = _Tally(on_progress)
    with ThreadPoolExecutor(target.threads, thread_name_prefix="survey") as pool:
        for source in sources:
            objects = changed(source, target.ledger, target.project, set(), tally.skip)
            for chunk in chunked(objects, CHUNK_SIZE * target.threads):
                pictures = read_objects(source, chunk, target.embedder.policy.max_bytes)
                fresh = tally.sort_out(pictures, target)
                reasons = list(pool.map(lambda picture: _reason(picture, target), fresh))
                tally.decoded(fresh, reasons)
    seconds = _cpu_s_per_picture(tally.timed, target)
    return Survey(
        new=tally.counts["new"],
        duplicates=tally.counts["duplicates"],
        unchanged=tally.counts["unchanged"],
        failures=tuple(tally.failures),
        n_bytes=tally.n_bytes,
        vector_bytes=tally.counts["new"] * 2 * target.embedder.space.dim,  # 16 bits a value
        eta_s=tally.counts["new"] * seconds / target.threads,
    )


class _Tally:
    """What was found so far."""

    def __init__(self, on_progress: Callable[[int], None] | None) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.timed: list[bytes] = []
        self.n_bytes = 0
        self._on_progress = on_progress
        self._contents: dict[str, str] = {}
        self._again: list[Picture] = []

    def skip(self, n: int) -> None:
        self._count("unchanged", n)

    def sort_out(self, pictures: list[Picture], target: Target) -> list[Picture]:
        """Count what needs no decoding; returns the rest, one of each content."""
        _, stored = target.store.vectors([picture.content for picture in pictures if picture.content])
        fresh: list[Picture] = []
        known = set(stored)
        self._again = []
        for picture in pictures:
            self.n_bytes += len(picture.data)
            if picture.reason:
                self._fail(picture, picture.reason)
            elif picture.content in known:
                self._count("duplicates", 1)
            elif picture.content in self._contents:
                self._again.append(picture)
            else:
                self._contents[picture.content] = ""
                fresh.append(picture)
        return fresh

    def decoded(self, fresh: list[Picture], reasons: list[str]) -> None:
        """Count pictures that were decoded, and those with the same bytes as one of them or an earlier one."""
        for picture, reason in zip(fresh, reasons, strict=True):
            self._contents[picture.content] = reason
            if reason:
                self._fail(picture, reason)
                continue
            self._count("new", 1)
            if len(self.timed) < TIMED_PICTURES:
                self.timed.append(picture.data)
        for picture in self._again:
            reason = self._contents[picture.content]
            if reason:
                self._fail(picture, reason)
            else:
                self._count("duplicates", 1)

    def _count(self, what: str, n: int) -> None:
        self.counts[what] += n
        if self._on_progress:
            self._on_progress(self.counts.total() + len(self.failures))

    def _fail(self, picture: Picture, reason: str) -> None:
        self.failures.append(Failure(len(self.failures), picture.obj.uri, reason, "ImageError"))


def _reason(picture: Picture, target: Target) -> str:
    try:
        target.embedder.prepare_image(picture.data, picture.obj.uri)
    except InputError as error:
        return error.reason
    return ""


def _cpu_s_per_picture(pictures: list[bytes], target: Target) -> float:
    """Core-seconds to decode and embed one picture, measured on a few after one to warm up."""
    if not pictures:
        return 0.0
    target.embedder.embed_images(pictures[:1])
    began_s = time.thread_time()
    target.embedder.embed_images(pictures)
    return (time.thread_time() - began_s) / len(pictures)
