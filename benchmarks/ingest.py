"""End-to-end indexing of 1,024 x 768 JPEGs: files to stored vectors, against a transformers loop with its processor.

    python benchmarks/ingest.py --model FOLDER [--peer-python PYTHON] [--out benchmarks/results/ingest.json]

FOLDER holds ViT-B/32 weights, random ones too: speed does not depend on them. Each round runs every contender once, in
a process of its own; ratios are of the same round. "Of what the cores allow" compares with cores / (decode + encode
core-seconds of one picture), both measured on one thread of this machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from processor import cpu

N_PICTURES = 128
ROUNDS = 5
TARGETS = {"exact": 1.9, "int8": 3.8}
BOUND_TARGET = 0.9


def make_pictures(folder: Path, count: int) -> None:
    """Photos with the detail of photos: smooth shapes, edges and noise, quality 90."""
    import numpy as np
    from PIL import Image, ImageFilter

    for number in range(count):
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
        image = small.resize((1024, 768), Image.Resampling.BICUBIC).filter(ImageFilter.SHARPEN)
        grain = rng.normal(0, 6, (768, 1024, 3))
        pixels = np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}.jpg", quality=90)


def ours(pictures: Path, model: str, precision: str, cache: Path) -> dict[str, float]:
    """Pictures a second into a store, and the core-seconds of one picture's decoding and encoding."""
    from lookalike import Config, Embedder, Index

    environ = {"LOOKALIKE_MODEL": model, "LOOKALIKE_PRECISION": precision, "LOOKALIKE_CACHE_DIR": str(cache)}
    config = Config.from_environ(environ)
    embedder = Embedder.open(config=config, threads=1)
    data = [path.read_bytes() for path in sorted(pictures.iterdir())[:16]]
    embedder.embed_images(data)
    began_s = time.thread_time()
    embedder.embed_images(data)
    core_s = (time.thread_time() - began_s) / len(data)
    folder = Path(tempfile.mkdtemp(dir=pictures.parent))
    with Index.create(folder / "i.lookalike", config=replace(config)) as index:
        index.ingest([sorted(pictures.iterdir())[0]])  # the bulk session is loaded before the clock runs
        began_s = time.perf_counter()
        index.ingest([pictures])
        elapsed_s = time.perf_counter() - began_s
        items = index.stats().items
    shutil.rmtree(folder)
    return {"per_s": (items - 1) / elapsed_s, "core_s": core_s}


def peer(pictures: Path, model: str) -> dict[str, float]:
    """Pictures a second through transformers' processor and eager model, batches of 32."""
    import torch
    from PIL import Image
    from transformers import CLIPImageProcessor, CLIPModel

    network = CLIPModel.from_pretrained(model, attn_implementation="eager").eval()
    processor = CLIPImageProcessor.from_pretrained(model, use_fast=False)
    paths = sorted(pictures.iterdir())

    def embed(some: list[Path]) -> None:
        images = [Image.open(path).convert("RGB") for path in some]
        with torch.inference_mode():
            network.get_image_features(**processor(images=images, return_tensors="pt"))

    embed(paths[:32])
    began_s = time.perf_counter()
    for start in range(0, len(paths), 32):
        embed(paths[start : start + 32])
    return {"per_s": len(paths) / (time.perf_counter() - began_s)}


def child(python: str, what: list[str]) -> dict[str, float]:
    """Run one contender in its own process."""
    done = subprocess.run([python, __file__, "--run", *what], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(model: str, peer_python: str, work: Path) -> dict[str, object]:
    """All rounds, as a result file."""
    from lookalike.encoders.cores import available_cores

    pictures, cache = work / "pictures", work / "cache"
    pictures.mkdir()
    make_pictures(pictures, N_PICTURES)
    for precision in TARGETS:
        child(sys.executable, ["ours", str(pictures), model, precision, str(cache)])  # builds the compiled model
    rounds = []
    for _ in range(ROUNDS):
        figures = {"peer": child(peer_python, ["peer", str(pictures), model])}
        for precision in TARGETS:
            figures[precision] = child(sys.executable, ["ours", str(pictures), model, precision, str(cache)])
        rounds.append(figures)
        print({name: round(figure["per_s"], 1) for name, figure in figures.items()}, flush=True)
    rows: list[dict[str, object]] = []
    for precision, target in TARGETS.items():
        rate = statistics.median(figures[precision]["per_s"] for figures in rounds)
        ratio = statistics.median(figures[precision]["per_s"] / figures["peer"]["per_s"] for figures in rounds)
        share = statistics.median(
            figures[precision]["per_s"] * figures[precision]["core_s"] / available_cores() for figures in rounds
        )
        baseline = statistics.median(figures["peer"]["per_s"] for figures in rounds)
        what = f"1,024 x 768 JPEG files to stored vectors, {precision}"
        rows.append(
            {
                "what": what,
                "ours": rate,
                "peer": baseline,
                "unit": "pictures/s",
                "ratio": ratio,
                "target": f">= {target} x",
            }
        )
        rows.append(
            {
                "what": f"the same, of what the cores allow, {precision}",
                "ours": share,
                "peer": None,
                "unit": "share",
                "ratio": None,
                "target": f">= {BOUND_TARGET}",
            }
        )
    machine = {"cpu": cpu(), "cores": available_cores(), "python": platform.python_version()}
    return {"name": "Ingest: files to stored vectors, CLIP ViT-B/32", "machine": machine, "rows": rows}


def main() -> None:
    """Parse, run, write."""
    if sys.argv[1:2] == ["--run"]:
        kind, pictures, model, *rest = sys.argv[2:]
        result = peer(Path(pictures), model) if kind == "peer" else ours(Path(pictures), model, rest[0], Path(rest[1]))
        print(json.dumps(result))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ingest.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        results = measure(arguments.model, arguments.peer_python, Path(work))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    for row in results["rows"]:  # type: ignore[attr-defined]
        print(row)


if __name__ == "__main__":
    main()
