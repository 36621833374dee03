"""The table of all cases, for the end of a test run and for the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.service.harness import Outcome
from tests.faults.service.stream import Fate

OUTCOMES: list[tuple[str, Outcome]] = []
"""What was seen in this run: the server's name, and how it came through. Filled by the tests, printed at their end."""


def verdict(outcome: Outcome) -> str:
    """One outcome in a few words."""
    fates = outcome.tally.fates
    parts = [f"{fates[fate]} {fate}" for fate in Fate if fates[fate]]
    recovered = "not ready again" if outcome.recovered_s is None else f"ready {outcome.recovered_s:.1f} s"
    memory = f"memory x {outcome.memory_ratio:.2f}"
    return f"{', '.join(parts)}; slowest {outcome.tally.slowest_s:.1f} s; {recovered}; {memory}"


def lines(outcomes: Sequence[tuple[str, Outcome]]) -> list[str]:
    """The table, for a terminal."""
    rows = [("held" if o.is_good else "BROKE", server, o.case, verdict(o)) for server, o in outcomes]
    widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else []
    return ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
