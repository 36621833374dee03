"""Arithmetic on vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lookalike.errors import InputError
from lookalike.types import Rows
from lookalike.vectors import (
    FIXED_ONE,
    LOWEST,
    Screen,
    bound_of_best,
    from_fixed,
    normalise,
    require_unit_rows,
    scaled,
    to_fixed,
    to_int8,
)


def rows_like_pictures(n: int, *, dim: int = 64, seed: int = 0) -> Rows:
    """Unit rows in a cone, with a falling spectrum."""
    rng = np.random.default_rng(seed)
    spread = np.linalg.qr(np.random.default_rng(9).standard_normal((dim, dim)))[0] * np.arange(1, dim + 1) ** -0.5
    return normalise(rng.standard_normal((n, dim)) @ spread.T + np.full(dim, 0.2))


def test_normalised_rows_have_unit_length() -> None:
    """Whatever the type and the length; a zero row stays zero, and the argument is left alone."""
    values = np.array([[3, 4], [0, 0], [1e-15, 0], [-1e18, 1e18]])
    before = values.copy()
    rows = normalise(values)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [1, 0], [-(0.5**0.5), 0.5**0.5]], atol=1e-6)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scaling_changes_no_direction_and_no_digit(dtype: type[np.floating]) -> None:
    """Rows of every size that a type can hold keep their direction; what is not finite or all zeros stays that."""
    rows = np.random.default_rng(0).uniform(0.1, 1, (6, 16)).astype(dtype)
    limits = np.finfo(dtype)
    np.testing.assert_array_equal(normalise(scaled(rows)), normalise(rows))
    for factor in (limits.max, limits.max**0.6, limits.tiny, limits.tiny**0.6):
        moved = rows * dtype(factor)
        expected = moved.astype(np.longdouble) / np.linalg.norm(moved.astype(np.longdouble), axis=1)[:, None]
        np.testing.assert_allclose(normalise(scaled(moved)), expected, rtol=1e-6)
    odd = scaled(np.array([[np.nan, 1], [np.inf, 1], [0, 0]], dtype))
    assert np.isfinite(odd).all(axis=1).tolist() == [False, False, True]
    assert scaled(np.empty((0, 4), dtype)).shape == (0, 4)


def test_unit_rows_are_accepted() -> None:
    """Rounding to bfloat16 on the way is no fault."""
    rows = rows_like_pictures(5)
    rounded = (rows.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    require_unit_rows(normalise(rounded), dim=64, names="abcde")
    require_unit_rows(rows, dim=64, names="abcde")
    require_unit_rows(rows[:0], dim=64, names="")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 5.0, 0.999, 0.0])
def test_the_first_bad_row_is_named(value: float) -> None:
    """A row that is not finite, or whose length is not 1, is refused by name."""
    rows = np.eye(4, dtype=np.float32)
    rows[2, 2] = value - (0.002 if value == 0.999 else 0)
    with pytest.raises(InputError) as caught:
        require_unit_rows(rows, dim=4, names=["a", "b", "c", "d"])
    assert caught.value.item == "c"


@settings(deadline=None, derandomize=True)
@given(arrays.arrays(np.float32, (3, 5), elements=st.floats(-1, 1, width=32)))
def test_fixed_point_is_within_half_a_step(rows: Rows) -> None:
    """Any value within -1..1 comes back within half a step, the ends included; the high byte alone within 128 steps."""
    high, low = to_fixed(rows)
    np.testing.assert_allclose(from_fixed(high, low), rows, atol=0.501 / FIXED_ONE)
    np.testing.assert_allclose(high / np.float32(127), rows, atol=(128 + 0.501) / FIXED_ONE)
    assert np.abs(high.astype(int)).max() <= 127


def test_fixed_point_rows_stay_apart() -> None:
    """More rows than are worked on at a time come back in their order."""
    rows = rows_like_pictures(1500)
    np.testing.assert_allclose(from_fixed(*to_fixed(rows)), rows, atol=0.501 / FIXED_ONE)


@settings(deadline=None, derandomize=True)
@given(arrays.arrays(np.float32, 7, elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)))
def test_int8_weights_keep_their_proportions(weights: Rows) -> None:
    """Each weight within half of the unit that was chosen, which the largest fills; all zero is no division by zero."""
    codes, unit = to_int8(weights)
    np.testing.assert_allclose(codes * np.float64(unit), weights, atol=unit * 0.51)


def test_codes_order_rows_nearly_as_cosines_do() -> None:
    """By a screen of half the width, at least nine of the best ten are among the best 300 of 5,000."""
    rows = rows_like_pictures(5000)
    screen = Screen.fit(rows[:1000], width=32)
    codes = screen.encode(rows)
    assert (codes.shape, codes.dtype) == ((5000, 32), np.int8)
    queries = rows_like_pictures(20, seed=1)
    kept = 0
    for query in queries:
        screened = codes.astype(np.float32) @ screen.weights(query)
        kept += len(set(np.argsort(-(rows @ query))[:10]) & set(np.argsort(-screened)[:300]))
    assert kept >= 0.9 * 10 * len(queries)


def test_codes_of_full_width_are_cosines_but_for_a_constant() -> None:
    """With every direction kept, screened scores differ from cosines by one constant and rounding."""
    rows = rows_like_pictures(600)
    screen = Screen.fit(rows, width=64)
    query = rows_like_pictures(1, seed=1)[0]
    errors = rows @ query - screen.encode(rows).astype(np.float32) @ screen.weights(query)
    assert errors.std() < 2e-3


def test_far_rows_are_clipped_not_wrapped() -> None:
    """A row far outside what the screen was fitted to gets the end of the scale on its own side."""
    rows = rows_like_pictures(600)
    screen = Screen.fit(rows, width=64)
    code = screen.encode(-rows[:1])
    assert np.abs(code.astype(int)).max() == 127
    assert np.sign(code[0, 0]) == np.sign((screen.rotation @ -rows[0] - screen.centre)[0])


def test_identical_rows_can_be_screened() -> None:
    """A collection without any variance still gets codes, all the same."""
    rows = np.repeat(rows_like_pictures(1), 50, axis=0)
    codes = Screen.fit(rows, width=8).encode(rows)
    assert np.ptp(codes, axis=0).max() == 0


def test_a_screen_survives_its_bytes() -> None:
    """Written and read back, it writes the same codes."""
    rows = rows_like_pictures(500)
    screen = Screen.fit(rows, width=24)
    again = Screen.from_bytes(screen.to_bytes(), dim=64)
    assert again.width == 24
    np.testing.assert_array_equal(again.encode(rows), screen.encode(rows))


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 20_000), st.integers(1, 5000), st.integers(0, 2**32 - 1))
def test_the_bound_of_the_best_lets_about_k_pass(n: int, k: int, seed: int) -> None:
    """About k scores reach the bound, within what a sample can tell; all of them if there are no more than k."""
    scores = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    bound = bound_of_best(scores, k)
    passed = int((scores >= bound).sum())
    assert (bound == LOWEST and passed == n) if n <= k else k / 2 <= passed <= 2 * k + 64
