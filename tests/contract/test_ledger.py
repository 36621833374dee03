"""The ledger contract: the same tests over every store's ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lookalike.ports import Ledger
from lookalike.spaces import Space
from lookalike.store.embedded import create, open_store
from lookalike.store.memory import MemoryStore
from lookalike.store.postgres import store as postgres
from lookalike.types import LedgerEntry, Outcome
from tests.attached import new_table

SPACE = Space(model="toy", weights="0" * 64, preprocessing="", pooling="mean", dim=4, modalities=("image",))


def entry(uri: str, *, project: str = "p", outcome: Outcome = Outcome.STORED, reason: str = "") -> LedgerEntry:
    """An entry for an object."""
    return LedgerEntry(
        project=project, item_id=f"id:{uri}", uri=uri, stamp="12/345", outcome=outcome, content="ab" * 32, reason=reason
    )


@pytest.fixture(params=["memory", "embedded", "postgres", "attached"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    if request.param == "memory":
        yield MemoryStore(SPACE).ledger
    elif request.param == "embedded":
        with create(tmp_path / "s", SPACE) as store:
            yield store.ledger
    elif request.param == "attached":
        with new_table(request.getfixturevalue("new_database"), SPACE) as table:
            yield table.ledger
    else:
        with postgres.create(request.getfixturevalue("new_database")(), SPACE) as production:
            yield production.ledger


def test_what_was_recorded_is_known(ledger: Ledger) -> None:
    """Entries come back whole, by uri; unknown ones and those of other projects are left out."""
    failed = entry("b", outcome=Outcome.FAILED, reason="It is cut off.")
    ledger.record([entry("a"), failed, entry("a", project="q")])
    assert ledger.known("p", ["b", "none", "a"]) == {"a": entry("a"), "b": failed}
    assert ledger.known("q", ["a", "b"]) == {"a": entry("a", project="q")}


def test_a_later_record_replaces_the_earlier(ledger: Ledger) -> None:
    """One entry for each (project, uri), the last one."""
    ledger.record([entry("a")])
    later = replace(entry("a"), stamp="13/346", outcome=Outcome.UNCHANGED)
    ledger.record([entry("a", outcome=Outcome.DUPLICATE), later])
    assert list(ledger.under("p", "")) == [later]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["/a%b/x", "/a/1", "/a/2", "/ab/1", "/a\U0010ffff", "/é"]),
        ("/a/", ["/a/1", "/a/2"]),
        ("/a", ["/a%b/x", "/a/1", "/a/2", "/ab/1", "/a\U0010ffff"]),
        ("/a%", ["/a%b/x"]),
        ("/a_", []),
        ("/é", ["/é"]),
        ("/z", []),
    ],
)
def test_a_prefix_selects_exactly(ledger: Ledger, prefix: str, expected: list[str]) -> None:
    """A prefix is plain text: case, wildcards and accents mean nothing special; the order is by uri."""
    ledger.record([entry(uri) for uri in ["/é", "/ab/1", "/a/2", "/a/1", "/a\U0010ffff", "/a%b/x"]])
    assert [found.uri for found in ledger.under("p", prefix)] == expected


def test_a_long_walk_may_be_changed_on_the_way(ledger: Ledger) -> None:
    """Forgetting and recording while walking neither skips nor repeats what stays."""
    uris = [f"/f/{i:05}" for i in range(2500)]
    ledger.record([entry(uri) for uri in uris])
    walked = []
    for found in ledger.under("p", "/f/"):
        walked.append(found.uri)
        if len(walked) % 500 == 0:
            ledger.forget("p", [found.uri])
            ledger.record([replace(found, uri=f"/a/{found.uri}")])
    assert walked == uris
    assert len(list(ledger.under("p", "/f/"))) == 2495


def test_no_project_means_all(ledger: Ledger) -> None:
    """Without a project every entry comes, by project and uri."""
    ledger.record([entry("b", project="q"), entry("c"), entry("a", project="q")])
    assert [(found.project, found.uri) for found in ledger.under(None, "")] == [("p", "c"), ("q", "a"), ("q", "b")]
    assert [found.uri for found in ledger.under(None, "b")] == ["b"]


def test_what_was_forgotten_is_gone(ledger: Ledger) -> None:
    """Only the named entries of the named project go; unknown names are no error."""
    ledger.record([entry("a"), entry("b"), entry("a", project="q")])
    ledger.forget("p", ["a", "none"])
    assert list(ledger.under("p", "")) == [entry("b")]
    assert ledger.known("q", ["a"])


def test_the_embedded_ledger_outlives_the_process(tmp_path: Path) -> None:
    """Entries are there when the store is opened again."""
    with create(tmp_path / "s", SPACE) as store:
        store.ledger.record([entry("a")])
    with open_store(tmp_path / "s") as store:
        assert store.ledger.known("p", ["a"]) == {"a": entry("a")}
