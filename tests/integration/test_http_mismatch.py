"""An index whose model is not the service's: found out when the service has its model, and said before anybody asks."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

from lookalike.http.collection import Collection
from tests.catalogued import EMBEDDER, Catalogue, catalogue, collection
from tests.serving import START_S, InlineService, serving


class Heard(logging.Handler):
    """Waits for a line of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.came.set()


def warm_up(behind: Collection) -> logging.LogRecord:
    """What the log says when the service has its model."""
    heard, log = Heard(), logging.getLogger("lookalike.index")
    log.addHandler(heard)
    try:
        behind.warm_up()
        assert heard.came.wait(START_S)
    finally:
        log.removeHandler(heard)
    return heard.records[0]


def other(folder: Path) -> Catalogue:
    """An index of pictures that another model has seen."""
    return catalogue(folder, space=replace(EMBEDDER.space, weights="0" * 64))


def test_an_index_of_another_model_is_said_before_it_is_searched(tmp_path: Path) -> None:
    """An error in the log, a reason on /readyz and in /stats; what embeds goes on, and the service counts as ready."""
    service = InlineService(EMBEDDER)
    with collection(other(tmp_path / "other"), service) as behind, serving(service, index=behind) as running:
        said = warm_up(behind)
        assert said.levelname == "ERROR"
        assert "the two cannot be compared" in said.getMessage()
        ready = running.client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["search_reason"] == running.client.get("/stats").json()["search_reason"]
        assert ready.json()["search_reason"] in said.getMessage()
        assert running.client.post("/embed/text", json={"text": "red"}).status_code == 200
        assert running.client.get("/search/images", params={"q": "red"}).status_code == 409
    service.close(drain_s=0)


def test_nothing_is_said_against_the_right_index(tmp_path: Path) -> None:
    """Neither before it was opened nor afterwards."""
    service = InlineService(EMBEDDER)
    with (
        collection(catalogue(tmp_path / "right"), service) as behind,
        serving(service, index=behind) as running,
    ):
        before = running.client.get("/readyz").json()["search_reason"]
        assert running.client.get("/search/images", params={"q": "red"}).status_code == 200
        assert before == running.client.get("/readyz").json()["search_reason"] == ""
    service.close(drain_s=0)
