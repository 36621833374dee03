"""Pictures that are there more than once: compared in the background, and kept until the index changes."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from lookalike.duplicates import NEAR, DuplicateGroup
from lookalike.errors import LookalikeError, NotReady, ServiceError, TooLarge
from lookalike.http.access import Call, Searching
from lookalike.http.items import ItemFacts, item_facts
from lookalike.http.latest import make_room
from lookalike.http.view import View
from lookalike.types import Item, StoreStats

MAX_ITEMS = 100_000
"""More are not compared here: every pair of so many vectors of 512 numbers takes two cores some three minutes."""

MAX_KEPT = 8
"""Answers that are kept, each for a project or for all; the one not asked for longest goes."""

MAX_SHOWN = 12
"""Items of one group in an answer."""

Fingerprint = tuple[object, ...]


@dataclass(slots=True)
class Comparison:
    """One walk over all pairs, under way or ended.

    Attributes:
        of: What the index held when it began.
        share: How much of it is done, 0 to 1.
        groups: What was found; None until it has ended.
        error: Why it ended without an answer.
    """

    of: Fingerprint
    share: float = 0.0
    groups: tuple[DuplicateGroup, ...] | None = None
    error: LookalikeError | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.groups is None and self.error is None


NOTHING = Comparison((), groups=())
"""What a project holds that the caller may not see."""


@dataclass(slots=True)
class _Kept:
    """The latest answer, and what takes its place once it has ended."""

    now: Comparison
    next: Comparison | None = None


def _is_busy(kept: _Kept) -> bool:
    return kept.now.is_running or (kept.next is not None and kept.next.is_running)


@dataclass(slots=True)
class Comparisons:
    """What was compared lately. One walk at a time; may be used from several threads at once."""

    _kept: OrderedDict[tuple[str, str | None], _Kept] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def of(
        self,
        key: tuple[str, str | None],
        fingerprint: Fingerprint,
        compare: Callable[[Callable[[float], None]], Iterable[DuplicateGroup]],
    ) -> Comparison:
        """The latest answer, which may be of an index that has changed; a newer one is then begun.

        Args:
            key: The space and the project.
            fingerprint: Changes when the index does.
            compare: Makes the answer, telling how far it is; called in a thread of its own.

        Raises:
            Overloaded: Too many other comparisons are under way.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.next is not None and not kept.next.is_running:
                kept.now, kept.next = kept.next, None
            if kept is None:
                make_room(self._kept, most=MAX_KEPT, is_busy=_is_busy, what="comparisons")
            if kept is None or (kept.now.of != fingerprint and not kept.now.is_running and kept.next is None):
                begun = Comparison(fingerprint)
                if kept is None or kept.now.groups is None:
                    self._kept[key] = kept = _Kept(begun)
                else:
                    kept.next = begun
                name = "lookalike-comparing"
                threading.Thread(target=self._compare, args=(begun, compare), name=name, daemon=True).start()
            self._kept.move_to_end(key)
            if kept.now.error is not None:  # told once; whoever asks again has it tried again
                del self._kept[key]
            return kept.now

    def _compare(
        self, begun: Comparison, compare: Callable[[Callable[[float], None]], Iterable[DuplicateGroup]]
    ) -> None:
        def tell(share: float) -> None:
            begun.share = share

        if hasattr(os, "SCHED_IDLE"):
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread: nobody waits for it
        try:
            with self._turn:
                begun.groups = tuple(compare(tell))
        except LookalikeError as error:
            begun.error = error
        except BaseException:  # or who asks would be told for ever that it goes on
            begun.error = ServiceError("Comparing failed; the service's log says more.")
            raise


class DuplicateOptions(BaseModel):
    """Which groups, in the query string."""

    model_config = ConfigDict(extra="forbid")

    project: str | None = Field(None, description="Only of this project.")
    above: int = Field(0, ge=0, le=MAX_ITEMS, description="Leave out so many groups: `next` of an answer.")
    limit: int = Field(50, ge=1, le=500, description="At most so many groups.")


class GroupFacts(BaseModel):
    """Items that show one picture."""

    reason: Literal["exact", "near"] = Field(description="Equal bytes, or vectors as similar as that.")
    similarity: float = Field(description="The least cosine by which one of them is linked to another.")
    n_items: int
    items: list[ItemFacts] = Field(description=f"At most {MAX_SHOWN} of them.")


class DuplicatePage(BaseModel):
    """Some groups; the largest first, those of equal bytes before the others."""

    state: Literal["comparing", "ready"] = Field(description="Whether there is an answer; ask again if not.")
    share: float = Field(description="How much has been compared, 0 to 1.")
    min_similarity: float = Field(description="From which similarity on pictures count as near-duplicates.")
    total: int = Field(description="How many groups there are.")
    groups: list[GroupFacts]
    next: int | None = Field(description="Ask again with `above` set to this for the following; null if none follow.")


def comparing_router() -> APIRouter:
    """The route, and what it keeps."""
    router = APIRouter()
    comparisons = Comparisons()

    @router.get("/duplicates", summary="Pictures that are there more than once", response_model=DuplicatePage)
    async def duplicates(call: Searching, options: Annotated[DuplicateOptions, Query()]) -> DuplicatePage:
        """Equal bytes, and near-duplicates. They are compared in the background; until then the answer says how far.

        When the index has changed, the answer is the one before, without what is gone, until the new one is there.
        """
        view = await call.shared.index.ask(lambda view: view, caller=call.caller, until=call.until)
        project = call.caller.project_of(options.project)
        if project is not None and not call.caller.sees(project):
            return await _page(NOTHING, options, call)
        holdings = await call.shared.index.stats()
        if holdings is None:
            raise NotReady("How many pictures there are is still being counted: ask again shortly.")
        n_items = _count(view, project, holdings)
        if n_items > MAX_ITEMS:
            raise TooLarge(
                f"{n_items:,} pictures are more than are compared here, which is {MAX_ITEMS:,}: choose a smaller "
                "project, or use `lookalike duplicates`.",
                actual=n_items,
                limit=MAX_ITEMS,
                item="project",
            )

        def compare(tell: Callable[[float], None]) -> Iterable[DuplicateGroup]:
            def on_progress(share: float) -> None:
                if call.shared.stopping.is_set():
                    raise ServiceError("The service is stopping.")
                tell(share)

            return view.duplicates(project=project, min_similarity=NEAR, on_progress=on_progress)

        comparison = comparisons.of((view.space.id, project), _fingerprint(holdings), compare)
        if comparison.error is not None:
            raise comparison.error
        return await _page(comparison, options, call)

    return router


def _count(view: View, project: str | None, holdings: StoreStats) -> int:
    counts = {n: c for n, c in holdings.projects.items() if view.caller.sees(n)}
    return counts.get(project, 0) if project is not None else sum(counts.values())


def _fingerprint(stats: StoreStats) -> Fingerprint:
    # All but the version are for a table that has none.
    return stats.version, stats.items, stats.contents, stats.n_bytes, tuple(stats.projects.items())


async def _page(comparison: Comparison, options: DuplicateOptions, call: Call) -> DuplicatePage:
    found, share = comparison.groups, comparison.share  # as of now: it may end while the index is asked
    groups = found or ()
    end = options.above + options.limit
    some = groups[options.above : end]
    shown = await call.shared.index.ask(lambda view: _as_now(some, view), caller=call.caller, until=call.until)
    return DuplicatePage(
        state="comparing" if found is None else "ready",
        share=share if found is None else 1.0,
        min_similarity=NEAR,
        total=len(groups),
        groups=[
            GroupFacts(
                reason=group.reason,
                similarity=round(group.similarity, 4),
                n_items=len(group.items) - len(group.items[:MAX_SHOWN]) + len(items),
                items=[item_facts(item, call.request) for item in items],
            )
            for group, items in zip(some, shown, strict=True)
            if len(items) > 1
        ],
        next=end if end < len(groups) else None,
    )


def _as_now(groups: Sequence[DuplicateGroup], view: View) -> list[list[Item]]:
    """Of each group the items that are shown, as they are now, without those that are gone or another picture."""
    shown = [group.items[:MAX_SHOWN] for group in groups]
    found = view.some([(item.project, item.id) for items in shown for item in items])
    now = {_picture(item): item for item in found if item is not None}
    return [[now[_picture(item)] for item in items if _picture(item) in now] for items in shown]


def _picture(item: Item) -> tuple[str, str, str]:
    return item.project, item.id, item.content
