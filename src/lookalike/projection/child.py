"""The process that arranges vectors: `python -m lookalike.projection.child FOLDER THREADS`.

Reads `rows.npy` in the folder, writes `places.npy` (n, 2) float32 and `groups.npy` (n,) uint8, and prints the share
that is done, a line each. Ends when its parent is gone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

MISSING = 3
"""Its exit status where a library is not installed; the name of that is the last line."""

GROUPED = 0.02
"""The share of the work that is done once there are groups."""


def main(folder: Path, threads: int) -> int:
    """Arrange them."""
    parent = os.getppid()

    def tell(share: float) -> None:
        if os.getppid() != parent:
            raise SystemExit(1)
        print(f"{share:.3f}", flush=True)  # noqa: T201  the line to the parent

    def later(share: float) -> None:
        tell(GROUPED + (1 - GROUPED) * share)

    os.nice(19)  # nobody waits for it
    try:
        from lookalike.projection.groups import grouped
        from lookalike.projection.tsne import principal, project

        points = principal(np.load(folder / "rows.npy", allow_pickle=False))
        np.save(folder / "groups.npy", grouped(points))
        tell(GROUPED)
        np.save(folder / "places.npy", project(points, threads=threads, on_progress=later))
    except ModuleNotFoundError as error:
        print(error.name, flush=True)  # noqa: T201
        return MISSING
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
