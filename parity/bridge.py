"""Store the real MiniLM's vectors of the names that the real CLIP's vectors are known of; the tests bridge the two.

    python parity/bridge.py [--minilm FOLDER] [--shared FOLDER]

Writes tests/golden/data/minilm_names.npz: int8 codes and a scale for each row (cosine to float32 above 0.9999), and no
word of the names themselves, which belong to the reference material.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import numpy as np  # noqa: E402

from parity.encoders import find_minilm, minilm_folder, open_folder, vectors_of  # noqa: E402


def main() -> int:
    """Write the file; 1 if a model or the reference material is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minilm", type=Path, default=find_minilm(), help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="reference material")
    options = parser.parse_args()
    if options.minilm is None or not (options.shared / "golden").is_dir():
        print("MiniLM or the reference material is not here.")
        return 1
    with np.load(options.shared / "golden" / "clip_vit_b32_vectors.npz") as stored:
        texts = [str(text) for text in stored["text"]]
    with tempfile.TemporaryDirectory() as scratch:
        folder = minilm_folder(Path(scratch) / "minilm", options.minilm, options.shared, activation="gelu")
        rows = vectors_of(open_folder(folder, Path(scratch) / "cache"), texts)
    scales = np.abs(rows).max(axis=1, keepdims=True) / 127
    codes = np.round(rows / scales).astype(np.int8)
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    path = ROOT / "tests" / "golden" / "data" / "minilm_names.npz"
    np.savez_compressed(path, codes=codes, scales=scales.astype(np.float32), texts_sha256=digest)
    print(f"{len(rows):,} vectors, {path.stat().st_size:,} bytes: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
