"""The local engine beside transformers (eager, float32), on random weights in the shape of CLIP ViT-B/32.

    python benchmarks/engine.py [--peer-python PYTHON] [--shared FOLDER] [--rounds 5] [--out FILE]

`--peer-python` runs torch, transformers and OpenVINO (parity/requirements.txt). Each stack has a process of its own; a
round asks them for every task in turn while the others wait, and a ratio is the median of the rounds' ratios, so that
what else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from processor import cpu

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

QUERY = "a red dress on the beach"  # eight tokens with begin and end
LENGTHS = (
    5,
    6,
    7,
    7,
    8,
    8,
    8,
    9,
    9,
    9,
    10,
    10,
    10,
    11,
    11,
    12,
    12,
    13,
    13,
    14,
    15,
    16,
    17,
    18,
    20,
    22,
    24,
    28,
    33,
    40,
    55,
    77,
)
"""Of a mixed batch, in tokens: roughly lognormal, as captions are."""

COLD = """
import sys
import lookalike
lookalike.Embedder.open(sys.argv[1]).embed_texts([sys.argv[2]])
print(flush=True)
"""
COLD_PEER = """
import sys
import tokenizers, torch
from transformers import CLIPModel
model = CLIPModel.from_pretrained(sys.argv[1], attn_implementation="eager").eval()
ids = tokenizers.Tokenizer.from_file(sys.argv[1] + "/tokenizer.json").encode(sys.argv[2]).ids
with torch.inference_mode():
    model.get_text_features(input_ids=torch.tensor([ids]))
print(flush=True)
"""
"""From nothing to the first vector of a text, as a program of one's own would; then a line."""

STACKS = ("exact", "int8", "OpenVINO, exact", "OpenVINO, bf16", "OpenVINO, int8")
"""Ours: ONNX Runtime unless another is named, and the precision."""

REPEATS = {"image b1": 5, "image b32": 1, "text 8": 10, "text 8 at 77": 10, "texts mixed": 2}

Task = Callable[[], object]


def ours(folder: Path, cache: Path, stack: str) -> dict[str, Task]:
    """What lookalike does for each task."""
    import numpy as np

    from lookalike.types import Tokens

    encoder = open_ours(folder, cache, stack)
    pixels = np.random.default_rng(0).standard_normal((32, 3, 224, 224), dtype=np.float32)
    query = [encoder.prepare_text(QUERY)]
    mixed = [Tokens(np.array(ids)) for ids in mixed_ids()]
    return {
        "image b1": lambda: encoder.encode_images(pixels[:1]),
        "image b32": lambda: encoder.encode_images(pixels),
        "text 8": lambda: encoder.encode_texts(query),
        "text 8 at 77": lambda: encoder.encode_texts(query),  # ours never pads
        "texts mixed": lambda: encoder.encode_texts(mixed),
    }


def peer(folder: Path) -> dict[str, Task]:
    """What transformers does for each task; a batch is padded to its longest text."""
    import torch
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
    pixels = torch.randn(32, 3, 224, 224)
    query = peer_tokens(folder)

    def texts(rows: list[list[int]], length: int) -> object:
        with torch.inference_mode():
            ids = torch.tensor([row + [row[-1]] * (length - len(row)) for row in rows])
            mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
            return model.get_text_features(input_ids=ids, attention_mask=mask)

    def images(n: int) -> object:
        with torch.inference_mode():
            return model.get_image_features(pixel_values=pixels[:n])

    return {
        "image b1": lambda: images(1),
        "image b32": lambda: images(32),
        "text 8": lambda: texts([query], len(query)),
        "text 8 at 77": lambda: texts([query], 77),
        "texts mixed": lambda: texts(mixed_ids(), max(LENGTHS)),
    }


def settings_of(stack: str) -> tuple[str, str]:
    """The runtime and the precision of one of ours."""
    runtime, _, precision = stack.rpartition(", ")
    return runtime.lower() or "onnxruntime", precision


def open_ours(folder: Path, cache: Path, stack: str) -> Any:
    from lookalike.encoders.local import EngineOptions, open_encoder

    runtime, precision = settings_of(stack)
    options = EngineOptions(runtime=runtime, precision=precision)  # type: ignore[arg-type]
    return open_encoder(folder, name="benchmark", weights_sha256="0" * 64, cache_dir=cache, options=options)


def peer_tokens(folder: Path) -> list[int]:
    """The query's ids; the library under transformers' own tokenizer."""
    import tokenizers

    ids: list[int] = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode(QUERY).ids
    return ids


def mixed_ids() -> list[list[int]]:
    return [[49406, *range(320, 318 + length), 49407] for length in LENGTHS]


def serve(tasks: Mapping[str, Task]) -> None:
    """Run the tasks that stdin names; answer each with the seconds that one took, the best of its repeats."""
    for task in tasks.values():
        task()
    for line in sys.stdin:
        name = line.strip()
        print(min(seconds(tasks[name]) for _ in range(REPEATS[name])), flush=True)


def seconds(task: Task) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


class Stack:
    """A process that serves tasks."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: str) -> float:
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("both are pipes")
        print(what, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.communicate()


def cold_seconds(stack: str, python: str, folder: Path, cache: Path) -> float:
    """From the start of a process to its first vector of a text; how it ends is not counted."""
    runtime, precision = settings_of(stack)
    settings = {"LOOKALIKE_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT / "src")}
    settings |= {"LOOKALIKE_RUNTIME": runtime, "LOOKALIKE_PRECISION": precision}
    command = [python, "-c", COLD_PEER if stack == "peer" else COLD, str(folder), QUERY]
    # As installed: with the bytecode of the first start, whatever the caller's environment says.
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"PYTHONPYCACHEPREFIX": str(cache / "bytecode"), **({} if stack == "peer" else settings)}
    start = time.perf_counter()
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise AssertionError("it is a pipe")
        answer = process.stdout.readline()
        took = time.perf_counter() - start
    if process.returncode or not answer:
        raise RuntimeError(f"the start of {stack} failed")
    return took


def make_model(folder: Path, shared: Path) -> None:
    """Random weights in the shape of ViT-B/32, the published tokenizer; run by the peer's Python."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder)
    for name in ("tokenizer.json", "preprocessor_config.json"):
        (folder / name).write_bytes((shared / "golden" / "tokenizer" / f"clip_{name}").read_bytes())


def measure(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Everything, as benchmarks/report.py reads it."""
    folder, cache = work / "model", work / "cache"
    script = str(Path(__file__).resolve())
    pythons = {s: arguments.peer_python if "OpenVINO" in s else sys.executable for s in STACKS}
    pythons["peer"] = arguments.peer_python
    subprocess.run([pythons["peer"], script, "--make", str(folder), str(arguments.shared)], check=True)
    commands = {s: [python, script, "--serve", s, str(folder), str(cache)] for s, python in pythons.items()}
    stacks = {name: Stack(command) for name, command in commands.items()}
    for each in stacks.values():  # all have compiled, and are warm, before the first is timed
        each.ask("text 8")
    times: dict[tuple[str, str], list[float]] = {(t, s): [] for t in REPEATS for s in stacks}
    for _ in range(arguments.rounds):
        for task, stack in times:
            times[task, stack].append(stacks[stack].ask(task))
    for each in stacks.values():
        each.stop()
    starts: dict[tuple[str, str], list[float]] = {("cold", s): [] for s in pythons}
    for stack, python in pythons.items():  # compiles code and model, and fills the page cache
        cold_seconds(stack, python, folder, cache)
    for _ in range(arguments.rounds):
        for (_, stack), found in starts.items():
            found.append(cold_seconds(stack, pythons[stack], folder, cache))
    rows = [row for task in REPEATS for row in task_rows(task, times)] + task_rows("cold", starts)
    return {"name": "Engine: CLIP ViT-B/32", "machine": machine(pythons["peer"]), "rows": rows}


TARGETS = {
    ("image b32", "exact"): 2.1,
    ("image b32", "int8"): 5.0,
    ("text 8", "exact"): 2.7,
    ("text 8", "int8"): 5.4,
    ("text 8 at 77", "exact"): 7.0,
    ("text 8 at 77", "int8"): 14.0,
    ("texts mixed", "exact"): 4.0,
}
START_TARGETS = {"exact": "<= 0.45 s", "int8": "<= 0.3 s"}
NAMES = {
    "image b1": ("one picture", 1, "ms"),
    "image b32": ("pictures, batch 32", 32, "/s"),
    "text 8": ("a query of 8 tokens", 1, "ms"),
    "text 8 at 77": ("a query of 8 tokens, the peer's padded to 77", 1, "ms"),
    "texts mixed": ("texts of 5 to 77 tokens, batch 32", 32, "/s"),
    "cold": ("process start to first text vector", 1, "s"),
}


def task_rows(task: str, times: Mapping[tuple[str, str], list[float]]) -> list[dict[str, Any]]:
    """The lines of one task, one for each precision."""
    what, n, unit = NAMES[task]
    show = {"ms": lambda s: round(s * 1e3, 1), "/s": lambda s: round(n / s, 1), "s": lambda s: round(s, 2)}[unit]
    rows = []
    for stack in STACKS:
        own, other = times[task, stack], times[task, "peer"]
        ratio = statistics.median(b / a for a, b in zip(own, other, strict=True))
        precision = settings_of(stack)[1]
        factor = TARGETS.get((task, precision))
        rows.append(
            {
                "what": f"{what}, {stack}",
                "ours": show(statistics.median(own)),
                "peer": show(statistics.median(other)),
                "unit": unit,
                "ratio": round(ratio, 2),
                "target": START_TARGETS.get(stack) if task == "cold" else f">= {factor:g} x" if factor else None,
            }
        )
    return rows


def machine(peer_python: str) -> dict[str, object]:
    """What the figures depend on."""
    from importlib.metadata import version

    from lookalike.encoders.cores import available_cores

    code = "from importlib.metadata import version as v; print('torch', v('torch'), 'transformers', v('transformers'))"
    peers = subprocess.run([peer_python, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    return {
        "cpu": cpu(),
        "cores": available_cores(),
        "load": round(os.getloadavg()[0], 1),
        "onnxruntime": version("onnxruntime"),
        peers[0]: peers[1],
        peers[2]: peers[3],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=sys.executable, help="a Python with torch and transformers")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="reference material")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "engine.json")
    for role, n in (("--serve", 3), ("--make", 2)):
        parser.add_argument(role, nargs=n, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        stack, folder, cache = arguments.serve
        serve(peer(Path(folder)) if stack == "peer" else ours(Path(folder), Path(cache), stack))
    elif arguments.make:
        make_model(*map(Path, arguments.make))
    else:
        with tempfile.TemporaryDirectory() as work:
            results = measure(arguments, Path(work))
        arguments.out.parent.mkdir(exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        for row in results["rows"]:
            print("{what:58} {ours:>8} {peer:>8} {unit:3} {ratio:>6} x  {target}".format(**row))


if __name__ == "__main__":
    main()
