"""The service with a model that does any harm that is asked for: `python -m tests.faults.service.server --port N`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from typing import get_args

import numpy as np
from PIL.Image import Image

from lookalike import app
from lookalike.config import Config
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.http import logs, server
from lookalike.http.opening import open_context
from lookalike.http.sockets import bind
from lookalike.metrics import Metrics
from lookalike.types import Pixels, Rows, Tokens
from lookalike.workers import WorkerPlan, WorkerPool
from tests.faults.models import HARMS, Stage, Wrapped
from tests.pictures import picture

POISON = "poison"
WIDTH = 13
"""A picture so wide does harm; its height says which."""

KINDS: list[tuple[str, Stage]] = list(product(HARMS, get_args(Stage)))
_FIRST_HEIGHT = 7
_MARK = 99.0


def harmful_text(harm: str, stage: Stage, number: int) -> str:
    """A text that does harm; a different one for each number."""
    return f"{POISON} {KINDS.index((harm, stage))} {number}"


def harmful_picture(harm: str, stage: Stage, number: int) -> bytes:
    """A picture that does harm; a different one for each number."""
    return picture((number % 256, number // 256, 0), size=(WIDTH, _FIRST_HEIGHT + KINDS.index((harm, stage))))


def open_harmful(threads: int) -> Embedder:
    """The fake encoder, but for inputs that ask for harm."""
    return Embedder(LocalVectorizer(_Harmful()))


class _Harmful(Wrapped):
    def prepare_image(self, image: Image) -> Pixels:
        pixels = super().prepare_image(image)
        if image.size[0] == WIDTH:
            kind = image.size[1] - _FIRST_HEIGHT
            pixels[0, 0, :2] = _MARK, kind
            _do(kind, "decode")
        return pixels

    def prepare_text(self, text: str) -> Tokens:
        if not text.startswith(POISON):
            return super().prepare_text(text)
        kind = int(text.split()[1])
        _do(kind, "decode")
        return Tokens(np.array([int(_MARK) * 10, kind, 0], np.int64))

    def encode_images(self, pixels: Pixels) -> Rows:
        kinds = [int(one[0, 0, 1]) if one[0, 0, 0] == _MARK else None for one in pixels]
        return _encoded(super().encode_images(pixels), kinds)

    def encode_texts(self, tokens: Sequence[Tokens]) -> Rows:
        kinds = [int(one.ids[1]) if one.ids[0] == _MARK * 10 else None for one in tokens]
        return _encoded(super().encode_texts(tokens), kinds)


def _encoded(rows: Rows, kinds: Sequence[int | None]) -> Rows:
    for place, kind in enumerate(kinds):
        if kind is not None:
            _do(kind, "inference")
            if KINDS[kind] == ("nan", "inference"):
                rows[place] = np.nan
    return rows


def _do(kind: int, stage: Stage) -> None:
    harm, when = KINDS[kind]
    if when == stage:
        HARMS[harm]()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    config, metrics = Config.from_environ(), Metrics()
    logs.configure("warning")
    plan = WorkerPlan(workers=3, cores=app.available_threads(config), stall_s=0.75, max_memory_bytes=512 << 20)
    pool = WorkerPool(open_harmful, plan, canaries=config.cache_dir / "canaries", recorder=metrics)
    with bind("127.0.0.1", parser.parse_args().port) as listener, open_context(config, pool, metrics) as context:
        pool.start()
        server.run(context, listener)
    pool.close(drain_s=0)


if __name__ == "__main__":
    main()
