"""The service: how soon it is ready, what HTTP costs, and how it stands beside infinity and a plain FastAPI server.

    python benchmarks/serve.py --model FOLDER --peer-python PYTHON --infinity PYTHON [--out FILE]

FOLDER holds ViT-B/32 weights, random ones too: speed does not depend on them. PYTHON has torch, transformers and
fastapi; the other PYTHON has infinity_emb. Contenders run one at a time, in turns, each on both cores together with the
client that asks; ratios are of the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import load
from ingest import make_pictures
from memory import largest_private_mb
from processor import cpu

ROUNDS = 3
SECONDS = 6.0
CLIENTS = 16
N_PICTURES = 64
TEXT = "a photo of a red dress"
"""Eight tokens, with those of the begin and the end."""

COLOURS = ["red", "green", "blue", "black", "white", "yellow", "brown", "grey", "pink", "purple", "orange", "gold"]

BYTECODE = Path(tempfile.gettempdir()) / "lookalike-bytecode"
AS_INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
AS_INSTALLED["PYTHONPYCACHEPREFIX"] = str(BYTECODE)
"""Whoever is started has its bytecode from the start before, as an installed program has; ours and the peers alike."""

READY = {"exact": 1.5, "int8": 1.0}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server.

    Attributes:
        name: What to call it.
        command: How it is started; "{port}" is replaced.
        ready_path: What answers 200 when it is ready.
        image: A picture's bytes -> path and JSON that ask for its vector.
        text: The same for a text.
        environ: Variables on top of this process's own.
    """

    name: str
    command: Sequence[str]
    ready_path: str = "/readyz"
    image: Callable[[bytes], tuple[str, object]]
    text: Callable[[str], tuple[str, object]]
    environ: dict[str, str] = field(default_factory=dict)

    def texts(self) -> list[bytes]:
        """Requests for texts of eight tokens, each another one."""
        texts = [f"a photo of {a} {b} dress" for a in COLOURS for b in COLOURS]
        return [self._request(self.text(text)) for text in texts]

    def images(self, pictures: Sequence[bytes]) -> list[bytes]:
        """Requests for pictures."""
        return [self._request(self.image(picture)) for picture in pictures]

    @staticmethod
    def _request(asked: tuple[str, object]) -> bytes:
        path, body = asked
        return load.request(path, json.dumps(body).encode(), "application/json")


def _plain(kind: str) -> Callable[[Any], tuple[str, object]]:
    return lambda value: (f"/embed/{kind}", {kind: value if kind == "text" else base64.b64encode(value).decode()})


def _openai_image(picture: bytes) -> tuple[str, object]:
    uri = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return "/v1/embeddings", {"model": "m", "input": [uri], "modality": "image", "encoding_format": "base64"}


def ours(model: Path, precision: str, cache: Path, *, workers: int | None = None) -> Contender:
    """This checkout's service."""
    command = [sys.executable, "-m", "lookalike", "serve", "--model", str(model), "--precision", precision]
    return Contender(
        name=f"lookalike {precision}",
        command=[*command, *(["--workers", str(workers)] if workers else []), "--port", "{port}"],
        image=_plain("image"),
        text=_plain("text"),
        environ={"LOOKALIKE_CACHE_DIR": str(cache)},
    )


def peers(model: Path, python: Path, infinity: Path) -> list[Contender]:
    """The servers that it is compared with."""
    options = "--engine torch --device cpu --dtype float32 --no-bettertransformer --no-compile --url-prefix /v1"
    command = [str(infinity.parent / "infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "m"]
    return [
        Contender(
            name="plain",
            command=[str(python), str(Path(__file__).parent / "plain_server.py"), str(model), "{port}"],
            image=_plain("image"),
            text=_plain("text"),
        ),
        Contender(
            name="infinity",
            command=[*command, *options.split(), "--no-model-warmup", "--host", "127.0.0.1", "--port", "{port}"],
            ready_path="/health",
            image=_openai_image,
            text=lambda text: ("/v1/embeddings", {"model": "m", "input": [text], "encoding_format": "base64"}),
            environ={"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"},
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A contender that has said that it is ready."""

    port: int
    pid: int
    ready_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of pictures and texts at equal concurrency."""

    images: load.Figures
    texts: load.Figures
    private_mb: float


@contextmanager
def running(contender: Contender) -> Iterator[Running]:
    """A contender, from when it is ready until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [part.replace("{port}", str(port)) for part in contender.command]
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output, env=AS_INSTALLED | contender.environ)
        try:
            while not _answers(f"http://127.0.0.1:{port}{contender.ready_path}"):
                if process.poll() is not None or time.perf_counter() - began > 120:
                    output.seek(0)
                    raise RuntimeError(f"{contender.name} did not start: {output.read()[-3000:].decode()}")
                time.sleep(0.01)
            yield Running(port=port, pid=process.pid, ready_s=time.perf_counter() - began)
        finally:
            process.terminate()
            process.wait(30)


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 (our own loopback address)
        return bool(answer.status == 200)
    return False


def measured(contender: Contender, pictures: Sequence[bytes]) -> Measured:
    """Pictures and texts at equal concurrency, and what memory they took."""
    with running(contender) as server:
        port = server.port
        for requests in (contender.images(pictures), contender.texts()):
            asyncio.run(load.closed(port, requests, concurrency=CLIENTS, seconds=1.5))  # warm
        images = asyncio.run(load.closed(port, contender.images(pictures), concurrency=CLIENTS, seconds=SECONDS))
        texts = asyncio.run(load.closed(port, contender.texts(), concurrency=CLIENTS, seconds=SECONDS))
        private_mb = largest_private_mb(server.pid)
    for what, figures in {"images": images, "texts": texts}.items():
        print(f"{contender.name:16} {what:7} {figures.per_s:8.1f}/s  p50 {figures.percentile_ms(0.5):7.1f}  "
              f"p95 {figures.percentile_ms(0.95):7.1f} ms  failures {figures.failures}", flush=True)  # fmt: skip
        if figures.failures:
            raise RuntimeError(f"{contender.name}: {figures.failures} requests for {what} failed.")
    return Measured(images=images, texts=texts, private_mb=private_mb)


def compared(contenders: Sequence[Contender], pictures: Sequence[bytes]) -> Iterator[Row]:
    """Ours against each peer: throughput and p95."""
    rounds = [{c.name: measured(c, pictures) for c in contenders} for _ in range(ROUNDS)]
    own = [c.name for c in contenders if c.name.startswith("lookalike")]
    for what in ("images", "texts"):
        for name in own:
            for peer in [c.name for c in contenders if c.name not in own]:
                found = [(getattr(r[name], what), getattr(r[peer], what)) for r in rounds]
                rate, peer_rate = (statistics.median(each.per_s for each in side) for side in zip(*found, strict=True))
                ratio = statistics.median(mine.per_s / other.per_s for mine, other in found)
                note = f"peer: {peer}; {CLIENTS} clients, one {what[:-1]} a request"
                yield row(f"{what} over HTTP, {name.split()[-1]}", rate, f"{what}/s", ">= 2 x", peer_rate, ratio, note)
                late = [(mine.percentile_ms(0.95), other.percentile_ms(0.95)) for mine, other in found]
                p95, peer_p95 = (statistics.median(side) for side in zip(*late, strict=True))
                better = statistics.median(other / mine for mine, other in late)
                yield row(f"{what}: p95, {name.split()[-1]}", p95, "ms", ">= 1 x", peer_p95, better, note)
    for name in own:
        for peer in [c.name for c in contenders if c.name not in own]:
            most, peer_most = (max(r[n].private_mb for r in rounds) for n in (name, peer))
            what = f"private memory of the largest process, {name.split()[-1]}"
            note = f"peer: {peer}; weights that are mapped from a file are nobody's own"
            target = "<= 120 MB" if name.endswith("exact") else None
            yield row(what, most, "MB", target, peer_most, peer_most / most, note)


def row(
    what: str,
    ours: float,
    unit: str,
    target: str | None = None,
    peer: float | None = None,
    ratio: float | None = None,
    note: str = "",
) -> Row:
    """One row of the table."""
    found = {"what": what, "ours": ours, "peer": peer, "unit": unit, "ratio": ratio, "target": target, "note": note}
    print(found, flush=True)
    return found


def readiness(model: Path, cache: Path) -> Iterator[Row]:
    """From the start of the process to the first 200 of /readyz, the compiled model being in the cache."""
    for precision, target_s in READY.items():
        contender = ours(model, precision, cache, workers=2)
        with running(contender):
            pass  # compiles
        seconds = []
        for _ in range(5):
            with running(contender) as server:
                seconds.append(server.ready_s)
        yield row(f"ready, two workers, {precision}", statistics.median(seconds), "s", f"<= {target_s} s")


def overhead(model: Path, cache: Path, pictures: Sequence[bytes]) -> Iterator[Row]:
    """What HTTP adds to the engine, for one client and for many pictures."""
    for precision in READY:
        engine = _child(model, precision, cache, [str(len(pictures))])
        contender = ours(model, precision, cache)
        with running(contender) as server:
            port = server.port
            await_workers(port)
            asyncio.run(load.closed(port, contender.texts(), concurrency=1, seconds=1))
            alone = asyncio.run(load.closed(port, contender.texts(), concurrency=1, seconds=SECONDS))
            requests = [load.request("/embed/image", picture, "image/jpeg") for picture in pictures]
            asyncio.run(load.closed(port, requests, concurrency=32, seconds=2))
            images = asyncio.run(load.closed(port, requests, concurrency=32, seconds=SECONDS))
            yield from _mixed(port, contender, requests, alone, precision)
        extra_ms = alone.percentile_ms(0.5) - engine["text_ms"]
        note = f"engine {engine['text_ms']:.2f} ms, over HTTP {alone.percentile_ms(0.5):.2f} ms"
        yield row(f"what HTTP adds to a query of 8 tokens, p50, {precision}", extra_ms, "ms", "<= 2 ms", note=note)
        share = images.per_s / engine["images_per_s"]
        note = f"{images.per_s:.1f}/s over HTTP, {engine['images_per_s']:.1f}/s by the Embedder in a process"
        yield row(f"JPEGs over HTTP, of the Embedder's own rate, {precision}", share, "share", ">= 0.85", note=note)


def await_workers(port: int) -> None:
    """Wait until all workers have loaded the model. It answers before, but those take the cores meanwhile."""
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=10) as answer:
            if all(worker["state"] != "loading" for worker in json.load(answer)["workers"]):
                return
        time.sleep(0.05)


def _mixed(
    port: int, contender: Contender, images: Sequence[bytes], alone: load.Figures, precision: str
) -> Iterator[Row]:
    """Queries at 70 % of what one client can ask, while as many pictures as possible are embedded.

    Two readings: p95 over the p50 of the same run, which has the target; and, stricter, over the p50 of one client
    alone. Queries that arrive at random moments queue behind each other, so the latter is far above 1 even without any
    pictures: its note says how far.
    """

    def asked() -> Coroutine[Any, Any, load.Figures]:
        return load.arriving(port, contender.texts(), per_s=0.7 * alone.per_s, seconds=SECONDS)

    async def both() -> tuple[load.Figures, load.Figures]:
        return await asyncio.gather(asked(), load.closed(port, images, concurrency=32, seconds=SECONDS))

    unhindered = asyncio.run(asked())
    queries, bulk = asyncio.run(both())
    p50_ms, p95_ms, alone_ms = queries.percentile_ms(0.5), queries.percentile_ms(0.95), alone.percentile_ms(0.5)
    what = "queries beside bulk pictures: p95, of"
    rates = f"{queries.per_s:.0f} queries/s beside {bulk.per_s:.1f} pictures/s"
    note = f"p50 {p50_ms:.1f} ms, p95 {p95_ms:.1f} ms at {rates}"
    yield row(f"{what} their p50, {precision}", p95_ms / p50_ms, "times", "<= 3 times", note=note)
    least = unhindered.percentile_ms(0.95) / alone_ms
    note = f"alone p50 {alone_ms:.1f} ms; the same arrivals without pictures: {least:.1f} times"
    yield row(f"{what} the p50 of one client alone, {precision}", p95_ms / alone_ms, "times", note=note)


def _child(model: Path, precision: str, cache: Path, arguments: Sequence[str]) -> dict[str, float]:
    """The engine's own figures, from a process of its own."""
    command = [sys.executable, __file__, "--engine", str(model), precision, str(cache), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def engine(model: str, precision: str, cache: str, n_pictures: str) -> dict[str, float]:
    """One text at a time, and all the pictures, through the Embedder."""
    from lookalike import Config, Embedder

    environ = {"LOOKALIKE_MODEL": model, "LOOKALIKE_PRECISION": precision, "LOOKALIKE_CACHE_DIR": cache}
    embedder = Embedder.open(config=Config.from_environ(environ))
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), int(n_pictures))
        pictures = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    embedder.embed_images(pictures[:8])
    rates = []
    for _ in range(3):
        began = time.perf_counter()
        embedder.embed_images(pictures)
        rates.append(len(pictures) / (time.perf_counter() - began))
    latencies_ms = []
    for _ in range(400):
        began = time.perf_counter()
        embedder.embed_texts([TEXT])
        latencies_ms.append((time.perf_counter() - began) * 1e3)
    return {"images_per_s": statistics.median(rates), "text_ms": statistics.median(latencies_ms[20:])}


def main() -> None:
    """Measure everything and write the results."""
    if sys.argv[1:2] == ["--engine"]:
        print(json.dumps(engine(*sys.argv[2:])))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--infinity", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "serve.json")
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    with tempfile.TemporaryDirectory() as folder:
        cache, photos = Path(folder) / "cache", Path(folder) / "photos"
        photos.mkdir()
        make_pictures(photos, N_PICTURES)
        pictures = [path.read_bytes() for path in sorted(photos.iterdir())]
        rows = [*readiness(model, cache), *overhead(model, cache, pictures)]
        contenders = [*(ours(model, p, cache) for p in READY), *peers(model, arguments.peer_python, arguments.infinity)]
        rows += compared(contenders, pictures)
    machine = {"cpu": cpu(), "cores": os.cpu_count(), "python": platform.python_version()}
    table = {"name": "Service over HTTP, CLIP ViT-B/32", "machine": machine, "rows": rows}
    arguments.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
