"""The map of the collection, and its clusters."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from lookalike import app
from lookalike.errors import PictureGone
from lookalike.http.access import Call, Searching
from lookalike.http.context import Context
from lookalike.http.items import ItemFacts, item_facts
from lookalike.http.landscapes import Landscapes, Sheet
from lookalike.http.problems import responses
from lookalike.http.statuses import facts_of
from lookalike.landscape import Landscape
from lookalike.projection.arranging import Arranger

router = APIRouter()

MAX_ASKED = 200
"""Points that may be asked for at a time."""


class MapOptions(BaseModel):
    """Which map, in the query string."""

    model_config = ConfigDict(extra="forbid")

    project: str | None = Field(None, description="Of this project only.")


class KnownOptions(MapOptions):
    """Which map, and what of it is there already."""

    known: str = Field("", description="The `version` that the caller has: its places are not sent again.")


class PointOptions(MapOptions):
    """Which points of a map."""

    version: str = Field(description="The map that the numbers count in.")
    at: list[int] = Field(min_length=1, max_length=MAX_ASKED, description="Numbers of points, from 0.")


class ClusterFacts(BaseModel):
    """Pictures that look alike."""

    names: list[str] = Field(description="What sets them apart from the collection, the most telling first.")
    items: int
    x: int = Field(description="Where the middle one lies, as `places` of the map.")
    y: int


class State(BaseModel):
    """How far the map is."""

    state: Literal["making", "ready", "failed"] = Field(
        description="Of the first one: there is none before it is ready."
    )
    share: float | None = Field(description="How much of the next one is made, 0 to 1; null if none is being made.")
    error: dict[str, Any] | None = Field(description="Why the last one could not be made.")
    version: str = Field(description="Names this map; empty if there is none.")
    items: int = Field(description="How many items it shows.")
    total: int = Field(description="How many there are: of more than 100,000 it shows as many, drawn evenly.")


class MapFacts(State):
    """Every picture at a place, near those that look like it. The directions mean nothing."""

    places: str | None = Field(
        description="x and y of each item, 0 to 65,535 from the left and the top, little-endian uint16 in base64; null "
        "if `known` says that they are there."
    )
    groups: str | None = Field(description="The number of each item's cluster, uint8 in base64; null as `places`.")
    clusters: list[ClusterFacts] = Field(description="By number.")


class ClusterExamples(ClusterFacts):
    """Pictures that look alike, and some of them."""

    examples: list[ItemFacts] = Field(description="Those nearest to their mean.")


class Clusters(State):
    """What the collection consists of, the largest cluster first."""

    clusters: list[ClusterExamples]


class PointItems(BaseModel):
    """The items of some points; null where one is gone."""

    items: list[ItemFacts | None]


@router.get("/map", summary="The map of the collection", response_model=MapFacts)
async def whole(call: Searching, options: Annotated[KnownOptions, Query()]) -> MapFacts:
    """Made in the background when it is first asked for; until then the answer says how far.

    Of a changed index it is the one before, with new pictures put between those that they are most similar to.
    """
    sheet = await _sheet(options, call)
    found = sheet.landscape
    is_known = found is None or options.known == found.version
    return MapFacts(
        **_state(sheet),
        places=None if is_known or found is None else _base64(found.places.astype("<u2").tobytes()),
        groups=None if is_known or found is None else _base64(found.groups.tobytes()),
        clusters=[_facts(found, n) for n in range(len(found.clusters))] if found else [],
    )


@router.get("/map/items", summary="The items of points of the map", response_model=PointItems, responses=responses(410))
async def items(call: Searching, options: Annotated[PointOptions, Query()]) -> PointItems:
    """410 once the map is another one: ask for that."""
    sheet = await _sheet(options, call)
    keys = sheet.landscape.points.keys if sheet.landscape else ()
    if (
        sheet.landscape is None
        or sheet.landscape.version != options.version
        or not all(0 <= n < len(keys) for n in options.at)
    ):
        raise PictureGone("The map has been made anew since, or has no such point: ask for /map again.")
    wanted = [keys[n] for n in options.at]
    found = await call.shared.index.ask(lambda view: view.some(wanted), caller=call.caller, until=call.until)
    return PointItems(items=[item_facts(item, call.request) if item else None for item in found])


@router.get("/clusters", summary="What the collection consists of", response_model=Clusters)
async def clusters(call: Searching, options: Annotated[MapOptions, Query()]) -> Clusters:
    """The clusters of the map, the largest first, with a few pictures each."""
    sheet = await _sheet(options, call)
    found = sheet.landscape
    if found is None:
        return Clusters(**_state(sheet), clusters=[])
    keys = dict(zip(reversed(found.points.contents), reversed(found.points.keys), strict=True))
    wanted = [[keys[content] for content in one.examples if content in keys] for one in found.clusters]
    some = iter(
        await call.shared.index.ask(
            lambda view: view.some([key for few in wanted for key in few]), caller=call.caller, until=call.until
        )
    )
    examples = [[item for item in (next(some) for _ in few) if item] for few in wanted]
    shown = [
        ClusterExamples(**_facts(found, n).model_dump(), examples=[item_facts(item, call.request) for item in few])
        for n, few in enumerate(examples)
    ]
    return Clusters(**_state(sheet), clusters=sorted(shown, key=lambda one: -one.items))


async def _sheet(options: MapOptions, call: Call) -> Sheet:
    """The map that is asked for, as far as it is there; for a project that the caller may not see, that of nothing."""
    project = call.caller.project_of(options.project)
    if project is not None and not call.caller.sees(project):
        return Sheet(landscape=Landscape.empty())
    index, maps = call.shared.index, _landscapes(call.request, call.shared)
    view = await index.ask(lambda view: view, caller=call.caller, until=call.until)
    return await index.read(lambda: maps.of(view, project, wanted=str(index.config.index)), until=call.until)


def _landscapes(request: Request, shared: Context) -> Landscapes:
    """The maps of this application; made with the first request for one."""
    state = request.app.state
    if not hasattr(state, "landscapes"):
        config = shared.index.config
        arranger = Arranger(threads=app.available_threads(config), stopping=shared.stopping)
        state.landscapes = Landscapes(config.cache_dir / "maps", arranger)
    return cast(Landscapes, state.landscapes)


def _state(sheet: Sheet) -> dict[str, Any]:
    found, error = sheet.landscape, sheet.error
    return {
        "state": "ready" if found else "failed" if error and sheet.share is None else "making",
        "share": sheet.share,
        "error": facts_of(error) if error else None,
        "version": found.version if found else "",
        "items": len(found.points.keys) if found else 0,
        "total": found.points.total if found else 0,
    }


def _facts(found: Landscape, number: int) -> ClusterFacts:
    one = found.clusters[number]
    return ClusterFacts(names=list(one.names), items=one.n_items, x=one.x, y=one.y)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
