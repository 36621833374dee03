"""Two dimensions of many, by t-SNE: what is near stays near; how far apart groups lie says little.

openTSNE (doi:10.18637/jss.v109.i03) of the libraries that were tried: it compiles nothing when it is first used, as
umap-learn and PaCMAP do, and brings no LLVM of 170 MB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Rows

PERPLEXITY = 30
FEW = 16
"""Fewer points have no neighbourhoods to speak of: they are shown by their two principal components."""

EARLY, LATE = 250, 500
"""Iterations with and without exaggeration: the library's own."""

STEP = 10
N_COMPONENTS = 50
"""Distances are taken among so many principal components: as van der Maaten and Hinton do."""


def principal(rows: Rows) -> NDArray[np.float32]:
    """(n, dim) unit rows -> their coordinates along the N_COMPONENTS directions in which they differ most."""
    centred = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(centred @ directions[:, : -N_COMPONENTS - 1 : -1], np.float32)


def project(points: NDArray[np.float32], *, threads: int, on_progress: Callable[[float], None]) -> NDArray[np.float32]:
    """(n, k) coordinates -> (n, 2) places, of any scale; the same for the same points and threads.

    Args:
        points: What `principal` made.
        threads: Cores to use.
        on_progress: Told the share of the iterations that are done, 0 to 1.
    """
    if len(points) < FEW:
        return np.pad(points[:, :2], ((0, 0), (0, max(0, 2 - points.shape[1]))))
    from openTSNE import TSNE

    done = 0

    def tell(*_: object) -> None:
        nonlocal done
        done += STEP
        on_progress(min(1.0, done / (EARLY + LATE)))

    tsne = TSNE(
        perplexity=min(PERPLEXITY, (len(points) - 1) // 3),
        n_jobs=threads,
        random_state=0,
        callbacks=tell,
        callbacks_every_iters=STEP,
        early_exaggeration_iter=EARLY,
        n_iter=LATE,
    )
    return np.asarray(tsne.fit(points), np.float32)
