"""What storage says in its webhooks, as it is read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import InputError
from lookalike.http.notices import Notice, notices_of


def supabase(kind: str, *, new: str = "", old: str = "", **fields: Any) -> dict[str, Any]:
    """A webhook of Supabase, as its documentation has it."""
    row = {"id": "8f1f", "bucket_id": "photos", "owner": None, "metadata": {"mimetype": "image/png", "size": 4}}
    return {
        "type": kind,
        "table": "objects",
        "schema": "storage",
        "record": {**row, "name": new} if new else None,
        "old_record": {**row, "name": old} if old else None,
        **fields,
    }


def s3(event: str, key: str = "a.png") -> dict[str, Any]:
    """An event notification of Amazon S3, cut to what counts and a little more."""
    entity = {"s3SchemaVersion": "1.0", "bucket": {"name": "photos", "arn": "..."}, "object": {"key": key, "size": 4}}
    return {"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": event, "s3": entity}]}


def eventbridge(what: str, key: str = "a.png") -> dict[str, Any]:
    """An event of Amazon S3 as EventBridge hands it on, cut to what counts and a little more."""
    detail = {"version": "0", "bucket": {"name": "photos"}, "object": {"key": key, "size": 4}, "reason": "PutObject"}
    return {"version": "0", "detail-type": what, "source": "aws.s3", "detail": detail}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (supabase("INSERT", new="shop a/ü+1.png"), [("s3://photos/shop a/ü+1.png", False)]),
        (supabase("UPDATE", new="a.png", old="a.png"), [("s3://photos/a.png", False)]),
        (supabase("UPDATE", new="b.png", old="a.png"), [("s3://photos/a.png", True), ("s3://photos/b.png", False)]),
        (supabase("DELETE", old="a.PNG"), [("s3://photos/a.PNG", True)]),
        (s3("ObjectCreated:Put", "shop+a/%C3%BC%2B1.png"), [("s3://photos/shop a/ü+1.png", False)]),
        (s3("s3:ObjectCreated:CompleteMultipartUpload"), [("s3://photos/a.png", False)]),
        (s3("ObjectRemoved:DeleteMarkerCreated"), [("s3://photos/a.png", True)]),
        (eventbridge("Object Created", "shop a/ü+1%20.png"), [("s3://photos/shop a/ü+1%20.png", False)]),
        (eventbridge("Object Deleted"), [("s3://photos/a.png", True)]),
    ],
)
def test_what_happened_to_which_object(document: dict[str, Any], expected: list[tuple[str, bool]]) -> None:
    """Created, changed, renamed or removed; names in Amazon's notifications are decoded, others are what they are."""
    assert [(notice.uri, notice.is_gone) for notice in notices_of(document)] == expected
    assert not any(notice.ignored for notice in notices_of(document))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (supabase("INSERT", new="a.png", table="buckets"), "table storage.objects"),
        (supabase("INSERT", new="a.png", schema="public"), "table storage.objects"),
        (supabase("TRUNCATE"), "Only INSERT, UPDATE and DELETE"),
        (supabase("INSERT", new="list.pdf"), "does not promise a picture"),
        (supabase("INSERT", new="shop/.emptyFolderPlaceholder"), "does not promise a picture"),
        (s3("ObjectRestore:Completed"), "created or removed"),
        (s3("ObjectTagging:Put"), "created or removed"),
        (eventbridge("Object Tags Added"), "created or removed"),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}, "no object"),
    ],
)
def test_what_is_nobodys_business_is_said_to_be(document: dict[str, Any], why: str) -> None:
    """One notice, and a reason: a sender gets no error for what it may well say."""
    (notice,) = notices_of(document)
    assert why in notice.ignored


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "INSERT",
        {},
        {"Records": [1]},
        {"source": "aws.s3", "detail-type": "Object Created"},
        {"Records": [{"eventName": "ObjectCreated:Put"}]},
        {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": ""}, "object": {"key": "a"}}}]},
        supabase("INSERT", new="a.png", record={"name": "a.png"}),
        supabase("INSERT", new="a.png", record=[1]),
        {"type": 1, "table": "objects", "schema": "storage"},
    ],
)
def test_what_no_sender_says_is_an_error(document: object) -> None:
    """A webhook that was set up wrong shows: it is not taken for one that tells nothing."""
    with pytest.raises(InputError):
        notices_of(document)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Records", "s3", "bucket", "object", "key", "name", "type", "table", "record", "source", "detail"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_document_is_read_or_refused(document: object) -> None:
    """Whatever stands in it: notices, or an InputError, and nothing else."""
    with suppress(InputError):
        assert all(isinstance(notice, Notice) for notice in notices_of(document))
