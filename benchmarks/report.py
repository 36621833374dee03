"""Write docs/benchmarks.md from benchmarks/results/*.json, the files that the other scripts of this folder leave.

A results file is one table::

    {"name": "Engine: CLIP ViT-B/32", "machine": {"cpu": "...", "cores": 2}, "rows": [
        {"what": "images/s, batch 32, exact", "ours": 41.0, "peer": 17.2, "unit": "images/s", "ratio": 2.38,
         "target": ">= 2.1 x", "note": "peer: transformers eager float32"}]}

A second table of the same script, of another machine, is `engine-avx2.json`, say. `ours`, `peer`, `ratio` and `target`
may be null. A target is "<=" or ">=", a number, and what it is about: "x" is the ratio, anything else (a unit, or
nothing) is `ours`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
REPORT = ROOT / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

Written by `make bench` (`benchmarks/report.py`) from `benchmarks/results/`; do not edit. Ours and the peer's figures
come from one run that takes them in turns, so that what else the machine does falls on both. "Ratio" is how many times
better ours is; "target" is what the project promises, and a target that was missed says so.
"""

TARGET = re.compile(r"(?P<sign><=|>=)\s*(?P<bound>[\d.,eE+-]+)\s*(?P<unit>.*)")


def report(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of docs/benchmarks.md: a section for each results file, by file name."""
    return "\n".join([HEAD, *(section(stem, tables[stem]) for stem in sorted(tables))])


def section(stem: str, table: Mapping[str, Any]) -> str:
    """One results file as a heading, the machine and a table."""
    machine = ", ".join(f"{key} {value}" for key, value in table["machine"].items())
    noted = any(row.get("note") for row in table["rows"])
    columns = ["What", "lookalike", "Peer", "Ratio", "Target", "Met"] + ["Note"] * noted
    lines = [f"## {table['name']}", "", f"Machine: {machine}. Script: `benchmarks/{stem.partition('-')[0]}.py`.", ""]
    lines += [line(columns), line(["---"] * len(columns))]
    lines += [line(cells(row) + [str(row.get("note") or "")] * noted) for row in table["rows"]]
    return "\n".join(lines) + "\n"


def cells(row: Mapping[str, Any]) -> list[str]:
    """One row as text, up to and including whether its target is met."""
    ours, peer = (f"{number(row.get(key))} {row.get('unit') or ''}".strip() for key in ("ours", "peer"))
    ratio = f"{number(row['ratio'])} x" if row.get("ratio") is not None else "-"
    return [row["what"], ours, peer if row.get("peer") is not None else "-", ratio, row.get("target") or "-", met(row)]


def met(row: Mapping[str, Any]) -> str:
    """Whether the figure that the target is about reaches it: "yes", "**no**", or "-" if there is nothing to judge."""
    if not row.get("target"):
        return "-"
    target = TARGET.fullmatch(row["target"].strip())
    if target is None:
        raise ValueError(f"{row['what']}: the target {row['target']!r} is not like '>= 2.1 x' or '<= 20 ms'.")
    value = row.get("ratio" if target["unit"] == "x" else "ours")
    if value is None:
        return "-"
    bound = float(target["bound"].replace(",", ""))
    return "yes" if (value <= bound if target["sign"] == "<=" else value >= bound) else "**no**"


def number(value: float | None) -> str:
    """Four significant digits; whole numbers from a thousand up; six decimals near one, where cosines live."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0.99 <= value < 1:
        return f"{value:.6f}".rstrip("0")
    return f"{value:.4g}"


def line(columns: list[str]) -> str:
    """One line of a table; a bar inside a cell would end it."""
    return "| " + " | ".join(column.replace("|", "\\|") for column in columns) + " |"


def read_results(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Every results file by its stem."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


if __name__ == "__main__":
    REPORT.write_text(report(read_results()), encoding="utf-8")
    print(f"wrote {REPORT.relative_to(ROOT)}")
