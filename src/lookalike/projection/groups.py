"""Groups of points that lie near each other: k-means of scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_GROUPS = 40
"""As many as can be named and looked at."""


def grouped(points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(n, k) coordinates -> (n,) the number of each point's group, from 0; the largest group is the first."""
    from sklearn.cluster import MiniBatchKMeans

    n_groups = min(MAX_GROUPS, max(1, round((len(points) / 3) ** 0.5)))
    found = MiniBatchKMeans(n_groups, random_state=0, n_init=3, batch_size=4096).fit_predict(points)
    _, labels, counts = np.unique(found, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), np.uint8)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return np.ascontiguousarray(rank[labels])
