"""How a search in PostgreSQL is planned: the index only where its recall was measured and is good enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lookalike.store.postgres.planning import Setting, Tuning, plan
from lookalike.store.postgres.tuning import boundary_of, recall
from lookalike.types import Filter
from lookalike.vectors import normalise

AXES = np.eye(4, dtype=np.float32)
NEAR, FAR = normalise(AXES[:1] + 0.3 * AXES[1:2])[0], normalise(AXES[1:2] + 0.3 * AXES[:1])[0]
GOOD, POOR = Setting(200, 0.99, 5.0, 50.0), Setting(0, 0.8, 40.0, 50.0)
TUNING = Tuning(AXES[0], 0.7, measured_items=1000, items=1400, settings={"near": GOOD, "far": POOR})


def test_the_index_is_asked_where_it_finds_enough() -> None:
    """A query among the pictures goes to the index with the measured setting, one apart from them does not."""
    assert plan(NEAR, limit=10, where=Filter(), tuning=TUNING).ef_search == 200
    far = plan(FAR, limit=10, where=Filter(), tuning=TUNING)
    assert far.is_exact
    assert "0.800" in far.reason


@pytest.mark.parametrize(
    ("where", "tuning", "says"),
    [
        (Filter(project="p"), TUNING, "filter"),
        (Filter(metadata={"a": "b"}), TUNING, "filter"),
        (Filter(), None, "db index"),
        (Filter(), replace(TUNING, items=1501), "1,501"),
        (Filter(), replace(TUNING, settings={}), "no setting"),
    ],
)
def test_everything_else_is_exact(where: Filter, tuning: Tuning | None, says: str) -> None:
    """Filters, what was not measured, and a collection that has outgrown its measurement; each with its reason."""
    how = plan(NEAR, limit=10, where=where, tuning=tuning)
    assert how.is_exact
    assert says in how.reason


@pytest.mark.parametrize(("limit", "ef_search"), [(1, 200), (10, 200), (30, 600), (50, 1000), (51, 0), (2000, 0)])
def test_more_answers_need_more_of_the_index(limit: int, ef_search: int) -> None:
    """The setting grows with the answers that are wanted, and beyond what pgvector allows the search is exact."""
    assert plan(NEAR, limit=limit, where=Filter(), tuning=TUNING).ef_search == ef_search


def test_the_index_gives_as_many_as_are_wanted() -> None:
    """However quick the setting, it is not less than the contents that are asked for."""
    quick = replace(TUNING, settings={"near": replace(GOOD, ef_search=10)})
    assert plan(NEAR, limit=10, where=Filter(), tuning=quick).ef_search == 26


def test_a_large_project_is_searched_as_it_was_measured() -> None:
    """By the index where that finds enough of this project; with facts in the filter too, it is exact."""
    tuning = replace(TUNING, settings={}, projects={"large": {"near": GOOD, "far": POOR}})
    where = Filter(project="large")
    assert plan(NEAR, limit=10, where=where, tuning=tuning).ef_search == 200
    assert plan(FAR, limit=10, where=where, tuning=tuning).is_exact
    assert plan(NEAR, limit=10, where=replace(where, metadata={"a": "b"}), tuning=tuning).is_exact
    assert plan(NEAR, limit=10, where=Filter(project="small"), tuning=tuning).is_exact


def test_doubtful_queries_count_as_the_harder_kind() -> None:
    """The boundary is above every cosine of words; where there is room, a quarter of it below the pictures."""
    pictures, words = np.linspace(0.5, 0.9, 100, dtype=np.float32), np.array([0.1, 0.6], np.float32)
    assert boundary_of(pictures, words) > 0.6
    assert boundary_of(pictures) == pytest.approx(0.504, abs=1e-3)
    assert boundary_of(pictures, words - 0.5) == pytest.approx(0.504 - 0.404 / 4, abs=1e-3)


def test_recall_is_a_share_of_the_true_answers() -> None:
    """In any order; without true answers nothing was missed."""
    assert recall([["a", "b"], ["c"]], [["b", "a"], ["x", "c"]]) == 0.75
    assert recall([[]], [[]]) == 1.0
