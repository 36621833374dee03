"""What there is to look at before anything is searched for: the projects, and some items."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from lookalike.http.contents import MAX_HITS
from lookalike.http.context import Shared
from lookalike.http.deadlines import Deadline
from lookalike.http.items import ItemFacts, Searching, item_facts

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


class Items(BaseModel):
    """The first items of the index."""

    items: list[ItemFacts]


@router.get("/projects", summary="The projects of the index", response_model=Projects)
async def projects(shared: Shared, until: Deadline, caller: Searching) -> Projects:
    """Each project with the number of its items."""
    found, space = await shared.index.ask(lambda view: (view.projects(), view.space), caller=caller, until=until)
    return Projects(
        projects=[ProjectFacts(name=name, items=n) for name, n in found.items()],
        together=caller.projects is None or len(caller.projects) == 1,
        space=space.id,
        model=space.model,
    )


@router.get("/items", summary="The first items of the index", response_model=Items)
async def first_items(
    request: Request, shared: Shared, until: Deadline, caller: Searching, options: Annotated[ListOptions, Query()]
) -> Items:
    """By project and id: something to look at before anything is searched for."""
    found = await shared.index.ask(
        lambda view: list(islice(view.items(project=options.project), options.limit)), caller=caller, until=until
    )
    return Items(items=[item_facts(item, request) for item in found])
