"""A service whose index is switched to another model: it follows, and no request fails because of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from lookalike.app import create_store, open_store
from lookalike.beside import open_filling, open_spaces, watching
from lookalike.changing import Terms, fill
from lookalike.config import Config
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import ModelNotFound
from lookalike.http import following
from lookalike.http.collection import Collection
from lookalike.http.feeding import Feeding
from lookalike.http.following import Follower
from lookalike.http.intake import Intake
from lookalike.http.opening import open_queue
from lookalike.ingest import Ingest, Target
from lookalike.metrics import Metrics
from lookalike.service import Served
from lookalike.sources.folder import FolderSource
from lookalike.sources.pictures import PictureFinder
from lookalike.sources.uploads import FolderKeeper
from lookalike.working import Lending
from tests.pictures import picture, write
from tests.serving import START_S, InlineService, Running, serving

COLOURS = ("red", "green", "blue", "yellow")
EMBEDDERS = {name: Embedder(LocalVectorizer(FakeEncoder(name=name))) for name in ("before", "after")}


class Closable(InlineService):
    """An InlineService that says when it has been closed."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__(embedder)
        self.closed = threading.Event()

    def close(self, *, drain_s: float) -> None:
        super().close(drain_s=drain_s)
        self.closed.set()


@dataclass
class Following:
    """A running service that follows its index.

    Attributes:
        place: The index; space 1 is of the model "before", space 2 of "after".
        running: The service.
        services: Every service that was opened, in order.
        follower: What follows.
    """

    place: Path
    running: Running
    services: list[Closable]
    follower: Follower

    def switch(self, number: int) -> None:
        """Search another space from now on."""
        with open_spaces(self.place) as spaces:
            spaces.switch(number)

    def search(self) -> dict[str, object]:
        """The answer to a search by words."""
        response = self.running.client.get("/search/images", params={"q": "red", "limit": 1})
        assert response.status_code == 200, response.text
        answer: dict[str, object] = response.json()
        return answer


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index with two spaces, both whole; a switch is noticed soon."""
    monkeypatch.setattr(following, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(following, "READY_EVERY_S", 0.02)
    place = tmp_path / "photos.lookalike"
    pictures = write(tmp_path / "pictures", {f"{colour}.png": picture(colour) for colour in COLOURS})
    with create_store(place, EMBEDDERS["before"].space) as store:
        Ingest(Target(store=store, ledger=store.ledger, embedder=EMBEDDERS["before"])).run([FolderSource(pictures)])
    with open_spaces(place) as spaces:
        spaces.add(EMBEDDERS["after"].space, precision="exact")
    with open_filling(place, 2) as filling:
        fill(filling, PictureFinder(Path()), EMBEDDERS["after"], Terms())
    return place


@pytest.fixture
def follow(place: Path) -> Iterator[Callable[..., Following]]:
    """Starts a service over that index; `refuse` are the models that cannot be opened."""
    config = replace(Config.from_environ(), index=place)
    closing_after: list[Callable[[], object]] = []

    def choose() -> Served:
        with watching(place) as number_now, open_store(place, number=number_now()) as store:
            return Served(replace(config, model=store.space.model), number=number_now())

    def start(running: Running, services: list[Closable], *, refuse: str = "") -> Following:
        def opened(served: Served) -> Closable:
            if served.config.model == refuse:
                raise ModelNotFound("It is not here.", model=refuse)
            services.append(Closable(EMBEDDERS[served.config.model]))
            return services[-1]

        follower = Follower(choose(), choose, Metrics(), opening=opened)
        closing_after.append(follower.close)
        follower.start(running.server.current)
        return Following(place, running, services, follower)

    yield start
    for close in closing_after:
        close()


@pytest.fixture
def running(place: Path) -> Iterator[tuple[Running, list[Closable]]]:
    """The service, with the model of the first space."""
    service = Closable(EMBEDDERS["before"])
    config = replace(Config.from_environ(), index=place)
    stopping = threading.Event()
    lending = Lending(partial(open_store, place, write=True), stopping)
    with (
        closing(Collection(config, service, number=1)) as collection,
        closing(Feeding(place, config, lending=lending, recorder=Metrics(), stopping=stopping)) as feeding,
        closing(Intake(partial(open_queue, place), FolderKeeper(place / "uploads"), lending, feeding.wake)) as intake,
        serving(service, index=collection, intake=intake, feeding=feeding) as started,
    ):
        yield started, [service]


def wait_for(condition: Callable[[], bool]) -> None:
    """Fail the test unless this comes true in time."""
    waiting, elapsed_s = threading.Event(), 0.0
    while not condition():
        elapsed_s += 0.02
        assert elapsed_s < START_S, "it never came true"
        waiting.wait(0.02)


def test_no_request_fails_because_of_a_switch(
    running: tuple[Running, list[Closable]], follow: Callable[..., Following]
) -> None:
    """Before, during and after every switch each search is answered, from one space or the other."""
    followed = follow(*running)
    models: list[object] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            models.append(followed.search()["model"])

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number, model in [(2, "after"), (1, "before")] * 2:
            followed.switch(number)
            wait_for(lambda model=model: models[-1:] == [model])  # type: ignore[misc]
    finally:
        stop.set()
        asking.join()
    changes = [model for place, model in enumerate(models) if models[place - 1 : place] != [model]]
    assert changes == ["before", "after", "before", "after", "before"]


def test_the_old_model_ends_once_nobody_has_it(
    running: tuple[Running, list[Closable]], follow: Callable[..., Following]
) -> None:
    """The old service is closed after the swap, the new one is not; /readyz names the new model."""
    followed = follow(*running)
    followed.switch(2)
    old = followed.services[0]
    assert old.closed.wait(START_S)
    assert followed.search()["model"] == "after"
    ready = followed.running.client.get("/readyz").json()
    assert (ready["model"], ready["search_reason"], ready["switch_reason"]) == ("after", "", "")
    assert [service.closed.is_set() for service in followed.services] == [True, False]


def test_a_request_that_takes_its_time_holds_up_no_way_back(
    running: tuple[Running, list[Closable]], follow: Callable[..., Following]
) -> None:
    """While one still has the old pair, the service follows on, and that pair is not closed under it."""
    followed = follow(*running)
    with followed.running.server.current.lent():
        for number, model in ((2, "after"), (1, "before")):
            followed.switch(number)
            wait_for(lambda model=model: followed.search()["model"] == model)  # type: ignore[misc]
        assert not followed.services[0].closed.is_set()
    assert followed.services[0].closed.wait(START_S)


def test_a_request_keeps_the_pair_that_it_began_with(running: tuple[Running, list[Closable]]) -> None:
    """What was lent before a swap is the old pair until its request ends, and only then it counts as unused."""
    current = running[0].server.current
    other = replace(current.context, service=InlineService(EMBEDDERS["after"]))
    with current.lent() as first:
        before = current.swap(other)
        with current.lent() as second:
            assert (first, second) == (before, other)
        assert not current.wait_unused(before, 0)
    assert current.wait_unused(before, START_S)  # the one that asked whether the service is there may still be ending
    current.swap(before)


def test_what_is_handed_in_is_found_before_and_after_a_switch(
    running: tuple[Running, list[Closable]], follow: Callable[..., Following]
) -> None:
    """Orders are done with the model of the space that is searched: the same service goes on with the new one."""
    followed = follow(*running)
    client = followed.running.client

    def state(job: int) -> str:
        return str(client.get(f"/jobs/{job}").json()["state"])

    def found(colour: str) -> bool:
        answer = client.post("/search/images", files={"image": picture(colour)}).json()
        return bool(answer["hits"][0]["item"]["id"] == f"{colour}.png")

    for number, colour in ((1, "purple"), (2, "orange")):
        with open_spaces(followed.place) as spaces:
            spaces.switch(number, allow_missing=True)
        wait_for(lambda number=number: followed.search()["model"] == ("before", "after")[number - 1])  # type: ignore[misc]
        (job,) = client.post("/items", files={"image": (f"{colour}.png", picture(colour))}).json()["jobs"]
        wait_for(lambda job=job: state(job["job"]) == "done")  # type: ignore[misc]
        assert found(colour)


def test_a_model_that_cannot_be_opened_leaves_the_old_one_answering(
    running: tuple[Running, list[Closable]], follow: Callable[..., Following]
) -> None:
    """From the old space, as before; /readyz says why, and back in it all is well."""
    followed = follow(*running, refuse="after")
    followed.switch(2)
    wait_for(lambda: bool(followed.follower.reason()))
    assert followed.search()["model"] == "before"
    ready = followed.running.client.get("/readyz").json()
    assert ready["ready"]
    assert "goes on as before: It is not here." in ready["switch_reason"]


def test_a_service_that_does_not_follow_says_that_it_cannot_search(place: Path) -> None:
    """With a model that was asked for, the index's new space is searched, which that model cannot: 409, and why."""
    service = InlineService(EMBEDDERS["before"])
    config = replace(Config.from_environ(), index=place)
    with closing(Collection(config, service)) as collection, serving(service, index=collection) as started:
        assert started.client.get("/search/images", params={"q": "red"}).status_code == 200
        with open_spaces(place) as spaces:
            spaces.switch(2)
        assert started.client.get("/search/images", params={"q": "red"}).status_code == 409
        assert "the two cannot be compared" in started.client.get("/readyz").json()["search_reason"]
