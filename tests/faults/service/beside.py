"""Put lookalike and infinity to the same cases and print both beside each other, as Markdown.

python -m tests.faults.service.beside --peer-python V/bin/python --peer-model FOLDER [--seconds 30] [--out FILE]
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
from tests.faults.service.reporting import lines
from tests.faults.service.stream import calm_vectors
from tests.faults.service.target import Target

INFINITY_OPTIONS = "--engine torch --device cpu --dtype float32 --no-bettertransformer --no-compile --no-model-warmup"
INFINITY_QUIET = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}


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
            print(*lines([(target.name, outcome)]), file=sys.stderr)
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


async def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--peer-model", type=Path)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    cases = [case for case in ANYWHERE if arguments.only in case.name]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.peer_python:
            await outcomes(infinity(Path(folder), arguments.peer_python, arguments.peer_model), cases)
        else:
            await outcomes(harmful(Path(folder)), [case for case in HARMFUL + SIGNALS if arguments.only in case.name])
            await outcomes(lookalike(Path(folder)), cases)


if __name__ == "__main__":
    asyncio.run(main())
