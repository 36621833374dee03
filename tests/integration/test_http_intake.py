"""Pictures that are handed in over HTTP: looked at, kept, ordered, and what becomes of the orders."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import quote

import pytest
from httpx2 import Response

from lookalike import app
from lookalike.config import Config, ServeSettings
from lookalike.errors import ImageError, StoreFull
from lookalike.http.admission import MAX_FACTS_BYTES
from lookalike.http.feeding import Feeding
from lookalike.http.fetching import Fetcher
from lookalike.http.intake import Intake
from lookalike.http.opening import open_queue
from lookalike.metrics import Metrics
from lookalike.orders import Claim, JobState, Order, PictureKeeper
from lookalike.places import Address
from lookalike.sources.uploads import FolderKeeper
from lookalike.store.embedded import open_store
from lookalike.working import Lending
from tests.catalogued import EMBEDDER, Catalogue, catalogue, collection
from tests.documented import commands, needs_curl, require_success, section
from tests.pictures import noise, picture
from tests.postgres import NewDatabase
from tests.serving import InlineService, Running, serving

PINK = picture((255, 0, 128))
CUT = noise(1, kind="PNG")[:-20]
CALLERS = (
    "looks search key-that-only-looks-here;writes write key-that-writes-everything;"
    "shop-a write,search key-of-the-shop-named-a shop-a;both write,search key-of-both-the-shops shop-a,shop-b"
)


@contextmanager
def taking(of: Catalogue, keeper: PictureKeeper | None, *, working: bool = False, **settings: Any) -> Iterator[Running]:
    """A service over a catalogue, and its queue; nobody does what is ordered, unless the service is to."""
    behind, metrics, stopping, chosen = InlineService(EMBEDDER), Metrics(), Event(), ServeSettings(**settings)
    lending = Lending(partial(app.open_store, of.config.index, write=True), stopping)
    folder = Path(str(of.config.index))
    feeding = Feeding(folder, of.config, lending=lending, recorder=metrics, stopping=stopping) if working else None
    intake = Intake(partial(open_queue, of.config.index), keeper, lending, feeding.wake if feeding else lambda: None)
    with (
        collection(of, behind) as index,
        serving(
            behind,
            index=index,
            settings=chosen,
            intake=intake,
            feeding=feeding,
            fetcher=Fetcher.of(chosen),
            metrics=metrics,
        ) as running,
    ):
        yield running
    if feeding:
        feeding.close()
    intake.close()
    behind.close(drain_s=0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    """Everybody may write; URLs and two buckets are allowed."""
    keeper = FolderKeeper(shop.config.index / "uploads")  # type: ignore[operator]
    with taking(shop, keeper, allow_urls=True, buckets=("s3://photos", "s3://a=shop-a")) as running:
        yield running


def taken(service: Running, **request: Any) -> list[dict[str, Any]]:
    """The jobs of a request that is taken whole."""
    response = service.client.post("/items", **request)
    assert response.status_code == 202, response.text
    assert response.json()["errors"] == []
    return response.json()["jobs"]  # type: ignore[no-any-return]


def job(service: Running, number: int) -> dict[str, Any]:
    response = service.client.get(f"/jobs/{number}")
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


def refused(service: Running, status: int, **request: Any) -> dict[str, Any]:
    """The error of a request of which nothing is taken."""
    response = service.client.post("/items", **request)
    assert response.status_code == status, response.text
    return response.json()["error"]  # type: ignore[no-any-return]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_picture_may_be_handed_in_in_any_way(service: Running) -> None:
    """Base64, a data URI, a form, bytes: an order each, on record with the caller's facts, and the bytes are kept."""
    facts = {"id": "pink", "project": "shop", "caption": "a pink thing"}
    query = {**facts, "metadata": ["colour:pink", "size:a:b"]}
    png = {"content-type": "image/png"}
    (first,) = taken(service, json={**facts, "metadata": {"colour": "pink", "size": "a:b"}, "image": b64(PINK)})
    (second,) = taken(service, json={**facts, "image": f"data:image/png;base64,{b64(PINK)}"})
    (third,) = taken(service, params=query, files={"image": ("other.png", PINK)})
    (fourth,) = taken(service, params=query, content=PINK, headers=png)
    for answer in (first, second, third, fourth):
        assert (answer["id"], answer["project"], answer["index"]) == ("pink", "shop", 0)
        assert answer["content"] == sha256(PINK).hexdigest()
        assert answer["state"] == "waiting"
        assert Path(job(service, answer["job"])["uri"]).read_bytes() == PINK
    queue = app.open_queue(service.context.index.config.index)
    for answer in (first, third, fourth):
        (found,) = queue.look_up([answer["job"]])
        assert found is not None
        assert (found.order.caption, found.order.metadata) == ("a pink thing", {"colour": "pink", "size": "a:b"})


def test_what_has_no_name_gets_one(service: Running) -> None:
    """A file its own, bytes that of their content, what lies elsewhere its place; the project is the service's own."""
    jobs = [
        *taken(service, files=[("image", ("2026/märz/a.png", PINK)), ("image", ("b.png", noise(2)))]),
        *taken(service, content=PINK, headers={"content-type": "application/octet-stream"}),
        *taken(service, json={"uri": "s3://photos/dresses/a.png"}),
        *taken(service, json={"url": "https://example.com/a.png?size=1"}),
    ]
    assert [(one["id"], one["project"]) for one in jobs] == [
        ("2026/märz/a.png", "default"),
        ("b.png", "default"),
        (sha256(PINK).hexdigest(), "default"),
        ("s3://photos/dresses/a.png", "default"),
        ("https://example.com/a.png?size=1", "default"),
    ]
    assert [one["content"] for one in jobs[-2:]] == [None, None]


def test_a_batch_answers_each_picture_for_itself(service: Running) -> None:
    """Bad ones among good: each has its sentence at its place, the others their jobs; none is without either."""
    items = [
        {"id": "good", "image": b64(PINK)},
        {"id": "cut", "image": b64(CUT)},
        {"id": "text", "image": b64(b"no picture")},
        {"id": "foreign", "image": "***"},
        {"id": "empty", "image": ""},
        {"id": "both", "image": b64(PINK), "uri": "s3://photos/a.png"},
        {"id": "good", "image": b64(noise(3))},
        {"uri": "s3://elsewhere/a.png"},
        {"uri": "/etc/passwd"},
        {"url": "http://127.0.0.1/a.png"},
        {"url": "http://user:secret@example.com/a.png"},
        {"id": "x" * 2001, "image": b64(PINK)},
        {"id": "null\0", "image": b64(PINK)},
        {"caption": "null\0", "image": b64(PINK)},
        {"caption": "x" * (MAX_FACTS_BYTES + 1), "image": b64(PINK)},
        {"metadata": {"a": "x" * 10_000, "b": "x" * 10_000}, "image": b64(PINK)},
        {"metadata": {"null\0": ""}, "image": b64(PINK)},
        {"metadata": {f"key{n}": "" for n in range(101)}, "image": b64(PINK)},
        {"caption": "ü" * (MAX_FACTS_BYTES // 2), "uri": "s3://photos/b.png"},
    ]
    response = service.client.post("/items", json={"project": "batch", "items": items})
    answer = response.json()
    assert response.status_code == 202
    assert [(one["index"], one["id"], one["project"]) for one in answer["jobs"]] == [
        (0, "good", "batch"),
        (18, "s3://photos/b.png", "batch"),
    ]
    assert {error["index"]: error["type"] for error in answer["errors"]} == {
        1: "ImageError",
        2: "UnsupportedMedia",
        3: "InputError",
        4: "InputError",
        5: "InputError",
        6: "InputError",
        7: "AccessDenied",
        8: "InputError",
        9: "InputError",
        10: "InputError",
        11: "TooLarge",
        12: "InputError",
        13: "InputError",
        14: "TooLarge",
        15: "TooLarge",
        16: "InputError",
        17: "TooLarge",
    }
    assert all(error["item"] == f"items[{error['index']}]" for error in answer["errors"])
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (422, {"content": CUT, "headers": {"content-type": "image/png"}}),
        (422, {"content": b"", "headers": {"content-type": "image/png"}}),
        (415, {"content": b"GIF", "headers": {"content-type": "image/gif"}}),
        (415, {"content": PINK, "headers": {"content-type": "text/plain"}}),
        (415, {"files": {"image": ("a.svg", b"<svg/>")}}),
        (422, {"files": {"picture": ("a.png", PINK)}}),
        (422, {"files": [("image", ("a", PINK)), ("image", ("b", PINK))], "params": {"id": "c"}}),
        (422, {"content": PINK, "headers": {"content-type": "image/png"}, "params": {"metadata": "colour"}}),
        (422, {"content": PINK, "headers": {"content-type": "image/png"}, "params": {"metadata": ["c:a", "c:b"]}}),
        (422, {"content": PINK, "headers": {"content-type": "image/png"}, "params": {"name": "a"}}),
        (422, {"json": {"image": b64(PINK)}, "params": {"id": "a"}}),
        (422, {"json": {"items": []}}),
        (422, {"json": {"items": [{"uri": "s3://photos/a.png"}], "caption": "of all"}}),
        (422, {"json": {"id": "a"}}),
        (422, {"json": {"image": b64(PINK), "metadata": {"price": 12}}}),
        (422, {"json": {"image": b64(PINK), "name": "a"}}),
        (413, {"json": {"items": [{"uri": f"s3://photos/{n}.png"} for n in range(257)]}}),
        (403, {"json": {"uri": "s3://elsewhere/a.png"}}),
        (403, {"json": {"uri": "s3://a/a.png", "project": "shop-b"}}),
    ],
)
def test_what_cannot_be_taken_is_refused_at_once(service: Running, status: int, request_: dict[str, Any]) -> None:
    """A sentence and the status that fits; nothing is ordered, and nothing kept."""
    before = orders(service)
    assert refused(service, status, **request_)["message"].endswith(".")
    assert orders(service) == before


def orders(service: Running) -> int:
    """How many orders there have been so far."""
    queue = app.open_queue(service.context.index.config.index)
    return sum(1 for state in JobState for _ in queue.page(state=state, project=None, above=0, limit=1000))


def test_a_file_over_the_budget_is_refused(shop: Catalogue, tmp_path: Path) -> None:
    """More bytes than are indexed: said at the door, with both numbers, and not by a job hours later."""
    with taking(replace(shop, config=replace(shop.config, max_bytes=100)), FolderKeeper(tmp_path)) as service:
        error = refused(service, 413, content=noise(4), headers={"content-type": "image/png"})
    assert (error["type"], error["limit"], error["actual"]) == ("TooLarge", 100, len(noise(4)))


def test_without_an_index_nothing_is_kept(tmp_path: Path) -> None:
    """404 with a sentence, as for a search; no folder is made, and nothing lies in it."""
    config = replace(Config.from_environ({}), index=tmp_path / "index", cache_dir=tmp_path / "cache")
    with taking(Catalogue(tmp_path, config), FolderKeeper(tmp_path / "index" / "uploads")) as service:
        error = refused(service, 404, content=PINK, headers={"content-type": "image/png"})
        assert error["type"] == "StoreNotFound"
        assert service.client.get("/jobs").status_code == 404
        assert service.client.delete("/items/a").status_code == 404
    assert not (tmp_path / "index").exists()


def test_without_a_place_to_keep_them_bytes_are_refused(shop: Catalogue) -> None:
    """403 that names the setting; what lies elsewhere is ordered all the same."""
    with taking(shop, None, buckets=("s3://photos",)) as service:
        assert "LOOKALIKE_UPLOADS" in refused(service, 403, files={"image": ("a.png", PINK)})["message"]
        answer = service.client.post("/items", json={"items": [{"image": b64(PINK)}, {"uri": "s3://photos/a.png"}]})
        assert [one["index"] for one in answer.json()["jobs"]] == [1]
        assert [one["type"] for one in answer.json()["errors"]] == ["AccessDenied"]


def test_urls_are_taken_where_the_service_fetches_them(shop: Catalogue) -> None:
    """Not unless it was told to, and then of the hosts that it was told."""
    with taking(shop, None) as service:
        assert "LOOKALIKE_ALLOW_URLS" in refused(service, 403, json={"url": "https://example.com/a.png"})["message"]
    with taking(shop, None, allow_urls=True, url_hosts=("example.com",)) as service:
        taken(service, json={"url": "https://cdn.example.com/a.png"})
        assert "does not fetch from" in refused(service, 422, json={"url": "https://example.org/a.png"})["message"]
    with taking(shop, None, allow_urls=True) as service:
        assert "public internet" in refused(service, 422, json={"uri": "http://[::1]/a.png"})["message"]


class Full:
    """A place without room."""

    def keep(self, data: bytes, *, content: str) -> str:
        raise StoreFull("No room is left.")


def test_what_cannot_be_kept_is_not_ordered(shop: Catalogue) -> None:
    """A full disk is the service's fault, with its status; in a batch what needs no room is ordered."""
    with taking(shop, Full(), buckets=("s3://photos",)) as service:
        before = orders(service)
        assert refused(service, 503, files={"image": ("a.png", PINK)})["type"] == "StoreFull"
        assert refused(service, 503, json={"items": [{"image": b64(PINK)}, {"image": b64(noise(5))}]})
        assert orders(service) == before
        answer = service.client.post("/items", json={"items": [{"image": b64(PINK)}, {"uri": "s3://photos/full.png"}]})
        assert (answer.status_code, len(answer.json()["jobs"]), len(answer.json()["errors"])) == (202, 1, 1)
        assert orders(service) == before + 1


def test_an_index_in_the_place_of_another_has_the_orders(tmp_path: Path) -> None:
    """Orders go to the queue of the index that is there; where one was deleted, nothing lies in the next one's way."""
    first = catalogue(tmp_path / "first")
    folder = Path(str(first.config.index))
    with taking(first, FolderKeeper(folder / "uploads")) as service:
        taken(service, files={"image": ("a.png", PINK)})
        shutil.rmtree(folder)
        assert refused(service, 404, files={"image": ("b.png", PINK)})["type"] == "StoreNotFound"
        assert not folder.exists()
        shutil.copytree(str(catalogue(tmp_path / "second").config.index), str(first.config.index))
        (answer,) = taken(service, files={"image": ("c.png", PINK)})
        (found,) = app.open_queue(first.config.index).look_up([answer["job"]])
        assert found is not None and found.order.id == "c.png"


def test_a_key_needs_the_scope_write(shop: Catalogue, tmp_path: Path) -> None:
    """One that only looks changes nothing and sees no orders; one that only writes sees no items."""
    with taking(shop, FolderKeeper(tmp_path), api_keys=CALLERS) as service:
        for method, path in (("POST", "/items"), ("GET", "/jobs"), ("GET", "/jobs/1"), ("DELETE", "/items/a")):
            assert service.client.request(method, path).status_code == 401
            assert ask(service, method, path, key="key-that-only-looks-here").status_code == 403
        assert ask(service, "POST", "/hooks/storage", key="key-that-only-looks-here", json={}).status_code == 403
        assert (
            ask(service, "POST", "/jobs/replay", key="key-that-only-looks-here", json={"jobs": [1]}).status_code == 403
        )
        assert ask(service, "GET", "/jobs", key="key-that-writes-everything").status_code == 200
        assert ask(service, "GET", "/items", key="key-that-writes-everything").status_code == 403


def ask(service: Running, method: str, path: str, *, key: str, **request: Any) -> Response:
    return service.client.request(method, path, headers={"x-api-key": key}, **request)


def test_a_key_for_a_project_is_kept_to_it(shop: Catalogue, tmp_path: Path) -> None:
    """It orders for its own project, unasked, and neither sees nor replays the orders of others."""
    only_a, both, everything = "key-of-the-shop-named-a", "key-of-both-the-shops", "key-that-writes-everything"
    with taking(shop, FolderKeeper(tmp_path), api_keys=CALLERS, buckets=("s3://photos", "s3://b=shop-b")) as service:

        def order(key: str, **params: str) -> Response:
            return ask(service, "POST", "/items", key=key, params=params, files={"image": ("a.png", PINK)})

        assert order(only_a).json()["jobs"][0]["project"] == "shop-a"
        assert [order(only_a, project="shop-b").status_code, order(both).status_code] == [403, 422]
        (foreign,) = order(both, project="shop-b").json()["jobs"]
        for uri in ("s3://photos/a.png", "s3://b/a.png"):
            assert ask(service, "POST", "/items", key=only_a, json={"uri": uri}).status_code == 403
        queue = app.open_queue(shop.config.index)
        ended(shop, lambda order: order.project == "shop-b")
        assert queue.look_up([foreign["job"]])[0].state == "dead"  # type: ignore[union-attr]

        number = foreign["job"]
        absent, hidden = (ask(service, "GET", f"/jobs/{n}", key=only_a) for n in (10**9, number))
        assert (absent.status_code, hidden.status_code) == (404, 404)
        assert hidden.json()["error"]["message"] == absent.json()["error"]["message"].replace(str(10**9), str(number))
        assert ask(service, "GET", f"/jobs?job={number}", key=only_a).json()["jobs"] == []
        assert ask(service, "GET", "/jobs?state=dead", key=only_a).json()["jobs"] == []
        assert ask(service, "GET", "/jobs?state=dead&project=shop-b", key=only_a).json()["jobs"] == []
        assert ask(service, "POST", "/jobs/replay", key=only_a, json={"jobs": [number]}).json() == {"replayed": []}
        assert ask(service, "DELETE", "/items/a.png?project=shop-b", key=only_a).status_code == 403
        assert ask(service, "POST", "/jobs/replay", key=everything, json={"jobs": [number]}).json() == {
            "replayed": [number]
        }


def ended(of: Catalogue, is_bad: Callable[[Order], bool]) -> None:
    """End every order that waits: dead where it is bad, else done."""
    queue, stopping = app.open_queue(of.config.index), Event()

    def do(order: Order, _: Claim) -> None:
        if is_bad(order):
            raise ImageError("The file is cut off.", item=order.uri)

    worker = Thread(target=partial(app.open_feed(of.config.index).work, do, concurrency=4, stopping=stopping))
    worker.start()
    until = time.monotonic() + 20
    while any(queue.page(state=JobState(s), project=None, above=0, limit=1) for s in ("waiting", "working")):
        assert time.monotonic() < until
        stopping.wait(0.02)
    stopping.set()
    worker.join()


def test_jobs_are_told_by_number_and_by_state(shop: Catalogue, tmp_path: Path) -> None:
    """One, some, those in a state page by page; the dead begin anew when they are told to, and others do not."""
    with taking(shop, FolderKeeper(tmp_path)) as service:
        ended(shop, lambda _: False)
        items = [{"id": f"{n:02}", "project": "states", "image": b64(noise(n))} for n in range(7)]
        numbers = [one["job"] for one in taken(service, json={"items": items})]
        ended(shop, lambda order: order.id != "03")
        one = job(service, numbers[0])
        assert (one["state"], one["attempts"], one["reason"].endswith("is cut off.")) == ("dead", 1, True)
        assert one["ordered_s"] <= one["changed_s"]
        some = service.client.get("/jobs", params={"job": [*numbers[2:4], 10**12]}).json()
        assert [(one["id"], one["state"]) for one in some["jobs"]] == [("02", "dead"), ("03", "done")]
        found, above = [], 0
        while above is not None:
            page = service.client.get("/jobs", params={"project": "states", "above": above, "limit": 2}).json()
            found += [one["id"] for one in page["jobs"]]
            above = page["next"]
        assert found == ["00", "01", "02", "04", "05", "06"]
        answer = service.client.post("/jobs/replay", json={"jobs": [numbers[0], numbers[3], 10**12]})
        assert answer.json() == {"replayed": [numbers[0]]}
        assert job(service, numbers[0])["state"] == "waiting"


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (404, "GET", "/jobs/999999999", None),
        (422, "GET", "/jobs/first", None),
        (422, "GET", f"/jobs/{2**63}", None),
        (422, "GET", "/jobs?state=lost", None),
        (422, "GET", "/jobs?limit=0", None),
        (422, "GET", "/jobs?job=1&state=dead", None),
        (422, "GET", "/jobs?number=1", None),
        (422, "POST", "/jobs/replay", {"jobs": []}),
        (422, "POST", "/jobs/replay", {"jobs": ["1"]}),
        (422, "POST", "/jobs/replay", {"job": 1}),
    ],
)
def test_questions_about_jobs_are_checked(service: Running, status: int, method: str, path: str, body: Any) -> None:
    """What no job can be called, and what is not known, is an error with a sentence."""
    response = service.client.request(method, path, json=body)
    assert response.status_code == status
    assert response.json()["error"]["message"].endswith(".")


def test_an_item_is_taken_out(tmp_path: Path) -> None:
    """It is not found from then on, its file stays, and a second time it is not there; other projects keep theirs."""
    own = catalogue(tmp_path / "own")
    with taking(own, None) as service:
        path = f"/items/{quote(own.path('red'), safe='')}"
        assert service.client.delete(path).status_code == 404
        assert service.client.delete(path, params={"project": "warm"}).json() == {"removed": 1}
        assert service.client.get(path, params={"project": "warm"}).status_code == 404
        assert service.client.delete(path, params={"project": "warm"}).status_code == 404
        assert service.client.get(f"/items/{quote(own.path('blue'), safe='')}").status_code == 200
    assert Path(own.path("red")).is_file()


def test_a_removal_waits_for_its_turn(tmp_path: Path) -> None:
    """While another process writes it waits, and is refused as something to try again when its time is over."""
    own = catalogue(tmp_path / "own")
    with taking(own, None) as service:
        path = f"/items/{quote(own.path('blue'), safe='')}"
        with ThreadPoolExecutor(1) as pool, open_store(own.config.index, write=True):
            late = service.client.delete(path, headers={"x-request-timeout": "1"})
            assert (late.status_code, late.json()["error"]["type"]) == (503, "StoreLocked")
            assert late.json()["error"]["retryable"]
            waiting = pool.submit(service.client.delete, path)
        assert waiting.result().json() == {"removed": 1}


def test_orders_for_an_index_in_postgresql(new_database: NewDatabase, tmp_path: Path) -> None:
    """Ordered and looked up; bytes only where there is a place for them; without an index nothing is ordered."""
    place = Address(new_database().reveal())
    config = replace(Config.from_environ({}), index=place, cache_dir=tmp_path / "cache")
    own = Catalogue(tmp_path, config)
    with taking(own, None, buckets=("s3://photos",)) as service:
        assert refused(service, 404, json={"uri": "s3://photos/a.png"})["type"] == "StoreNotFound"
        assert service.client.get("/jobs").status_code == 404
        assert service.client.delete("/items/a").status_code == 404
        app.create_store(place, EMBEDDER.space).close()
        (answer,) = taken(service, json={"uri": "s3://photos/a.png", "caption": "'; DROP TABLE items; --"})
        assert job(service, answer["job"])["state"] == "waiting"
        assert service.client.delete("/items/a").status_code == 404
        assert "LOOKALIKE_UPLOADS" in refused(service, 403, files={"image": ("a.png", PINK)})["message"]
        records = {"Records": [record("ObjectCreated:Put", "photos", "b.png")]}
        assert len(service.client.post("/hooks/storage", json=records).json()["jobs"]) == 1
    with taking(own, FolderKeeper(tmp_path / "uploads")) as service:
        (answer,) = taken(service, files={"image": ("a.png", PINK)})
        assert Path(job(service, answer["job"])["uri"]).read_bytes() == PINK


def test_search_has_a_second_name(service: Running) -> None:
    """POST /items:search is POST /search/images: the same question, the same answer."""
    question = {"text": "red", "limit": 3}
    one, other = (service.client.post(path, json=question).json() for path in ("/items:search", "/search/images"))
    assert one["hits"] == other["hits"]
    assert len(one["hits"]) == 3


def test_a_webhook_orders_what_was_uploaded(service: Running, shop: Catalogue) -> None:
    """Of Supabase and of Amazon S3: the object is an item by its address, in the project that its bucket has."""
    supabase = {
        "type": "INSERT",
        "table": "objects",
        "schema": "storage",
        "record": {"bucket_id": "photos", "name": "hook/1.png"},
    }
    answer = service.client.post("/hooks/storage", json=supabase)
    assert answer.status_code == 200, answer.text
    assert [(one["id"], one["project"]) for one in answer.json()["jobs"]] == [("s3://photos/hook/1.png", "default")]
    records = [record("ObjectCreated:Put", "a", "x+%C3%BC.png"), record("ObjectCreated:Put", "secret", "a.png")]
    answer = service.client.post("/hooks/storage", json={"Records": [*records, records[0]]})
    assert [(one["id"], one["project"]) for one in answer.json()["jobs"]] == [("s3://a/x ü.png", "shop-a")]
    (ignored,) = answer.json()["ignored"]
    assert (ignored["event"], ignored["uri"]) == ("ObjectCreated:Put", "s3://secret/a.png")
    assert "LOOKALIKE_BUCKETS" in ignored["why"]


def record(event: str, bucket: str, key: str) -> dict[str, Any]:
    """One entry of an event notification of Amazon S3."""
    return {"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}


def test_a_webhook_with_half_a_surrogate_pair_orders_the_rest(service: Running) -> None:
    """JSON may have one, UTF-8 may not: such a name is ignored and shown escaped, whatever is said of it, and where."""
    half = [
        record(event, bucket, key)
        for event, bucket, key in (
            ("ObjectCreated:Put", "photos", "\ud800.png"),
            ("ObjectCreated:Put", "elsewhere", "\ud800.png"),
            ("ObjectRemoved:Delete", "photos", "\ud800.png"),
            ("Object\ud800", "photos", "a.png"),
        )
    ]
    body = json.dumps({"Records": [*half, record("ObjectCreated:Put", "photos", "whole.png")]})
    answer = service.client.post("/hooks/storage", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert [one["id"] for one in answer.json()["jobs"]] == ["s3://photos/whole.png"]
    ignored = [(one["event"], one["uri"]) for one in answer.json()["ignored"]]
    assert ignored == [
        ("ObjectCreated:Put", r"s3://photos/\ud800.png"),
        ("ObjectCreated:Put", r"s3://elsewhere/\ud800.png"),
        ("ObjectRemoved:Delete", r"s3://photos/\ud800.png"),
        (r"Object\ud800", ""),
    ]


def test_a_webhook_takes_out_what_was_removed(tmp_path: Path) -> None:
    """The item of that object goes; what is not in an allowed bucket, or was never indexed, is nobody's business."""
    own = catalogue(tmp_path / "own")
    for key in ("a.png", "b.png"):
        own.add(key, noise(9), id=f"s3://photos/{key}")
    with taking(own, None, buckets=("s3://photos",)) as service:
        gone = [record("ObjectRemoved:Delete", "photos", key) for key in ("a.png", "never.png")]
        answer = service.client.post(
            "/hooks/storage", json={"Records": [*gone, record("ObjectRemoved:Delete", "other", "b.png")]}
        ).json()
        assert (answer["removed"], answer["jobs"], len(answer["ignored"])) == (1, [], 1)
        assert service.client.get(f"/items/{quote('s3://photos/a.png', safe='')}").status_code == 404
        assert service.client.get(f"/items/{quote('s3://photos/b.png', safe='')}").status_code == 200


def test_what_a_webhook_may_well_say_is_no_error(service: Running) -> None:
    """200 with what is ignored and why; but what no sender says is refused, so that a wrong set-up shows."""
    answer = service.client.post("/hooks/storage", json={"Event": "s3:TestEvent", "Bucket": "photos"})
    assert (answer.status_code, answer.json()["ignored"][0]["event"]) == (200, "s3:TestEvent")
    for body in (b"{", b'{"hello": 1}', b"[]"):
        headers = {"content-type": "application/json"}
        assert service.client.post("/hooks/storage", content=body, headers=headers).status_code == 422
    many = {"Records": [record("ObjectCreated:Put", "photos", f"{n}.png") for n in range(257)]}
    assert service.client.post("/hooks/storage", json=many).status_code == 413


def test_what_was_ordered_before_a_restart_is_done_after_it(tmp_path: Path) -> None:
    """Orders that nobody did when the service ended: the next one does them unasked, and counts them."""
    own = catalogue(tmp_path / "own")
    items = [{"id": "pink", "image": b64(PINK)}, {"id": "cut", "image": b64(noise(6, kind="JPEG")[:-400])}]
    with taking(own, FolderKeeper(tmp_path)) as service:
        pink, cut = taken(service, json={"items": items})
        assert job(service, pink["job"])["state"] == "waiting"
    with taking(own, FolderKeeper(tmp_path), working=True) as service:
        until = time.monotonic() + 20
        while {job(service, one["job"])["state"] for one in (pink, cut)} != {"done", "dead"}:
            assert time.monotonic() < until
            service.context.stopping.wait(0.02)
        assert service.client.get("/items/pink").json()["content"] == sha256(PINK).hexdigest()
        assert "cut off" in job(service, cut["job"])["reason"]
        events = service.client.get("/stats").json()["events"]
        assert (events["indexed"], events["unusable"]) == (1, 1)


def test_orders_are_counted(service: Running) -> None:
    """How many pictures were ordered and how many refused is among the figures."""
    before = service.client.get("/stats").json()["events"]
    service.client.post("/items", json={"items": [{"image": b64(PINK)}, {"image": b64(CUT)}]})
    after = service.client.get("/stats").json()["events"]
    assert after["ordered"] == before.get("ordered", 0) + 1
    assert after["refused"] == before.get("refused", 0) + 1


@needs_curl
def test_every_documented_command_works(service: Running, tmp_path: Path) -> None:
    """Each curl line of docs/http.md on handing pictures in is taken; but for what stands for a picture's base64."""
    lines = commands(section("Handing pictures in", "The page"))
    assert len(lines) >= 3
    for name in ("dress", "hat"):
        (tmp_path / f"{name}.jpg").write_bytes(noise(7, kind="JPEG"))
    for line in lines:
        taken = json.loads(require_success(line, service.url, tmp_path))
        assert taken["jobs"]
        assert len(taken["errors"]) == line.count("...")
