"""Clients that hand pictures in: to a service that misbehaves, and to a real one, until they are found."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike import Client, NewItem
from lookalike.client import RemoteJob
from lookalike.errors import (
    ImageError,
    InputError,
    JobNotFound,
    ProviderError,
    StoreNotFound,
)
from lookalike.retry import RetryPolicy
from lookalike.types import JobState
from tests.integration.hostile_service import Service, half, refuses, says
from tests.pictures import picture

FOUND_S = 30.0
"""How long a test waits until what was handed in is found; it takes a tenth of a second."""

PINK = picture((255, 0, 128))


def taken(*numbers: int, **errors: str) -> dict[str, Any]:
    """The answer to pictures of which those at these places were taken in."""
    jobs = [{"index": n, "job": 100 + n, "id": f"i{n}", "project": "p", "state": "waiting"} for n in numbers]
    failed = [(int(place[1:]), kind) for place, kind in errors.items()]
    return {
        "jobs": jobs,
        "errors": [
            {"index": n, "type": kind, "message": f"items[{n}]: is bad.", "item": f"items[{n}]"} for n, kind in failed
        ],
    }


@pytest.fixture
def hostile() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def client(hostile: Service) -> Iterator[Client]:
    with Client(hostile.url, policy=RetryPolicy(sleep=lambda _: None)) as client:
        yield client


def test_what_is_sent_is_what_was_said(hostile: Service, client: Client, tmp_path: Path) -> None:
    """Bytes, a file under its name, an object of a bucket: with what its owner says of it, and nothing else."""
    (tmp_path / "hat.png").write_bytes(b"hat")
    hostile.faults = [says(taken(0, 1, 2), 202)]
    jobs = client.add_items(
        [
            NewItem(image=b"dress", id="dress", project="p", caption="red", metadata={"colour": "red"}),
            NewItem(image=tmp_path / "hat.png"),
            NewItem(uri="s3://photos/shoe.png"),
        ]
    )
    (seen,) = hostile.seen
    assert (seen.method, seen.path) == ("POST", "/items")
    assert seen.body == {
        "items": [
            {
                "id": "dress",
                "image": b64(b"dress"),
                "project": "p",
                "caption": "red",
                "metadata": {"colour": "red"},
            },
            {"id": "hat.png", "image": b64(b"hat")},
            {"uri": "s3://photos/shoe.png"},
        ]
    }
    assert [job.number for job in jobs] == [100, 101, 102]
    assert jobs.jobs[0] == RemoteJob(number=100, id="i0", project="p", state=JobState.WAITING)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_many_are_sent_in_several_requests(hostile: Service, client: Client, tmp_path: Path) -> None:
    """Jobs come in the caller's order, failures with the caller's places and names, also of what was never sent."""
    items = [NewItem(uri=f"s3://photos/{n}.png", id=f"name {n}") for n in range(70)]
    items[3] = NewItem(image=tmp_path / "absent.png")
    hostile.faults = [
        says(taken(*(n for n in range(64) if n != 10), e10="UnsupportedMedia"), 202),
        says(taken(*range(4), e4="AccessDenied"), 202),
    ]
    found = client.add_items(items, on_error="collect")
    assert [len(seen.body["items"]) for seen in hostile.seen] == [64, 5]
    assert len(found) == 67
    assert [(f.position, f.item, f.kind) for f in found.failures] == [
        (3, "items[3]", "ImageError"),
        (11, "name 11", "UnsupportedMedia"),
        (69, "name 69", "AccessDenied"),
    ]
    assert found.failures[1].reason == "is bad."


def test_the_first_that_is_not_taken_is_raised(hostile: Service, client: Client) -> None:
    """As the class that it was, under the caller's name for it; and one that is no single picture is never sent."""
    hostile.faults = [says(taken(0, e1="ImageError"), 202)]
    with pytest.raises(ImageError, match=r"^cut: is bad\.$"):
        client.add_items([NewItem(image=b"a"), NewItem(image=b"b", id="cut")])
    for nothing in (NewItem(), NewItem(image=b"a", uri="s3://photos/a.png")):
        with pytest.raises(InputError, match="exactly one"):
            client.add_items([nothing])
    assert len(hostile.seen) == 1


@pytest.mark.parametrize(
    "said",
    [
        taken(0),
        taken(0, 1, 2),
        taken(0, 1, e1="ImageError"),
        {"jobs": [{"index": 0, "job": 1}, {"index": 1, "job": 2}], "errors": []},
        {"jobs": [{"index": n, "job": n, "id": "a", "project": "p", "state": "lost"} for n in range(2)]},
        {"jobs": 7},
        {},
        [],
    ],
)
def test_an_answer_that_leaves_a_picture_out_is_none(hostile: Service, client: Client, said: Any) -> None:
    """Each picture has a job or an error, and not both: whatever else comes back is no lookalike service."""
    hostile.faults = [says(said, 202)]
    with pytest.raises(ProviderError, match="does not seem to be a lookalike service"):
        client.add_items([NewItem(image=b"a"), NewItem(image=b"b")])


def test_handing_in_is_tried_again(hostile: Service, client: Client) -> None:
    """Where the service is full or breaks off: to hand in twice is to hand in once. What lasts is said at once."""
    hostile.faults = [half, refuses("Overloaded", 503, retryable=True), says(taken(0), 202)]
    assert len(client.add_items([NewItem(image=b"a")])) == 1
    hostile.faults = [refuses("StoreNotFound", 404)]
    with pytest.raises(StoreNotFound):
        client.add_items([NewItem(image=b"a")])
    assert len(hostile.seen) == 4


def test_a_job_is_looked_up(hostile: Service, client: Client) -> None:
    """Its state, attempts and reason; one that is not known is an error of its own."""
    said = {"job": 7, "id": "a", "project": "p", "state": "dead", "attempts": 2, "reason": "It is cut off."}
    hostile.faults = [says(said), refuses("JobNotFound", 404)]
    assert client.job(7) == RemoteJob(
        number=7, id="a", project="p", state=JobState.DEAD, attempts=2, reason="It is cut off."
    )
    with pytest.raises(JobNotFound):
        client.job(8)
    assert [seen.path for seen in hostile.seen] == ["/jobs/7", "/jobs/8"]
