"""The map and its clusters over HTTP: made in the background, for what a key may see."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lookalike.config import ServeSettings
from tests.catalogued import Catalogue, catalogue, shown
from tests.serving import Running

KEY = "the-key-of-the-warm-shop"
SOON_S = 60.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A picture of each colour."""
    return catalogue(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    """The service over them, open to everybody."""
    with shown(shop) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(shop: Catalogue) -> Iterator[Running]:
    """The same for a key of the project "warm"."""
    with shown(shop, ServeSettings(api_keys=f"shop search {KEY} warm")) as running:
        running.client.headers["x-api-key"] = KEY
        yield running


def finished(running: Running, path: str = "/map", **params: str) -> dict[str, Any]:
    """The answer once nothing is being made."""
    until = time.monotonic() + SOON_S
    while time.monotonic() < until:
        document: dict[str, Any] = running.client.get(path, params=params).json()
        if document["share"] is None:
            return document
    raise AssertionError("The map does not end.")


def test_every_item_is_on_the_map(service: Running) -> None:
    """Two numbers and a cluster for each; a number leads to its item; what is known is not sent again."""
    pytest.importorskip("openTSNE", reason="the extra 'map' is not installed")
    document = finished(service)
    assert (document["state"], document["items"], document["total"]) == ("ready", 6, 6)
    places = np.frombuffer(base64.b64decode(document["places"]), "<u2").reshape(-1, 2)
    groups = np.frombuffer(base64.b64decode(document["groups"]), np.uint8)
    assert (len(places), len(groups)) == (6, 6)
    assert sum(one["items"] for one in document["clusters"]) == 6
    version = document["version"]
    items = service.client.get("/map/items", params={"version": version, "at": [0, 5]}).json()["items"]
    assert len({item["id"] for item in items}) == 2
    assert finished(service, known=version)["places"] is None


def test_points_of_another_map_are_refused(service: Running) -> None:
    """Numbers count in one map: asked of another, or beyond its end, they lead nowhere."""
    assert service.client.get("/map/items", params={"version": "other", "at": [0]}).status_code == 410
    version = finished(service)["version"]
    assert service.client.get("/map/items", params={"version": version, "at": [99]}).status_code == 410
    assert service.client.get("/map/items", params={"version": version}).status_code == 422


def test_clusters_have_names_and_pictures(service: Running) -> None:
    """Each has at least a name and an example, the largest comes first."""
    pytest.importorskip("openTSNE", reason="the extra 'map' is not installed")
    finished(service)
    clusters = service.client.get("/clusters").json()["clusters"]
    assert all(one["names"] and one["examples"] for one in clusters)
    assert [one["items"] for one in clusters] == sorted((one["items"] for one in clusters), reverse=True)


def test_a_key_sees_the_map_of_its_project(guarded: Running) -> None:
    """It has the project's items alone, and another project's map is as that of nothing."""
    pytest.importorskip("openTSNE", reason="the extra 'map' is not installed")
    document = finished(guarded)
    assert (document["items"], document["total"]) == (2, 2)
    params = {"version": document["version"], "at": [0, 1]}
    items = guarded.client.get("/map/items", params=params).json()["items"]
    assert {item["project"] for item in items} == {"warm"}
    other = guarded.client.get("/map", params={"project": "default"}).json()
    missing = guarded.client.get("/map", params={"project": "nothing"}).json()
    assert other == missing
    assert other["items"] == 0


def test_what_is_missing_is_named(service: Running) -> None:
    """Where the extra is not installed, the answer says what to install."""
    try:
        import openTSNE  # noqa: F401
    except ModuleNotFoundError:
        document = finished(service)
        assert document["state"] == "failed"
        assert "lookalike[map]" in document["error"]["message"]
    else:
        pytest.skip("the extra 'map' is installed")
