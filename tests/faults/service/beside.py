"""Put lookalike and infinity to the same cases and write docs/faults.md, both beside each other.

    python -m tests.faults.service.beside --peer-python V/bin/python --peer-model FOLDER

V is an environment with infinity_emb; FOLDER holds a small CLIP model in Hugging Face's files. Takes about 15 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.service.cases import ANYWHERE
from tests.faults.service.harness import Case, Outcome, run
from tests.faults.service.processes import HARMFUL, SIGNALS
from tests.faults.service.reporting import lines, verdict
from tests.faults.service.stream import calm_vectors
from tests.faults.service.target import Target

INFINITY_OPTIONS = "--engine torch --device cpu --dtype float32 --no-bettertransformer --no-compile --no-model-warmup"
INFINITY_QUIET = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}

PAGE = Path(__file__).resolve().parents[3] / "docs" / "faults.md"

HEAD = """# The service under fault

Written by `python -m tests.faults.service.beside`; do not edit. While something bad happens, four clients send good
requests (two with texts, two with pictures), one after the other, with a deadline of 10 s. The rule: each is answered
*right*, or *refused* with a sentence, within its deadline and a second; within 5 s the server is ready again and uses
no more than 1.1 times the memory that it used before. What breaks the rule is *wrong* (another input's vector), *hung*
(no answer), *broken* (the connection ended, or an error without a sentence). A server that does not come back is
started again for the next case. `make test` runs the column of lookalike, and a few cases of the system besides (disk,
descriptors, index, clock).

## What clients send

infinity_emb 0.0.78, torch, with a tiny CLIP model; lookalike with `tiny`. The same requests to both.
"""
OWN_HEAD = """## Models that fail and workers that are killed

lookalike alone, with a model that does harm when an input asks for it: alone, and in a batch with 31 good ones.
"""
COUNT = "In all: lookalike held in {} of {} cases, infinity in {} of {}.\n"


def lookalike(folder: Path) -> Target:
    """This checkout's service with the built-in model."""
    command = [sys.executable, "-m", "lookalike", "serve", "--model", "tiny"]
    return Target(
        "lookalike", command, folder / "lookalike.log", environ={"LOOKALIKE_CACHE_DIR": str(folder / "cache")}
    )


def harmful(folder: Path) -> Target:
    """The same service with a model that does harm when it is asked to."""
    command = [sys.executable, "-m", "tests.faults.service.server"]
    environ = {"LOOKALIKE_CACHE_DIR": str(folder / "cache")}
    return Target("harmful", command, folder / "harmful.log", model="fake", environ=environ)


def infinity(folder: Path, python: Path, model: Path) -> Target:
    """infinity_emb with a CLIP model from a folder."""
    command = [str(python.parent / "infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "tiny"]
    return Target(
        "infinity",
        [*command, *INFINITY_OPTIONS.split(), "--host", "127.0.0.1", "--url-prefix", "/v1"],
        folder / "infinity.log",
        ready_path="/health",
        environ=INFINITY_QUIET,
    )


async def outcomes(target: Target, cases: Sequence[Case]) -> list[Outcome]:
    """Every case; a server that does not come back is started again, for the next one's sake."""
    found = []
    target.start()
    try:
        await target.until_settled()
        expected = await calm_vectors(target.base_url, target.model)
        for case in cases:
            outcome = await run(case, target, expected)
            print(*lines([(target.name, outcome)]), file=sys.stderr, flush=True)
            for example in outcome.tally.examples if not outcome.is_good else []:
                print(f"{'':12}{example}", file=sys.stderr)
            found.append(outcome)
            if not outcome.tally.is_clean or outcome.recovered_s is None:
                target.stop()
                target.start()
                await target.until_settled()
    finally:
        target.stop()
    return found


def document(ours: Sequence[Outcome], peers: Sequence[Outcome], own: Sequence[Outcome]) -> str:
    """The text of docs/faults.md."""
    lines = [HEAD, "| case | lookalike | infinity |", "| --- | --- | --- |"]
    lines += [f"| {a.case} | {cell(a)} | {cell(b)} |" for a, b in zip(ours, peers, strict=True)]
    lines += ["", OWN_HEAD, "| case | lookalike |", "| --- | --- |", *(f"| {o.case} | {cell(o)} |" for o in own)]
    return "\n".join([*lines, "", "", COUNT.format(sum(o.is_good for o in [*ours, *own]), len(ours) + len(own),
                                                   sum(o.is_good for o in peers), len(peers))])  # fmt: skip


def cell(outcome: Outcome) -> str:
    """One outcome in a cell of a table."""
    return f"{'held' if outcome.is_good else '**broke**'}: {verdict(outcome)}"


async def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--peer-model", type=Path, required=True)
    parser.add_argument("--only", default="", help="cases whose names hold this; prints, and writes nothing")
    arguments = parser.parse_args()
    cases = [case for case in ANYWHERE if arguments.only in case.name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers = await outcomes(infinity(folder, arguments.peer_python, arguments.peer_model), cases)
        ours = await outcomes(lookalike(folder), cases)
        own = await outcomes(harmful(folder), [case for case in HARMFUL + SIGNALS if arguments.only in case.name])
    if not arguments.only:
        PAGE.write_text(document(ours, peers, own), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
