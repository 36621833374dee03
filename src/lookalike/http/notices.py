"""What storage says of its objects, read: Supabase's database webhooks, Amazon S3's notifications and events.

Supabase: supabase.com/docs/guides/database/webhooks, "Payload", on the table storage.objects. Amazon, below
docs.aws.amazon.com/AmazonS3/latest/userguide: notification-content-structure.html, which MinIO speaks too, and
ev-events.html (EventBridge), where keys are not percent-encoded.
Loads nothing of the web framework.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from lookalike.errors import InputError
from lookalike.sources.folder import PICTURE_SUFFIXES

SCHEME = "s3://"
"""Both name objects that are read by S3's protocol, Supabase Storage at its S3 endpoint."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened to one object, or why it is nobody's business.

    Attributes:
        what: As the sender calls it: "INSERT", "ObjectCreated:Put".
        uri: The object.
        is_gone: Whether it was removed.
        ignored: Why nothing is done about it; empty otherwise.
    """

    what: str
    uri: str = ""
    is_gone: bool = False
    ignored: str = ""


def notices_of(document: object) -> list[Notice]:
    """What a webhook tells. InputError if it is not what any known sender would say."""
    fields = _object(document)
    if isinstance(fields.get("Records"), list):
        return [_s3_notice(_object(record)) for record in fields["Records"]]
    if "table" in fields and "type" in fields:
        return list(_supabase_notices(fields))
    if fields.get("source") == "aws.s3":
        return [_eventbridge_notice(fields)]
    if "Event" in fields:
        return [Notice(_text(fields, "Event"), ignored="It tells of no object.")]
    raise InputError("This is neither a webhook of Supabase's storage.objects nor an event of Amazon S3.")


def shown(text: str) -> str:
    """A text of JSON as it may be written: half a surrogate pair, which JSON may have and UTF-8 may not, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _s3_notice(record: Mapping[str, Any]) -> Notice:
    what = _text(record, "eventName")
    kind = what.removeprefix("s3:").partition(":")[0]
    if kind not in ("ObjectCreated", "ObjectRemoved"):
        return Notice(what, ignored="Only what is created or removed counts.")
    bucket, key = _bucket_and_key(_object(record.get("s3")))
    return _about(what, bucket, unquote_plus(key), is_gone=kind == "ObjectRemoved")


def _eventbridge_notice(event: Mapping[str, Any]) -> Notice:
    what = _text(event, "detail-type")
    if what not in ("Object Created", "Object Deleted"):
        return Notice(what, ignored="Only what is created or removed counts.")
    bucket, key = _bucket_and_key(_object(event.get("detail")))
    return _about(what, bucket, key, is_gone=what == "Object Deleted")


def _bucket_and_key(entity: Mapping[str, Any]) -> tuple[str, str]:
    return _text(_object(entity.get("bucket")), "name"), _text(_object(entity.get("object")), "key")


def _supabase_notices(fields: Mapping[str, Any]) -> Iterator[Notice]:
    """Of a row that was changed two, if the object has another name now."""
    what = _text(fields, "type")
    if (fields.get("schema"), fields.get("table")) != ("storage", "objects"):
        yield Notice(what, ignored="Only the table storage.objects counts.")
        return
    before, after = fields.get("old_record"), fields.get("record")
    old = _place_of(_object(before)) if before and what in ("UPDATE", "DELETE") else None
    new = _place_of(_object(after)) if after and what in ("INSERT", "UPDATE") else None
    if old is None and new is None:
        yield Notice(what, ignored="Only INSERT, UPDATE and DELETE of an object count.")
    if old is not None and old != new:
        yield _about(what, *old, is_gone=True)
    if new is not None:
        yield _about(what, *new, is_gone=False)


def _place_of(row: Mapping[str, Any]) -> tuple[str, str]:
    return _text(row, "bucket_id"), _text(row, "name")


def _about(what: str, bucket: str, key: str, *, is_gone: bool) -> Notice:
    uri = f"{SCHEME}{bucket}/{key}"
    if shown(uri) != uri:
        return Notice(what, uri, is_gone, ignored="Its name has half a surrogate pair in it, which is no text.")
    if not key.lower().endswith(PICTURE_SUFFIXES):
        return Notice(what, uri, is_gone, ignored="Its name does not promise a picture.")
    return Notice(what, uri, is_gone)


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError("The webhook has something else in the place of an object (JSON).")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise InputError("is missing, or is no text.", item=name)
    return value
