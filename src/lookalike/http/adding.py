"""Changing what the index holds: pictures are handed in, and items are taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from lookalike.errors import InputError, LookalikeError
from lookalike.http.access import Call, Writing
from lookalike.http.admission import Admission
from lookalike.http.examples import ADD_ITEMS
from lookalike.http.intake import Taken
from lookalike.http.items import ItemOptions
from lookalike.http.jobs import off_loop
from lookalike.http.orders import Handed, NewItemOptions, read_orders
from lookalike.http.problems import responses
from lookalike.http.questions import SEARCH_BODY
from lookalike.http.schemas import ItemError
from lookalike.http.search import Found, by_example
from lookalike.http.statuses import facts_of
from lookalike.orders import JobState
from lookalike.policy import ImagePolicy
from lookalike.query import no_such_item

router = APIRouter()


class TakenFacts(BaseModel):
    """A picture that was taken in."""

    index: int = Field(description="Its place in the request.")
    job: int = Field(description="The number of its job: `/jobs/{job}` says what has become of it.")
    id: str = Field(description="The item that it becomes; one that is there already is replaced.")
    project: str
    state: JobState
    content: str | None = Field(description="sha256 of its bytes; null where it is yet to be fetched.")


class TakenIn(BaseModel):
    """What has become of each picture of a request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "jobs": [
                        {
                            "index": 0,
                            "job": 17,
                            "id": "dress.jpg",
                            "project": "default",
                            "state": "waiting",
                            "content": "5c3d1fc78ea076c1ae787edd4b4f33852173943632157a155554d13bce9f6273",
                        }
                    ],
                    "errors": [
                        {
                            "index": 1,
                            "type": "ImageError",
                            "message": "items[1]: The image/jpeg file is cut off: its end is missing.",
                            "item": "items[1]",
                            "retryable": False,
                        }
                    ],
                }
            ]
        }
    )

    jobs: list[TakenFacts]
    errors: list[ItemError] = Field(description="Why a picture was not taken in; the others are.")


@router.post(
    "/items",
    status_code=202,
    summary="Hand pictures in, to be found from then on",
    response_model=TakenIn,
    responses=responses(415),
    openapi_extra=ADD_ITEMS,
)
async def add_items(call: Writing, options: Annotated[NewItemOptions, Query()]) -> TakenIn:
    """Takes JSON with base64, a data URI, an object of a bucket or (where enabled) a URL; a form; or one file's bytes.

    The answer comes as soon as the orders are on record, and for each there is a job. A batch answers each picture for
    itself: what was not taken in is in `errors`. To send the same once more does no harm: an item is replaced.
    """
    handed = await read_orders(call.request, options, call.shared.settings)
    found = await order_all(handed.pictures, call)
    failed = [entry for entry in found if isinstance(entry, LookalikeError)]
    if failed and (not handed.is_batch or not any(isinstance(entry, Taken | InputError) for entry in found)):
        raise failed[0]
    return _answer(found, [one.name for one in handed.pictures])


async def order_all(pictures: Sequence[Handed], call: Call) -> list[Taken | LookalikeError]:
    """Order pictures that were handed in; what became of each. Errors as `Intake.take`."""
    shared, config = call.shared, call.shared.index.config
    admission = Admission(
        caller=call.caller,
        default=config.project,
        policy=ImagePolicy(max_bytes=config.max_bytes),
        fetcher=shared.fetcher,
        buckets=shared.buckets,
    )
    n_bytes = sum(len(one.data) for one in pictures if isinstance(one.data, bytes))
    admitted = await off_loop(n_bytes, lambda: [admission.admit(one) for one in pictures])
    found = await shared.intake.take(admitted, until=call.until)
    n_taken = sum(isinstance(entry, Taken) for entry in found)
    shared.metrics.count("ordered", n_taken)
    shared.metrics.count("refused", len(found) - n_taken)
    return found


class Removed(BaseModel):
    """How many items were taken out."""

    removed: int


@router.delete("/items/{item_id:item}", summary="Take an item out of the index", response_model=Removed)
async def remove_item(item_id: str, call: Writing, options: Annotated[ItemOptions, Query()]) -> Removed:
    """It is not found from then on. No file is touched; an order for it that still waits brings it back."""
    project = call.caller.writes_to(options.project, default=call.shared.index.config.project)
    removed = await call.shared.intake.remove([(project, item_id)], until=call.until)
    if not removed:
        raise no_such_item(project, item_id)
    return Removed(removed=removed)


def _answer(found: Sequence[Taken | LookalikeError], names: Sequence[str]) -> TakenIn:
    jobs: list[TakenFacts] = []
    errors: list[dict[str, Any]] = []
    for index, entry in enumerate(found):
        if isinstance(entry, Taken):
            jobs.append(_taken(index, entry))
        else:
            errors.append({"index": index, **facts_of(entry), "item": names[index]})
    return TakenIn(jobs=jobs, errors=[ItemError(**error) for error in errors])


def _taken(index: int, taken: Taken) -> TakenFacts:
    order = taken.order
    return TakenFacts(
        index=index,
        job=taken.number,
        id=order.id,
        project=order.project,
        state=JobState.WAITING,
        content=taken.content or None,
    )


router.add_api_route(
    "/items:search",
    by_example,
    methods=["POST"],
    summary="The same as POST /search/images",
    response_model=Found,
    responses=responses(402, 415),
    openapi_extra=SEARCH_BODY,
)
