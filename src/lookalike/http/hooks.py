"""Webhooks: what is uploaded to a bucket is indexed, and what is removed there is taken out."""

from __future__ import annotations

import json

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from lookalike.errors import AccessDenied, InputError, LookalikeError
from lookalike.http.access import Call, Writing
from lookalike.http.adding import order_all
from lookalike.http.bounds import require_few_values
from lookalike.http.contents import require_room
from lookalike.http.inputs import require_kind
from lookalike.http.intake import Taken
from lookalike.http.notices import Notice, notices_of, shown
from lookalike.http.orders import Handed
from lookalike.http.problems import responses

router = APIRouter(prefix="/hooks")

_SUPABASE = {
    "type": "INSERT",
    "table": "objects",
    "schema": "storage",
    "record": {"bucket_id": "photos", "name": "shop-a/dress.jpg"},
    "old_record": None,
}
_S3 = {
    "Records": [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "photos"}, "object": {"key": "shop-a/red+dress.jpg"}},
        }
    ]
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "examples": {
                    "Supabase": {"summary": "Supabase Storage", "value": _SUPABASE},
                    "S3": {"summary": "Amazon S3", "value": _S3},
                },
            }
        },
    }
}


class Ordered(BaseModel):
    """An object that is going to be indexed."""

    job: int
    id: str
    project: str


class Ignored(BaseModel):
    """Something that was told, and about which nothing is done."""

    event: str = Field(description="As the sender calls it.")
    uri: str = Field(description="The object; empty if it is about none.")
    why: str


class Heard(BaseModel):
    """What is done about what was told."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "jobs": [{"job": 17, "id": "s3://photos/shop-a/dress.jpg", "project": "shop-a"}],
                    "removed": 0,
                    "ignored": [
                        {
                            "event": "INSERT",
                            "uri": "s3://photos/list.pdf",
                            "why": "Its name does not promise a picture.",
                        }
                    ],
                }
            ]
        }
    )

    jobs: list[Ordered]
    removed: int = Field(description="Items that were taken out, since their objects are gone.")
    ignored: list[Ignored]


@router.post(
    "/storage",
    summary="Objects of a bucket were created or removed",
    response_model=Heard,
    responses=responses(415),
    openapi_extra=_BODY,
)
async def storage(call: Writing) -> Heard:
    """Takes Supabase's webhooks on `storage.objects` and Amazon S3's event notifications, with a key in the header.

    An object becomes the item of that id ("s3://bucket/name") in the project that `LOOKALIKE_BUCKETS` says.
    """
    require_kind(call.request, "application/json")
    told = notices_of(_document(await call.request.body()))
    require_room(len(told), call.shared.settings.max_batch_items, name="Records")
    # What is told of one object twice counts as it was told last.
    latest = list({notice.uri: notice for notice in told if not notice.ignored}.values())
    created = [notice for notice in latest if not notice.is_gone]
    removed = [notice for notice in latest if notice.is_gone]
    ordered = await order_all([Handed(uri=notice.uri) for notice in created], call) if created else []
    places = [_place_of(notice, call) for notice in removed]
    keys = [place for place in places if isinstance(place, tuple)]
    outcomes = zip([*created, *removed], [*ordered, *places], strict=True)
    return Heard(
        jobs=[_ordered(one) for one in ordered if isinstance(one, Taken)],
        removed=await call.shared.intake.remove(keys, until=call.until) if keys else 0,
        ignored=[
            *(_ignored(notice, notice.ignored) for notice in told if notice.ignored),
            *(_ignored(notice, str(outcome)) for notice, outcome in outcomes if isinstance(outcome, LookalikeError)),
        ],
    )


def _document(body: bytes) -> object:
    require_few_values(body)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("The body is not JSON.") from error


def _place_of(notice: Notice, call: Call) -> tuple[str, str] | LookalikeError:
    """The project and the id of the item that a removed object was, or why that is nobody's business."""
    try:
        named = call.shared.buckets.project_of(notice.uri, named=None, caller=call.caller)
        return call.caller.writes_to(named, default=call.shared.index.config.project), notice.uri
    except (InputError, AccessDenied) as error:
        return error


def _ordered(taken: Taken) -> Ordered:
    return Ordered(job=taken.number, id=taken.order.id, project=taken.order.project)


def _ignored(notice: Notice, why: str) -> Ignored:
    return Ignored(event=shown(notice.what), uri=shown(notice.uri), why=why)
