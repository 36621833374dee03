"""What there is to look at before anything is searched for: the projects, and some items."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Literal
from urllib.parse import quote, unquote

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from lookalike.errors import InputError
from lookalike.http.access import Searching
from lookalike.http.contents import MAX_HITS, pairs_of, searches_together
from lookalike.http.items import ItemFacts, item_facts
from lookalike.http.view import View
from lookalike.types import Filter, Item

router = APIRouter()


class ProjectFacts(BaseModel):
    """One collection within the index."""

    name: str
    items: int


class Projects(BaseModel):
    """The collections within the index that the key may see."""

    projects: list[ProjectFacts]
    together: bool = Field(description="Whether a search that names no project is answered.")
    space: str
    model: str


class ListOptions(BaseModel):
    """Which items, in the query string."""

    model_config = ConfigDict(extra="forbid")

    project: str | None = Field(None, description="Only items of this project.")
    limit: int = Field(60, ge=1, le=MAX_HITS, description="At most so many.")
    order: Literal["name", "newest"] = Field("name", description="By project and id, or what came last first.")
    where: list[str] = Field(
        [], description="Only items with this metadata, as 'key:value'; of the newest alone, several times for several."
    )
    after: str = Field("", description="`next` of an answer, for the items that follow.")


class Items(BaseModel):
    """Some items of the index."""

    items: list[ItemFacts]
    next: str | None = Field(description="Ask again with `after` set to this for the following; null if none follow.")


@router.get("/projects", summary="The projects of the index", response_model=Projects)
async def projects(call: Searching) -> Projects:
    """Each project with the number of its items."""
    found, space = await call.shared.index.ask(
        lambda view: (view.projects(), view.space), caller=call.caller, until=call.until
    )
    return Projects(
        projects=[ProjectFacts(name=name, items=n) for name, n in found.items()],
        together=searches_together(call.shared.settings, call.caller),
        space=space.id,
        model=space.model,
    )


@router.get("/items", summary="Items of the index", response_model=Items)
async def some_items(call: Searching, options: Annotated[ListOptions, Query()]) -> Items:
    """By project and id, or the newest first, page by page: something to look at before a search."""
    if options.order == "name" and options.where:
        raise InputError("goes with order=newest alone.", item="where")
    where = Filter(project=options.project, metadata=pairs_of(options.where, item="where"))

    def ask(view: View) -> tuple[list[Item], str]:
        if options.order == "newest":
            return view.newest(where, limit=options.limit, after=options.after)
        return _by_name(view, options)

    found, following = await call.shared.index.ask(ask, caller=call.caller, until=call.until)
    return Items(items=[item_facts(item, call.request) for item in found], next=following or None)


def _by_name(view: View, options: ListOptions) -> tuple[list[Item], str]:
    """A page, and the project and id of its last item if others follow."""
    project, slash, item_id = options.after.partition("/")
    if options.after and not slash:
        raise InputError("is not what an answer gave in 'next'.", item="after")
    after = (unquote(project), item_id) if slash else None
    found = list(islice(view.items(project=options.project, after=after), options.limit + 1))
    page = found[: options.limit]
    return page, f"{quote(page[-1].project, safe='')}/{page[-1].id}" if len(found) > len(page) else ""
