"""The search among rows, apart from files and items."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from lookalike.store import scan
from lookalike.store.nearest import UNSCREENED, Table, nearest
from lookalike.types import Rows
from lookalike.vectors import Screen, Slots, from_fixed, normalise, to_fixed

DIM = 64
NONE_DEAD = np.empty(0, np.int64)


def pictures(n: int, *, seed: int = 0) -> Rows:
    """Unit rows in clusters of very different sizes, within one cone."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, DIM + 1) ** -0.5
    centres = np.random.default_rng(77).standard_normal((50, DIM)) * spectrum
    weights = 1 / np.arange(1, 51)
    which = rng.choice(50, n, p=weights / weights.sum())
    return normalise(centres[which] + rng.standard_normal((n, DIM)) * spectrum + 1.5 * np.eye(DIM)[0])


def texts(n: int) -> Rows:
    """Unit rows far from all pictures."""
    return normalise(np.random.default_rng(3).standard_normal((n, DIM)) * 0.4 - 2 * np.eye(DIM)[1])


def table(rows: Rows, *, screened: bool, dead: Slots = NONE_DEAD) -> Table:
    """The rows as a store keeps them."""
    screen = Screen.fit(rows[::7], width=24) if screened else None
    return Table(*to_fixed(rows), screen.encode(rows) if screen else None, screen, dead)


@pytest.fixture(scope="module")
def rows() -> Rows:
    """More than enough rows for a screen to be used."""
    return pictures(12 * UNSCREENED)


@pytest.mark.parametrize("limit", [1, 10, 300])
@pytest.mark.parametrize("kind", ["picture", "text"])
def test_the_screen_loses_no_answer(rows: Rows, kind: str, limit: int) -> None:
    """With short codes the same slots are found as by every cosine, for pictures and for texts."""
    screened = table(rows, screened=True)
    exact = from_fixed(screened.high, screened.low)
    for query in pictures(15, seed=1) if kind == "picture" else texts(15):
        slots, scores = nearest(query, screened, limit=limit, among=None)
        expected = np.sort(exact @ query)[::-1][:limit]
        np.testing.assert_allclose(scores[:limit], expected, atol=2e-6)
        np.testing.assert_allclose(exact[slots] @ query, scores, atol=2e-6)


@pytest.mark.parametrize("share", [2, 50, 5000])
def test_a_selection_is_searched_exactly(rows: Rows, share: int) -> None:
    """Of a selection large, small or tiny the best are found, and nothing outside of it."""
    screened = table(rows, screened=True)
    among = np.sort(np.random.default_rng(5).choice(len(rows), len(rows) // share, replace=False))
    for query in np.concatenate([pictures(5, seed=1), texts(5)]):
        slots, scores = nearest(query, screened, limit=10, among=among)
        assert set(slots) <= set(among)
        expected = np.sort(from_fixed(screened.high[among], screened.low[among]) @ query)[::-1][:10]
        np.testing.assert_allclose(scores[:10], expected[: len(scores)], atol=2e-6)


@pytest.mark.parametrize("screened", [False, True])
def test_dead_slots_are_never_found(rows: Rows, screened: bool) -> None:
    """What no item uses is passed over, even where it is most of what there is."""
    alive = np.arange(0, len(rows), 1000)
    dead = np.delete(np.arange(len(rows)), alive)
    slots, _ = nearest(rows[1], table(rows, screened=screened, dead=dead), limit=100, among=None)
    assert set(slots) == set(alive)


def test_equal_rows_tie_exactly(rows: Rows) -> None:
    """Copies of one row have equal scores, bit for bit, and all of them are returned however few are asked for."""
    copied = rows.copy()
    copies = np.arange(3, len(rows), 517)
    copied[copies] = rows[3]
    slots, scores = nearest(rows[3], table(copied, screened=True), limit=2, among=None)
    tied = slots[scores == scores[0]]
    assert set(tied) == set(copies)


def test_the_numpy_path_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SIMD library every dot product is the same, extremes included."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (10_000, 160), np.int8)
    codes[0], codes[1] = 127, -127
    query = codes[0]
    fast = scan.dots_int8(codes, query)
    np.testing.assert_array_equal(fast, codes.astype(np.int64) @ query.astype(np.int64))
    import_module = builtins.__import__

    def without(
        name: str,
        globals_: Mapping[str, Any] | None = None,
        locals_: Any = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        if name == "numkong":
            raise ImportError(name)
        return import_module(name, globals_, locals_, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without)
    scan._library.cache_clear()
    try:
        assert not scan.is_accelerated()
        np.testing.assert_array_equal(scan.dots_int8(codes, query), fast)
        assert scan.dots_int8(codes[:0], query).shape == (0,)
    finally:
        scan._library.cache_clear()
