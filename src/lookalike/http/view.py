"""The index as a caller may see it: what its key is not for is as if it were not there.

Every route asks the index through this, so that none can forget to look at the key. Loads nothing of the web framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lookalike.errors import InputError
from lookalike.explain import Asked, Explanation, Piece
from lookalike.http.keys import Caller
from lookalike.query import Part, Query, no_such_item
from lookalike.spaces import Space
from lookalike.store.pages import number_in
from lookalike.types import Filter, Hits, Item

if TYPE_CHECKING:
    from lookalike.duplicates import DuplicateGroup
    from lookalike.index import Index

MAX_WALKED = 20_000
"""So many of the newest items are read again for each page, where a key is for some projects."""

Rests = tuple[tuple[Piece, Query], ...]
Told = tuple[Item, Explanation]


@dataclass(frozen=True, slots=True)
class View:
    """What of an index a caller may see. Errors are those of `Index`, and of `Caller.project_of`.

    Attributes:
        caller: Who asks.
        index: The whole index; no route looks at it.
    """

    caller: Caller
    index: Index = field(repr=False)

    @property
    def space(self) -> Space:
        """The space of every vector."""
        return self.index.space

    def projects(self) -> Mapping[str, int]:
        """The number of items of each project, by name."""
        found = self.index.stats().projects
        return {name: n for name, n in sorted(found.items()) if self.caller.sees(name)}

    def items(self, *, project: str | None, after: tuple[str, str] | None = None) -> Iterator[Item]:
        """Every item of a project, or of all, by project and id; those behind `after`, if that is given."""
        wanted = self.caller.project_of(project)
        if wanted is None or self.caller.sees(wanted):
            yield from self.index.items(project=wanted, after=after)

    def newest(self, where: Filter, *, limit: int, after: str) -> tuple[list[Item], str]:
        """Items that pass, what came last first, and where the next ones begin; see `ports.Catalogue.newest`."""
        wanted = self.caller.project_of(where.project)
        if wanted is not None and not self.caller.sees(wanted):
            return [], ""
        where = replace(where, project=wanted)
        if self.caller.projects is None:
            return self.index.newest(where, limit=limit, after=after)
        # A store goes on from a number that all projects share, and which would tell how much the others have.
        start = number_in(after, default=0)
        if start > MAX_WALKED:
            raise InputError(f"lies beyond the newest {MAX_WALKED:,} items: walk them with order=name.", item="after")
        found, following = self.index.newest(where, limit=start + limit)
        return found[start:], str(start + limit) if following else ""

    def item(self, item_id: str, *, project: str | None) -> Item:
        """One item. ItemNotFound if there is none."""
        wanted = self.caller.project_of(project)
        self._require(wanted, item_id)
        return self.index.item(item_id, project=wanted)

    def duplicates(
        self, *, project: str | None, min_similarity: float, on_progress: Callable[[float], None]
    ) -> Iterator[DuplicateGroup]:
        """Groups of items that show one picture; see `lookalike.duplicates.find_duplicates`."""
        wanted = self.caller.project_of(project)
        if wanted is None or self.caller.sees(wanted):
            yield from self.index.duplicates(project=wanted, min_similarity=min_similarity, on_progress=on_progress)

    def some(self, keys: Sequence[tuple[str, str]]) -> list[Item | None]:
        """The items of these (project, id) pairs, in order; None where there is none."""
        found = self.index.explainer.store.get(keys)
        return [item if item and self.caller.sees(item.project) else None for item in found]

    def query(self, parts: Sequence[Part], *, project: str | None) -> Query:
        """One query of several parts. ItemNotFound if there is no such item."""
        asked = [part if part.item is None else self._placed(part, project) for part in parts]
        return self.index.query(asked, project=project)

    def find(self, query: Query, *, limit: int, where: Filter, min_confidence: float) -> Hits:
        """Find pictures by a query."""
        project = self.caller.project_of(where.project)
        if project is not None and not self.caller.sees(project):
            space = self.index.space
            return Hits(hits=(), considered=0, space=space, warnings=query.warnings, approximation=query.approximation)
        where = replace(where, project=project, apart=self.caller.projects is not None)
        return self.index.find(query, limit=limit, where=where, min_confidence=min_confidence)

    def explain(
        self, name: tuple[str, str | None], parts: Sequence[Part], rests: Mapping[int, Rests], *, project: str | None
    ) -> Told:
        """Why an item matches a query, and the item; see `lookalike.explain`. ItemNotFound if there is none.

        Args:
            name: The item's id, and its project.
            parts: What the query is composed of, none of them words or pictures any more.
            rests: Of those that were words, by their place: each word, and the query of the others.
            project: The project that was searched.
        """
        item = self.item(name[0], project=name[1])
        searched = self.caller.project_of(project)
        self._require(searched, name[0])  # an explanation tells what else is there: the background of its confidence
        asked = [
            Asked(query=self.query([replace(part, weight=1.0)], project=project), weight=part.weight, without=without)
            for part, without in ((part, rests.get(place, ())) for place, part in enumerate(parts))
        ]
        where = Filter(project=searched, apart=self.caller.projects is not None)
        return item, self.index.explainer.explain(item, asked, where=where)

    def _placed(self, part: Part, project: str | None) -> Part:
        """A part that asks with an item, with the project that this is in."""
        wanted = self.caller.project_of(part.project or project)
        self._require(wanted, part.item or "")
        return replace(part, project=wanted)

    def _require(self, project: str | None, item_id: str) -> None:
        if project is not None and not self.caller.sees(project):
            raise no_such_item(project, item_id)
