"""The whole service with the built-in model in worker processes, over a rendered catalogue."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lookalike import Config, Index, Part
from lookalike.config import ServeSettings
from tests.serving import START_S, Running, opened, serving
from training.catalogue import write_catalogue


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """An index of forty pictures."""
    folder = tmp_path_factory.mktemp("whole")
    write_catalogue(folder / "pictures", count=40, seed=5, size_px=160)
    config = replace(Config.from_environ(), model="tiny", index=folder / "photos.lookalike", cache_dir=folder / "cache")
    with Index.create(config=config) as index:
        index.ingest([folder / "pictures"])
    return replace(config, serve=ServeSettings(workers=1))


@pytest.fixture(scope="module")
def index(config: Config) -> Iterator[Index]:
    with Index.open(config=config) as opened:
        yield opened


@pytest.fixture(scope="module")
def service(config: Config) -> Iterator[Running]:
    with opened(config) as context, serving(context.service, index=context.index) as running:
        yield running


def test_the_caption_bank_is_there_before_anybody_asks(service: Running, config: Config) -> None:
    """Nobody's first search waits for it: it is embedded in the background once there is a model."""
    pause = threading.Event()
    for _ in range(int(START_S * 20)):
        if list((config.cache_dir / "banks").glob("*.npy")):
            break
        pause.wait(0.05)
    assert list((config.cache_dir / "banks").glob("*.npy"))


def test_the_service_finds_what_the_index_finds(service: Running, index: Index) -> None:
    """Words, pictures and both: vectors of the workers rank as those of this process, bit for bit or nearly."""
    path = next(iter(index.items())).uri
    picture = base64.b64encode(Path(path).read_bytes()).decode()
    asked = [
        ({"text": "a red dress"}, [Part(text="a red dress")]),
        ({"image": picture}, [Part(image=path)]),
        ({"item": path}, [Part(item=path)]),
        (
            {"query": [{"image": picture}, {"text": "a blue bag", "weight": 3}, {"item": path, "weight": -0.5}]},
            [Part(image=path), Part(text="a blue bag", weight=3), Part(item=path, weight=-0.5)],
        ),
    ]
    for body, parts in asked:
        found = service.client.post("/search/images", json={**body, "limit": 5}).json()
        expected = index.find(index.query(parts), limit=5)
        assert [hit["item"]["id"] for hit in found["hits"]] == [hit.item.id for hit in expected]
        for name in ("similarity", "confidence"):
            assert [hit[name] for hit in found["hits"]] == pytest.approx(
                [getattr(hit, name) for hit in expected], abs=1e-3
            )
        assert found["space"] == index.space.id


def test_a_hit_can_be_seen(service: Running) -> None:
    """Its picture is the file, and its thumbnail a small WebP."""
    (hit,) = service.client.get("/search/images?q=a+red+dress&limit=1").json()["hits"]
    assert service.client.get(hit["item"]["picture"]).content == Path(hit["item"]["uri"]).read_bytes()
    assert service.client.get(hit["item"]["thumbnail"]).content[8:12] == b"WEBP"


def test_a_bad_picture_is_no_query(service: Running) -> None:
    """It is decoded by a worker, and the error is that picture's; the next query is answered."""
    cut = base64.b64encode(Path(__file__).read_bytes()).decode()
    assert service.client.post("/search/images", json={"image": cut}).status_code == 415
    assert service.client.get("/search/images?q=red").status_code == 200
