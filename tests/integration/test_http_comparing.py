"""Duplicates over HTTP: compared in the background, kept until the index changes, and only what a key may see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from lookalike.config import ServeSettings
from lookalike.duplicates import DuplicateGroup
from lookalike.errors import Overloaded
from lookalike.http import comparing
from lookalike.http.collection import Collection
from lookalike.http.comparing import MAX_KEPT, Comparison, Comparisons
from lookalike.store.embedded import open_store
from tests.catalogued import EMBEDDER, Catalogue, catalogue, collection
from tests.pictures import picture
from tests.serving import InlineService, Running, serving

KEYS = (
    "all search key-of-everybody-here;warm search key-of-the-warm-ones warm;two search key-of-two-of-them warm,default"
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """One picture of each colour, blue once more with the same bytes, and red once more in other bytes."""
    made = catalogue(tmp_path_factory.mktemp("shop"))
    made.add("blue again", picture((30, 30, 220)))
    made.add("red again", picture((220, 30, 30), size=(50, 60)), project="warm")
    return made


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    behind = InlineService(EMBEDDER)
    settings = ServeSettings(api_keys=KEYS)
    with collection(shop, behind) as index, serving(behind, index=index, settings=settings) as running:
        yield running
    behind.close(drain_s=0)


def compared(service: Running, key: str = "key-of-everybody-here", **asked: Any) -> dict[str, Any]:
    """The answer, once it is there."""
    end_s = time.monotonic() + 20
    while True:
        answer = service.client.get("/duplicates", params=asked, headers={"x-api-key": key})
        assert answer.status_code == 200, answer.text
        if answer.json()["state"] == "ready":
            return answer.json()  # type: ignore[no-any-return]
        assert time.monotonic() < end_s


def names(group: dict[str, Any]) -> list[str]:
    return [item["id"].rpartition("/")[2] for item in group["items"]]


def test_equal_bytes_and_equal_looks_are_told_with_the_reason(service: Running) -> None:
    """The same bytes come first, then what looks the same; each group says how similar its pictures are."""
    answer = compared(service)
    assert [(group["reason"], names(group)) for group in answer["groups"]] == [
        ("exact", ["blue again.png", "blue.png"]),
        ("near", ["red again.png", "red.png"]),
    ]
    assert answer["groups"][0]["similarity"] == 1.0
    assert answer["min_similarity"] <= answer["groups"][-1]["similarity"] <= 1


def test_groups_come_page_by_page(service: Running) -> None:
    """`next` leads through all of them."""
    total = compared(service)["total"]
    first = compared(service, limit=1)
    assert (len(first["groups"]), first["next"]) == (1, 1)
    last = compared(service, limit=1, above=total - 1)
    assert (len(last["groups"]), last["next"]) == (1, None)


def test_a_key_sees_the_duplicates_of_its_projects(service: Running) -> None:
    """Of others there are none, whether somebody else has asked for them or not."""
    assert compared(service, project="default")["total"] == 1
    assert [names(group) for group in compared(service, "key-of-the-warm-ones")["groups"]] == [
        ["red again.png", "red.png"]
    ]
    assert compared(service, "key-of-the-warm-ones", project="default")["groups"] == []
    several = service.client.get("/duplicates", headers={"x-api-key": "key-of-two-of-them"})
    assert several.json()["error"]["item"] == "project"


def test_a_changed_index_is_compared_again(shop: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer before stands until the new one is there."""
    monkeypatch.setattr("lookalike.http.collection.STATS_EVERY_S", 0.0)
    behind = InlineService(EMBEDDER)
    with collection(shop, behind) as index, serving(behind, index=index) as running:
        before = compared(running)["total"]
        shop.add("black again", picture((10, 10, 10)))
        end_s = time.monotonic() + 20
        while compared(running)["total"] == before:
            assert time.monotonic() < end_s
    behind.close(drain_s=0)


def equal(service: Running) -> list[dict[str, Any]]:
    """The groups of equal bytes."""
    return [group for group in compared(service)["groups"] if group["reason"] == "exact"]


def test_what_is_gone_is_shown_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither it nor what was said of others before; a change that leaves every number as it was is one too."""
    monkeypatch.setattr("lookalike.http.collection.STATS_EVERY_S", 0.0)
    made, bytes_of_all = catalogue(tmp_path), picture((90, 90, 90))
    first, *_ = [made.add(name, bytes_of_all) for name in ("first", "second", "third")]
    behind = InlineService(EMBEDDER)
    with collection(made, behind) as index, serving(behind, index=index) as running:
        assert [names(group) for group in equal(running)] == [["first.png", "second.png", "third.png"]]
        with open_store(made.config.index, write=True) as store:
            store.delete([(first.project, first.id)])
        (group,) = equal(running)
        assert (names(group), group["n_items"]) == (["second.png", "third.png"], 2)
        made.add("second", bytes_of_all, caption="another")
        assert equal(running)[0]["items"][0]["caption"] == "another"
        made.add("third", picture((10, 200, 10)))
        assert equal(running) == []
        made.add("fourth", bytes_of_all)
        end_s = time.monotonic() + 20
        while [names(group) for group in equal(running)] != [["fourth.png", "second.png"]]:
            assert time.monotonic() < end_s
    behind.close(drain_s=0)


def test_every_change_has_a_comparison_of_its_own(shop: Catalogue) -> None:
    """Also one that no count and no size shows: the version of what the index holds is looked at."""
    with open_store(shop.config.index) as store:
        before = store.stats()
    assert comparing._fingerprint(before) != comparing._fingerprint(replace(before, version=before.version + 1))


def test_nothing_is_compared_before_it_is_known_how_much_there_is(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting millions takes longer than a request waits: until then it would be a walk over any number of pairs."""

    async def unknown(_: Collection) -> None:
        return None

    monkeypatch.setattr(Collection, "stats", unknown)
    answer = service.client.get("/duplicates", headers={"x-api-key": "key-of-everybody-here"})
    assert answer.status_code == 503
    assert answer.json()["error"]["retryable"]


def test_figures_that_come_late_are_kept(shop: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked did not wait for them; the next one has them."""
    monkeypatch.setattr("lookalike.http.collection.STATS_WAIT_S", 0.0)
    behind = InlineService(EMBEDDER)
    with collection(shop, behind) as index:
        end_s = time.monotonic() + 20
        while (found := asyncio.run(index.stats())) is None:
            index._stats_due = 0.0
            assert time.monotonic() < end_s
        assert found.items > 0
    behind.close(drain_s=0)


def test_what_is_being_compared_is_begun_once() -> None:
    """However many others are asked for meanwhile; more than are kept are refused until one has ended."""
    comparisons, go_on = Comparisons(), Event()
    begun: list[int] = []

    def compare(number: int) -> Iterator[DuplicateGroup]:
        begun.append(number)
        go_on.wait(20)
        return iter(())

    def ask(number: int) -> Comparison:
        return comparisons.of(("space", str(number)), (), lambda _: compare(number))

    for _ in range(2):
        assert all(ask(number).is_running for number in range(MAX_KEPT))
    with pytest.raises(Overloaded):
        ask(MAX_KEPT)
    go_on.set()
    end_s = time.monotonic() + 20
    while any(ask(number).is_running for number in range(MAX_KEPT)):
        assert time.monotonic() < end_s
    assert sorted(begun) == list(range(MAX_KEPT))
    ask(MAX_KEPT)


def test_a_comparison_that_fails_for_an_unforeseen_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has ended; whoever asks again has it tried again."""
    monkeypatch.setattr("threading.excepthook", lambda _: None)

    def broken(_: object) -> Iterator[DuplicateGroup]:
        raise MemoryError

    comparisons = Comparisons()
    end_s = time.monotonic() + 20
    while comparisons.of(("space", None), (), broken).error is None:
        assert time.monotonic() < end_s


def test_too_many_pictures_are_refused_with_the_way_out(
    service: Running, shop: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says how many there are, and what to do."""
    monkeypatch.setattr(comparing, "MAX_ITEMS", 3)
    answer = service.client.get("/duplicates", headers={"x-api-key": "key-of-everybody-here"})
    assert answer.status_code == 413
    assert "lookalike duplicates" in answer.json()["error"]["message"]
