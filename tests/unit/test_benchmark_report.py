"""docs/benchmarks.md says what was measured, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.report import REPORT, met, number, read_results, report


def row(**changes: Any) -> dict[str, Any]:
    """A row of a results file."""
    return {"what": "images/s", "ours": 40.0, "peer": 20.0, "unit": "images/s", "ratio": 2.0, "target": None} | changes


@pytest.mark.skipif(not read_results(), reason="no benchmark results are committed yet")
def test_the_committed_report_is_what_the_results_say() -> None:
    """docs/benchmarks.md is generated: `make report` leaves it as it is."""
    assert REPORT.read_text(encoding="utf-8") == report(read_results())


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"target": ">= 2 x"}, "yes"),
        ({"target": ">= 2.1 x"}, "**no**"),
        ({"target": "<= 40 ms"}, "yes"),
        ({"target": "<= 39.9 ms"}, "**no**"),
        ({"target": ">= 50,000 rows/s", "ours": 50_000}, "yes"),
        ({"target": "<= 1e-4", "ours": 2e-4}, "**no**"),
        ({"target": ">= 0.995", "ours": 1.0}, "yes"),
        ({"target": ">= 2.1 x", "ratio": None}, "-"),
        ({"target": None}, "-"),
    ],
)
def test_a_target_is_judged_by_the_figure_it_is_about(changes: dict[str, Any], verdict: str) -> None:
    """A target in "x" is compared with the ratio, any other with our own figure, the bound itself included."""
    assert met(row(**changes)) == verdict


def test_a_target_that_cannot_be_judged_is_refused() -> None:
    """A target in another form is an error that names the row, never a silent dash."""
    with pytest.raises(ValueError, match="images/s: the target 'fast'"):
        met(row(target="fast"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (123456.7, "123,457"), (2.38123, "2.381"), (0.99962, "0.99962"), (1.0, "1"), (3.1e-07, "3.1e-07")],
)
def test_a_number_keeps_the_digits_that_matter(value: float | None, text: str) -> None:
    """Four significant digits, but a cosine just under one is never rounded to one."""
    assert number(value) == text


def test_tables_are_ordered_by_file_and_name_their_script() -> None:
    """The same results give the same text, in whatever order the files were read."""
    table = {"name": "Store", "machine": {"cpu": "x", "cores": 2}, "rows": [row(note="a|b"), row(ours=None, peer=None)]}
    text = report({"store": table, "engine": {**table, "name": "Engine"}})
    assert text == report({"engine": {**table, "name": "Engine"}, "store": table})
    assert text.index("## Engine") < text.index("## Store")
    assert "Machine: cpu x, cores 2. Script: `benchmarks/store.py`." in text
    assert "| images/s | 40 images/s | 20 images/s | 2 x | - | - | a\\|b |" in text
    assert "| images/s | - images/s | - | 2 x | - | - |  |" in text
