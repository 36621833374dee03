"""Clients that hand pictures in: to a service that misbehaves, and to a real one, until they are found."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lookalike import Client, Config, Index, NewItem, aio
from lookalike.client import RemoteJob
from lookalike.config import ServeSettings
from lookalike.errors import ImageError, InputError, JobNotFound, ProviderError, StoreNotFound
from lookalike.orders import JobState
from lookalike.retry import RetryPolicy
from tests.integration.hostile_service import Service, half, refuses, says
from tests.pictures import noise, picture
from tests.serving import Running, opened, serving

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


def test_half_a_character_keeps_no_others_out(hostile: Service, client: Client) -> None:
    """A picture whose id, caption or metadata holds half a surrogate pair is its own failure, with a name to print."""
    hostile.faults = [says(taken(0), 202)]
    halves: list[dict[str, Any]] = [{"id": "\ud800"}, {"id": "a", "caption": "\ud800"}, {"metadata": {"a": "\ud800"}}]
    items = [NewItem(image=b"a", **said) for said in halves]
    found = client.add_items([*items, NewItem(image=b"b")], on_error="collect")
    assert [f.item for f in found.failures] == ["\\ud800", "a", "items[2]"]
    assert [f.reason.split(" holds")[0] for f in found.failures] == ["The id", "The caption", "The metadata"]
    assert [seen.body["items"] for seen in hostile.seen] == [[{"image": b64(b"b")}]]


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


def test_a_picture_that_is_too_large_is_left_out_alone(hostile: Service, client: Client) -> None:
    """One that fills a request by itself, and that the service has no room for, does not keep the others out."""
    said = {"error": {"type": "TooLarge", "message": "The body is too large.", "actual": 9, "limit": 5}}
    hostile.faults = [says(taken(0), 202), says(said, 413), says(taken(0), 202)]
    items = [NewItem(image=data) for data in (b"a", b"b" * (17 << 20), b"c")]
    found = client.add_items(items, on_error="collect")
    assert len(found.jobs) == 2
    assert [(f.position, f.item, f.kind) for f in found.failures] == [(1, "items[1]", "TooLarge")]


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


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with the built-in model over an index of one picture, as the command opens it."""
    home = tmp_path_factory.mktemp("shop")
    config = replace(
        Config.from_environ(), model="tiny", index=home / "index", serve=ServeSettings(workers=2, allow_urls=True)
    )
    (home / "first.png").write_bytes(picture("blue"))
    with Index.create(config=config) as index:
        index.ingest([home / "first.png"])
    with (
        opened(config) as context,
        serving(
            context.service,
            index=context.index,
            intake=context.intake,
            feeding=context.feeding,
            metrics=context.metrics,
        ) as running,
    ):
        yield running


@pytest.fixture
def client_of_shop(shop: Running) -> Iterator[Client]:
    with Client(shop.url) as client:
        yield client


def ended(client: Client, number: int) -> RemoteJob:
    """The job, once it has ended."""
    until = time.monotonic() + FOUND_S
    while (job := client.job(number)).state not in (JobState.DONE, JobState.DEAD):
        assert time.monotonic() < until, job
        threading.Event().wait(0.02)
    return job


def test_what_is_handed_in_is_found(shop: Running, client_of_shop: Client) -> None:
    """From the first byte to the search: the item with what its owner said of it, and its picture from the service."""
    client = client_of_shop
    index = shop.context.index.config.index
    assert not (Path(str(index)) / "jobs.sqlite").exists()  # an index that nobody orders anything for is left alone
    item = NewItem(image=PINK, id="pink", project="new", caption="a pink thing", metadata={"colour": "pink"})
    (job,) = client.add_items([item])
    assert ended(client, job.number).state == JobState.DONE
    (hit,) = client.search(image=PINK, project="new")
    assert (hit.item.id, hit.item.caption) == ("pink", "a pink thing")
    assert hit.item.metadata == {"file_type": "png", "colour": "pink"}
    assert hit.item.content == sha256(PINK).hexdigest()
    assert hit.similarity > 0.999
    assert client.picture("pink", project="new") == PINK
    assert client.thumbnail("pink", project="new")[:4] == b"RIFF"
    events = shop.client.get("/stats").json()["events"]
    assert (events["ordered"], events["indexed"]) == (1, 1)


def test_handing_in_twice_is_handing_in_once(shop: Running, client_of_shop: Client) -> None:
    """One item, one file, one vector; and another item of the same bytes has neither file nor vector of its own."""
    data = noise(11)
    for item_id in ("same", "same", "other"):
        (job,) = client_of_shop.add_items([NewItem(image=data, id=item_id, project="twice")])
        assert ended(client_of_shop, job.number).state == JobState.DONE
    found = client_of_shop.search(image=data, project="twice")
    assert sorted(hit.item.id for hit in found) == ["other", "same"]
    (uri,) = {hit.item.uri for hit in found}
    assert Path(uri).read_bytes() == data
    folder = Path(str(shop.context.index.config.index)) / "uploads"
    assert len(list(folder.rglob(f"{sha256(data).hexdigest()}*"))) == 1


def test_a_new_picture_takes_the_place_of_the_old(client_of_shop: Client) -> None:
    """An item that is handed in again is found by its new picture, and not by its old one."""
    for seed in (21, 22):
        (job,) = client_of_shop.add_items([NewItem(image=noise(seed), id="changing", project="changed")])
        ended(client_of_shop, job.number)
    (hit,) = client_of_shop.search(image=noise(22), project="changed")
    assert hit.item.content == sha256(noise(22)).hexdigest()


def test_a_batch_with_bad_ones_among_good(client_of_shop: Client) -> None:
    """What the door sees is refused at once, what a decoder sees ends its job with the reason, others are found."""
    whole = noise(31, kind="JPEG")
    items = [
        NewItem(image=data, id=f"{n}", project="mixed")
        for n, data in enumerate([noise(30), b"no picture", whole, whole[: len(whole) // 2], noise(33)[:-30]])
    ]
    taken = client_of_shop.add_items(items, on_error="collect")
    assert [(failure.item, failure.kind) for failure in taken.failures] == [
        ("1", "UnsupportedMedia"),
        ("4", "ImageError"),
    ]
    found = {job.id: ended(client_of_shop, job.number) for job in taken}
    assert {name: job.state.value for name, job in found.items()} == {"0": "done", "2": "done", "3": "dead"}
    assert "cut off or damaged" in found["3"].reason
    assert client_of_shop.search(text="anything", project="mixed").considered == 2


def test_an_item_that_was_taken_out_is_not_found(shop: Running, client_of_shop: Client) -> None:
    """While others are handed in; and handed in again it is back."""
    item = NewItem(image=noise(41), id="comes and goes", project="gone")
    others = [NewItem(image=noise(400 + n), project="gone") for n in range(20)]
    (job,) = client_of_shop.add_items([item])
    ended(client_of_shop, job.number)
    jobs = client_of_shop.add_items(others).jobs
    response = shop.client.delete("/items/comes%20and%20goes", params={"project": "gone"})
    assert response.json() == {"removed": 1}
    for one in jobs:
        ended(client_of_shop, one.number)
    assert client_of_shop.search(text="anything", project="gone").considered == 20
    (job,) = client_of_shop.add_items([item])
    ended(client_of_shop, job.number)
    assert client_of_shop.item("comes and goes", project="gone").content == sha256(noise(41)).hexdigest()


def test_the_async_client_hands_in_as_well(shop: Running) -> None:
    """The same calls, to await."""

    async def run() -> None:
        async with aio.Client(shop.url) as client:
            jobs = await client.add_items([NewItem(image=noise(51), id="async", project="async")])
            assert (await client.job(jobs.jobs[0].number)).id == "async"

    asyncio.run(run())
