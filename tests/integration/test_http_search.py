"""Searching over HTTP: every way to ask, filters, refusals, an index that changes underneath."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.config import ServeSettings
from lookalike.encoders.fake import COLOURS, FakeEncoder
from lookalike.errors import InputError, NotReady
from lookalike.health import ServiceStatus
from lookalike.http.collection import N_THREADS
from lookalike.index import Index
from lookalike.query import Part
from lookalike.rollout import Rollout
from lookalike.types import Embedded, Job
from tests.catalogued import EMBEDDER, Catalogue, catalogue, collection
from tests.documented import commands, needs_curl, require_success, section
from tests.pictures import noise, picture
from tests.serving import START_S, InlineService, Running, serving

RED = picture(COLOURS["red"])  # type: ignore[arg-type]


@contextmanager
def searching(of: Catalogue, service: InlineService | None = None, **settings: Any) -> Iterator[Running]:
    """A service over a catalogue."""
    service = service or InlineService(EMBEDDER)
    with collection(of, service) as behind, serving(service, index=behind, settings=ServeSettings(**settings)) as it:
        yield it
    service.close(drain_s=0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    with searching(shop) as running:
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Catalogue:
    """A catalogue that a test may change."""
    return catalogue(tmp_path / "own")


def names(document: dict[str, Any]) -> list[str]:
    return [Path(hit["item"]["id"]).stem for hit in document["hits"]]


def ask(service: Running, **body: Any) -> dict[str, Any]:
    """The answer to a question in JSON."""
    response = service.client.post("/search/images", json=body)
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


@pytest.mark.parametrize("colour", COLOURS)
def test_words_find_what_they_say(service: Running, shop: Catalogue, colour: str) -> None:
    """The answer is the index's own: the same hits, similarities and confidences."""
    document = service.client.get("/search/images", params={"q": f"something {colour}", "limit": 3}).json()
    with Index.open(config=shop.config, embedder=EMBEDDER) as index:
        hits = index.search(text=f"something {colour}", limit=3)
    assert names(document)[0] == colour
    assert [hit["item"]["id"] for hit in document["hits"]] == [hit.item.id for hit in hits]
    assert [hit["similarity"] for hit in document["hits"]] == pytest.approx([h.similarity for h in hits], abs=1e-6)
    assert [hit["confidence"] for hit in document["hits"]] == pytest.approx([h.confidence for h in hits], abs=1e-4)
    assert (document["space"], document["model"]) == (EMBEDDER.space.id, "fake")
    assert document["considered"] == len(COLOURS)


def test_an_answer_says_what_an_item_is_and_where_to_see_it(service: Running, shop: Catalogue) -> None:
    """Everything that is known of a hit, with paths that lead to its picture and to a small copy."""
    (hit,) = ask(service, text="red", limit=1)["hits"]
    item = hit["item"]
    assert item["id"] == item["uri"] == shop.path("red")
    assert (item["project"], item["caption"], item["metadata"]) == ("warm", "", {"colour": "red", "kind": "flat"})
    assert service.client.get(item["picture"]).content == RED
    assert service.client.get(item["thumbnail"]).headers["content-type"] == "image/webp"


def test_an_answer_says_how_long_each_stage_took(service: Running) -> None:
    """Stages add up to the total, and are in the figures."""
    took = ask(service, text="red")["took_ms"]
    assert took["embed"] + took["search"] == pytest.approx(took["total"], abs=0.05)
    assert service.client.get("/stats").json()["stages"]["search"]["count"] >= 1


def test_a_picture_may_be_sent_in_any_way(service: Running) -> None:
    """Bytes, base64, a data URI, a form: one answer."""
    encoded = base64.b64encode(RED).decode()
    raw = {"content-type": "image/png"}
    answers = [
        service.client.post("/search/images", params={"limit": 4}, content=RED, headers=raw).json(),
        service.client.post("/search/images", params={"limit": 4}, files={"image": RED}).json(),
        ask(service, image=encoded, limit=4),
        ask(service, image=f"data:image/png;base64,{encoded}", limit=4),
        ask(service, vector=EMBEDDER.embed_images([RED]).values[0].tolist(), limit=4),
    ]
    assert names(answers[0])[0] == "red"
    assert all(answer["hits"] == answers[0]["hits"] for answer in answers)


def test_an_item_is_asked_with_and_not_answered(service: Running, shop: Catalogue) -> None:
    """More like an item of a project; the answers are of that project."""
    assert names(ask(service, image=base64.b64encode(RED).decode(), project="warm")) == ["red", "yellow"]
    assert names(ask(service, item=shop.path("red"), project="warm")) == ["yellow"]


def test_a_query_of_several_parts(service: Running, shop: Catalogue) -> None:
    """Plus and minus, pictures and words, a vector: as `Index.find` has it for the same parts."""
    blue = EMBEDDER.embed_texts(["blue"]).values[0].tolist()
    document = ask(
        service,
        query=[
            {"image": base64.b64encode(RED).decode()},
            {"text": "green", "weight": 2},
            {"item": shop.path("white"), "weight": -0.5},
            {"vector": blue, "weight": -1},
        ],
    )
    parts = [
        Part(image=RED),
        Part(text="green", weight=2),
        Part(item=shop.path("white"), weight=-0.5),
        Part(vector=blue, weight=-1),
    ]
    with Index.open(config=shop.config, embedder=EMBEDDER) as index:
        hits = index.find(index.query(parts))
    assert [hit["item"]["id"] for hit in document["hits"]] == [hit.item.id for hit in hits]
    assert [hit["confidence"] for hit in document["hits"]] == pytest.approx([h.confidence for h in hits], abs=1e-4)
    assert "white" not in names(document)


def test_words_beside_a_picture_in_the_query_string(service: Running) -> None:
    """A picture's bytes with `q` are a query of both."""
    both = service.client.post(
        "/search/images", params={"q": "green"}, content=RED, headers={"content-type": "image/png"}
    ).json()
    parts = [{"image": base64.b64encode(RED).decode()}, {"text": "green"}]
    assert both["hits"] == ask(service, query=parts)["hits"]


def test_words_beside_a_picture_have_a_weight(service: Running) -> None:
    """`weight` is that of `q`, as in a part of JSON's query: plus, minus, for bytes and forms alike."""
    encoded = base64.b64encode(RED).decode()
    for weight in (3, -0.5):
        parts = [{"image": encoded}, {"text": "green", "weight": weight}]
        expected = ask(service, query=parts)["hits"]
        for sent in ({"files": {"image": RED}}, {"content": RED, "headers": {"content-type": "image/png"}}):
            found = service.client.post("/search/images", params={"q": "green", "weight": weight}, **sent).json()
            assert found["hits"] == expected


@pytest.mark.parametrize("field", ["bogus", "q", "encoding_format"])
def test_a_form_has_pictures_and_nothing_else(service: Running, field: str) -> None:
    """A field that would not be heard is refused by its name, also one that another place or route has."""
    response = service.client.post("/search/images", files={"image": RED}, data={field: "float"})
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["item"] == field
    assert "not known in this form" in error["message"]
    assert "query string" in error["message"]


@pytest.mark.parametrize("query", ["weight=2", "q=a&weight=0", "q=a&weight=nan", "q=a&weight=much"])
def test_a_weight_of_nothing_or_that_is_none_is_refused(service: Running, query: str) -> None:
    """Without words a weight would silently do nothing; 0 and nan are no weights."""
    response = service.client.post(f"/search/images?{query}", files={"image": RED})
    assert response.status_code == 422
    assert "weight" in response.json()["error"]["message"]


def test_filters_narrow_the_answer(service: Running) -> None:
    """Project, metadata, confidence and limit, in the query string and in JSON alike."""
    cases: list[tuple[dict[str, Any], dict[str, Any], int]] = [
        ({"project": "warm"}, {"project": "warm"}, 2),
        ({"where": "colour:red"}, {"where": {"colour": "red"}}, 1),
        ({"where": ["colour:red", "kind:flat"]}, {"where": {"colour": "red", "kind": "flat"}}, 1),
        ({"where": ["colour:red", "kind:round"]}, {"where": {"colour": "red", "kind": "round"}}, 0),
        ({"limit": 2}, {"limit": 2}, 2),
        ({"min_confidence": 1}, {"min_confidence": 1}, 0),
    ]
    for parameters, body, n in cases:
        by_words = service.client.get("/search/images", params={"q": "red", **parameters}).json()
        assert by_words["hits"] == ask(service, text="red", **body)["hits"]
        assert len(by_words["hits"]) == n


def test_a_cut_text_is_told(service: Running) -> None:
    """The warning of the model reaches whoever asked, also from within a composed query."""
    long = "red " * 20
    assert ask(service, text=long)["warnings"]
    assert ask(service, query=[{"text": long}, {"text": "green"}])["warnings"]


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({}, 422, "exactly one"),
        ({"text": "a", "item": "b"}, 422, "exactly one"),
        ({"text": "  "}, 422, "empty"),
        ({"txt": "a"}, 422, "txt"),
        ({"text": 5}, 422, "text"),
        ({"text": "a", "limit": 0}, 422, "limit"),
        ({"text": "a", "limit": 100_000}, 422, "limit"),
        ({"text": "a", "min_confidence": 2}, 422, "min_confidence"),
        ({"text": "a", "where": {"b": 1}}, 422, "where.b"),
        ({"text": "a", "weight": 0}, 422, "weight"),
        ({"text": "a" * 40_000}, 413, "text"),
        ({"image": "!"}, 422, "image"),
        ({"image": base64.b64encode(b"no picture").decode()}, 415, "picture"),
        ({"image": base64.b64encode(RED[:60]).decode()}, 422, "cut off"),
        ({"vector": [1.0, 2.0]}, 422, "48 numbers"),
        ({"vector": [0.0] * 48}, 422, "not zero"),
        ({"vector": ["a"] * 48}, 422, "vector"),
        ({"item": "/etc/passwd"}, 404, "/etc/passwd"),
        ({"query": []}, 422, "query"),
        ({"query": [{"text": "a"}] * 17}, 422, "query"),
        ({"query": [{"text": "red"}, {"text": "red", "weight": -1}]}, 422, "cancel"),
        ({"query": [{"text": "red"}, {"image": "!"}]}, 422, "query[1].image"),
        ({"query": [{"text": "red"}, {"image": base64.b64encode(RED[:60]).decode()}]}, 422, "query[1]"),
        ({"query": [{"text": "red"}], "text": "red"}, 422, "'text'"),
    ],
)
def test_a_wrong_question_is_refused_by_name(service: Running, body: dict[str, Any], status: int, named: str) -> None:
    """The sentence names the field, the part, or what is wrong with it."""
    response = service.client.post("/search/images", json=body)
    assert response.status_code == status, response.text
    assert named in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "q"),
        ("q=%20", "empty"),
        ("q=a&lmit=3", "lmit"),
        ("q=a&limit=0", "limit"),
        ("q=a&limit=many", "limit"),
        ("q=a&min_confidence=nan", "min_confidence"),
        ("q=a&where=colour", "where"),
        ("q=a&where=colour:red&where=colour:blue", "where"),
    ],
)
def test_a_wrong_query_string_is_refused_by_name(service: Running, query: str, named: str) -> None:
    """A misspelt parameter is not left unheard."""
    response = service.client.get(f"/search/images?{query}")
    assert response.status_code == 422
    assert named in response.json()["error"]["message"]


def test_json_has_nothing_beside_it(service: Running) -> None:
    """Two places for one thing would leave open which counts."""
    response = service.client.post("/search/images?limit=3", json={"text": "red"})
    assert response.status_code == 422
    assert "query string" in response.json()["error"]["message"]


def test_searching_needs_the_scope(shop: Catalogue) -> None:
    """No key 401, a key for something else 403, the right one an answer; for searching and for items."""
    keys = "writer embed,write 0123456789abcdef; reader search fedcba9876543210"
    with searching(shop, api_keys=keys) as service:
        for path in ("/search/images?q=red", f"/items/{shop.path('blue')}"):
            statuses = [
                service.client.get(path, headers=headers).status_code
                for headers in ({}, {"x-api-key": "0123456789abcdef"}, {"x-api-key": "fedcba9876543210"})
            ]
            assert statuses == [401, 403, 200]


class Unready(InlineService):
    """Has not loaded its model."""

    def status(self) -> ServiceStatus:
        return replace(super().status(), ready=False, reason="The model is being loaded.", tower=None)

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        raise NotReady("The model is being loaded.")


@pytest.mark.parametrize("kind", [InlineService, Unready])
def test_without_an_index_searching_says_so(kind: type[InlineService]) -> None:
    """404 with what to do, whether or not there is a model to embed the question with."""
    behind = kind(EMBEDDER)
    with serving(behind) as service:
        for path in ("/search/images?q=red", "/items/a", "/items/a/picture", "/items/a/thumbnail"):
            response = service.client.get(path)
            assert response.status_code == 404
            assert "lookalike index FOLDER" in response.json()["error"]["message"]
    behind.close(drain_s=0)


def test_an_index_that_is_made_later_is_searched(own: Catalogue, tmp_path: Path) -> None:
    """A service that was started without one answers, without a restart, as soon as there is one."""
    own.config.index.rename(tmp_path / "not yet")
    with searching(own) as service:
        assert service.client.get("/search/images?q=red").status_code == 404
        (tmp_path / "not yet").rename(own.config.index)
        assert names(ask(service, text="red"))[0] == "red"


def test_an_index_that_is_deleted_is_told_and_found_again(own: Catalogue, tmp_path: Path) -> None:
    """404 with a sentence as long as it is gone; answers again, without a restart, as soon as one is there."""
    with searching(own) as service:
        assert names(ask(service, text="red"))[0] == "red"
        own.config.index.rename(tmp_path / "away")
        for _ in range(2):
            response = service.client.get("/search/images?q=red")
            assert response.status_code == 404
            assert "no index in" in response.json()["error"]["message"].lower()
        (tmp_path / "away").rename(own.config.index)
        assert names(ask(service, text="red"))[0] == "red"


def test_another_index_in_its_place_answers_at_once(own: Catalogue, tmp_path: Path) -> None:
    """Swapped for one made elsewhere, the next search is of the new one."""
    other = catalogue(tmp_path / "other")
    other.add("extra", noise(1))
    with searching(own) as service:
        assert ask(service, text="red")["considered"] == 6
        shutil.rmtree(own.config.index)
        other.config.index.rename(own.config.index)
        assert ask(service, text="red")["considered"] == 7


def test_the_figures_say_what_the_index_holds(service: Running, shop: Catalogue) -> None:
    """/stats and /metrics count items, contents and projects; nobody has to have searched before."""
    with Index.open(config=shop.config) as index:
        stats = index.stats()
    assert service.client.get("/stats").json()["index"] == {
        "items": stats.items,
        "contents": stats.contents,
        "projects": 2,
        "n_bytes": stats.n_bytes,
        "recall": {},
        "space": EMBEDDER.space.id,
        "model": "fake",
    }
    lines = service.client.get("/metrics").text.splitlines()
    assert f"lookalike_index_items {stats.items:.1f}" in lines
    assert f'lookalike_index_info{{model="fake",space="{EMBEDDER.space.id}"}} 1.0' in lines


def test_the_figures_are_given_where_there_is_no_index() -> None:
    """Who watches a service that embeds only gets its figures, and null in the place of the index."""
    behind = InlineService(EMBEDDER)
    with serving(behind) as service:
        assert service.client.get("/stats").json()["index"] is None
        assert "lookalike_index" not in service.client.get("/metrics").text
    behind.close(drain_s=0)


def test_the_figures_do_not_wait_for_searches(own: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the index holds is told while every thread for searches is taken."""
    begun, held = threading.Semaphore(0), threading.Event()

    def query(*_: Any, **_options: Any) -> None:
        begun.release()
        held.wait(START_S)
        raise InputError("Enough.")

    monkeypatch.setattr(Index, "query", query)
    with searching(own) as service:
        asking = partial(service.client.get, "/search/images", params={"q": "red"})
        searches = [threading.Thread(target=asking) for _ in range(N_THREADS)]
        for search in searches:
            search.start()
        try:
            assert all(begun.acquire(timeout=START_S) for _ in searches)
            assert service.client.get("/stats").json()["index"]["items"] == len(COLOURS)
        finally:
            held.set()
            for search in searches:
                search.join(START_S)


def test_a_damaged_index_is_told(own: Catalogue) -> None:
    """503 with the name of the file, never an answer from what is left."""
    with searching(own) as service:
        ask(service, text="red")
        (own.config.index / "items.sqlite").write_bytes(b"nothing that a database begins with")
        for file in own.config.index.glob("items.sqlite-*"):
            file.unlink()
        response = service.client.get("/search/images?q=red")
        assert response.status_code == 503
        assert "items.sqlite" in response.json()["error"]["message"]


def test_what_another_process_adds_is_found_at_the_next_search(own: Catalogue) -> None:
    """Nobody has to tell the service."""
    with searching(own) as service:
        assert ask(service, image=base64.b64encode(noise(7)).decode(), limit=1)["hits"][0]["similarity"] < 0.99
        own.add("new", noise(7))
        assert names(ask(service, image=base64.b64encode(noise(7)).decode(), limit=1)) == ["new"]


def test_an_index_of_another_model_is_refused(tmp_path: Path) -> None:
    """409: never a ranking of vectors that cannot be compared."""
    foreign = catalogue(tmp_path, space=FakeEncoder(name="other").tower.space)
    with searching(foreign) as service:
        response = service.client.get("/search/images?q=red")
        assert response.status_code == 409
        assert response.json()["error"]["type"] == "SpaceMismatch"


class Stuck(InlineService):
    """Takes jobs and never does them."""

    def __init__(self) -> None:
        super().__init__(EMBEDDER)
        self.futures: list[Future[Embedded]] = []

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        self.futures += (made := [Future[Embedded]() for _ in jobs])
        return made


def test_a_search_ends_with_its_deadline(shop: Catalogue) -> None:
    """A vector that does not come is 504 in time, and its job is taken back."""
    stuck = Stuck()
    with searching(shop, stuck) as service:
        response = service.client.get("/search/images?q=red", headers={"x-request-timeout": "0.2"})
        assert response.status_code == 504
        assert [future.cancelled() for future in stuck.futures] == [True]
        # What needs no vector made is answered all the same.
        assert ask(service, item=shop.path("blue"))["hits"]


def test_the_bank_is_embedded_by_the_service(own: Catalogue) -> None:
    """The first search by words asks the service for the captions, once; no model is opened beside it."""
    service = InlineService(EMBEDDER)
    config = replace(own.config, model="/nowhere")
    with searching(replace(own, config=config), service) as running:
        first = ask(running, text="red")
        assert ask(running, text="red")["hits"] == first["hits"]
    (bank,) = (own.config.cache_dir / "banks").iterdir()
    assert len(np.load(bank)) >= 150


def test_the_serving_process_loads_no_runtime() -> None:
    """Neither a model's runtime nor a tokenizer is imported by what answers requests."""
    code = "import sys, lookalike.http.server; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"onnxruntime", "onnx", "tokenizers", "safetensors", "torch"} & set(loaded)


@needs_curl
def test_every_documented_command_works(own: Catalogue, tmp_path: Path) -> None:
    """Each curl line of docs/http.md on searching and items succeeds as it stands, but for the address."""
    lines = commands(section("Searching", "Handing pictures in"))
    assert len(lines) >= 7
    (tmp_path / "photo.jpg").write_bytes(noise(3, kind="JPEG"))
    own.add("a", noise(1), id="/photos/a.jpg")
    with searching(own) as service:
        for line in lines:
            require_success(line, service.url, tmp_path)


def test_a_search_that_is_not_switched_on_is_404_with_a_sentence(shop: Catalogue) -> None:
    """By words and by example, for one project and for all; whoever has it is answered."""
    with searching(shop, image_search=Rollout(percent=0, projects=("warm",))) as service:
        assert names(ask(service, text="something red", project="warm"))[0] == "red"
        for body in ({"text": "red"}, {"text": "red", "project": "other"}, {"item": "x", "project": "other"}):
            refused = service.client.post("/search/images", json=body)
            assert refused.status_code == 404
            assert refused.json()["error"]["type"] == "FeatureOff"
        words = service.client.get("/search/images", params={"q": "red", "project": "other"})
        assert (words.status_code, "not on for the project 'other'" in words.text) == (404, True)
        assert "for which one" in service.client.get("/search/images", params={"q": "red"}).text
        assert service.client.get("/projects").json()["together"] is False


def test_what_cannot_be_searched_cannot_be_explained(shop: Catalogue) -> None:
    """A picture of a project that is left out has no explanation, whatever project was searched."""
    with searching(shop, image_search=Rollout(percent=0, projects=("warm",))) as service:
        query = [{"text": "red"}]
        for path in ("/search/explain", "/search/heatmap"):
            for name, project, status in (("red", "warm", 200), ("blue", "default", 404)):
                picture = {"id": shop.path(name), "project": project}
                body = {"picture": picture, "query": query, "project": "warm"}
                assert service.client.post(path, json=body).status_code == status, (path, name)
