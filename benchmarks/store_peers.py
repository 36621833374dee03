"""HNSW indexes for benchmarks/store.py, in a process and an environment of their own: `pip install faiss-cpu hnswlib`.

Reads commands from standard input, answers each with one line of JSON:

    build NAME VECTORS N THREADS    index the first N rows of a .npy file
    search NAME QUERIES FROM TO K   search some rows of a .npy file, one at a time
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import faiss
import hnswlib
import numpy as np

M = 16
EF_CONSTRUCTION = 100
EF_SEARCH = 256


def build_faiss(vectors: np.ndarray, threads: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """HNSW over 8-bit scalar codes: the fastest of faiss's HNSW indexes on CPUs."""
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexHNSWSQ(vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    index.train(vectors)
    index.add(vectors)
    index.hnsw.efSearch = EF_SEARCH
    faiss.omp_set_num_threads(1)
    return lambda query, k: index.search(query[None], k)[1][0]


def build_hnswlib(vectors: np.ndarray, threads: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """HNSW over float32."""
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=M, ef_construction=EF_CONSTRUCTION)
    index.add_items(vectors, num_threads=threads)
    index.set_ef(EF_SEARCH)
    index.set_num_threads(1)
    return lambda query, k: index.knn_query(query, k=k)[0][0]


BUILDERS = {"faiss HNSW16,SQ8": build_faiss, "hnswlib": build_hnswlib}


def main() -> None:
    """Obey until the input ends."""
    indexes: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {}
    for line in sys.stdin:
        command, name, path, *numbers = json.loads(line)
        rows = np.load(path, mmap_mode="r")
        if command == "build":
            n, threads = numbers
            vectors = np.array(rows[:n])
            began = time.perf_counter()
            indexes[name] = BUILDERS[name](vectors, threads)
            answer: dict[str, object] = {"seconds": time.perf_counter() - began}
        else:
            first, last, k = numbers
            times, found = [], []
            for query in np.array(rows[first:last]):
                began = time.perf_counter()
                found.append(indexes[name](query, k).tolist())
                times.append(time.perf_counter() - began)
            answer = {"times": times, "found": found}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
