"""Explanations over HTTP: of a search's answer, in one request; and nothing of what a key may not see."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import httpx2
import numpy as np
import pytest
from PIL import Image

from lookalike import Index, Part
from lookalike.config import ServeSettings
from tests.catalogued import EMBEDDER, Catalogue, catalogue, shown
from tests.pictures import picture
from tests.serving import Running

KEY = "the-key-of-the-warm-shop"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Pictures of one colour each, and one that is blue with a red corner."""
    made = catalogue(tmp_path_factory.mktemp("shop"))
    image = Image.open(BytesIO(picture((30, 30, 220), size=(420, 280)))).convert("RGB")
    image.paste((220, 30, 30), (300, 0, 420, 120))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    made.add("corner", buffer.getvalue())
    return made


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    """The service over them."""
    with shown(shop) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(shop: Catalogue) -> Iterator[Running]:
    """The same for a key of the project "warm"."""
    with shown(shop, ServeSettings(api_keys=f"shop search {KEY} warm")) as running:
        running.client.headers["x-api-key"] = KEY
        yield running


def explained(running: Running, name: str, *query: dict[str, object], what: str = "explain") -> httpx2.Response:
    """The answer about a picture."""
    document = {"picture": {"id": name, "project": "warm" if "red" in name else "default"}, "query": list(query)}
    return running.client.post(f"/search/{what}", json=document)


def test_it_tells_of_the_hit_what_the_search_told(service: Running, shop: Catalogue) -> None:
    """Similarity and confidence are the search's own, and each word is named in its order."""
    query = {"text": "a red dress"}
    hit = service.client.post("/search/images", json={"query": [query], "limit": 1}).json()["hits"][0]
    document = explained(service, shop.path("red"), query).json()
    assert document["picture"] == hit["item"]
    assert document["similarity"] == pytest.approx(hit["similarity"], abs=1e-3)
    assert document["confidence"] == pytest.approx(hit["confidence"], abs=1e-2)
    assert [word["text"] for word in document["parts"][0]["words"]] == ["a", "red", "dress"]
    assert len(document["concepts"]) >= 3


def test_a_composed_query_is_told_by_its_parts(service: Running, shop: Catalogue) -> None:
    """Words, an item and a picture: one share each, and together they are the similarity."""
    parts = (
        {"text": "red", "weight": 2},
        {"item": shop.path("red"), "project": "warm"},
        {"item": shop.path("blue"), "weight": -1},
    )
    document = explained(service, shop.path("red"), *parts).json()
    assert sum(part["share"] for part in document["parts"]) == pytest.approx(document["similarity"], abs=1e-4)


def test_without_a_query_it_tells_what_the_picture_is_near_to(service: Running, shop: Catalogue) -> None:
    """Concepts need no query; a heat-map does."""
    document = explained(service, shop.path("blue")).json()
    assert (document["similarity"], document["parts"]) == (None, [])
    assert document["concepts"]
    refused = explained(service, shop.path("blue"), what="heatmap")
    assert (refused.status_code, refused.json()["error"]["item"]) == (422, "query")


def test_a_heatmap_shows_where(service: Running, shop: Catalogue) -> None:
    """The largest loss is in the corner that has the colour; cells are nearly square."""
    document = explained(service, shop.path("corner"), {"text": "red"}, what="heatmap").json()
    values = np.array(document["values"])
    assert values.shape == (document["rows"], document["columns"]) == (7, 10)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert row <= 2
    assert column >= 7


def test_what_cannot_be_asked_is_named(service: Running, shop: Catalogue) -> None:
    """An unknown field, a part of two things, an item that is not there."""
    path = shop.path("blue")
    assert service.client.post("/search/explain", json={"id": path}).status_code == 422
    assert explained(service, path, {"text": "a", "item": path}).json()["error"]["item"] == "query[0]"
    assert explained(service, "nothing").status_code == 404
    assert explained(service, path, {"item": "nothing"}).status_code == 404


def test_what_other_projects_are_like_shows_in_nothing(guarded: Running, shop: Catalogue) -> None:
    """An explanation tells what else is there, by confidence and excess: of another project as of one that is not."""
    own = {"id": shop.path("red"), "project": "warm"}
    query = [{"vector": [1.0, -1.0] * (EMBEDDER.space.dim // 2)}]
    answers = [
        guarded.client.post("/search/explain", json={"picture": own, "query": query, "project": name})
        for name in ("default", "nobody")
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    messages = [answer.json()["error"]["message"] for answer in answers]
    assert messages[0].replace("default", "nobody") == messages[1]


def test_a_key_is_told_of_its_projects_only(guarded: Running, shop: Catalogue) -> None:
    """What another project has is as if it were not there: as the picture, and as a part of the query."""
    assert explained(guarded, shop.path("red"), {"text": "red"}).status_code == 200
    for what in ("explain", "heatmap"):
        assert explained(guarded, shop.path("blue"), {"text": "blue"}, what=what).status_code == 404
        part = {"item": shop.path("blue"), "project": "default"}
        assert explained(guarded, shop.path("red"), part, what=what).status_code == 404


def test_the_index_explains_too(shop: Catalogue) -> None:
    """`Index.explain` is the same for Python."""
    with Index.open(config=shop.config, embedder=EMBEDDER) as index:
        found = index.explain(shop.path("red"), [Part(text="red dress")], project="warm")
    assert found.hit is not None
    assert found.hit.confidence > 0.5
    assert [word.text for word in found.parts[0].words] == ["red", "dress"]
