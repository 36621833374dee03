"""Models that do harm: the fake encoder, but for certain inputs, at a certain stage. For processes of their own.

A picture of the size HARMFUL_SIZE and a text with the word "poison" set the harm off; everything else is answered as
the fake encoder answers it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL.Image import Image

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import ModelNotFound
from lookalike.spaces import Tower
from lookalike.types import Pixels, Rows, Tokens
from tests.pictures import picture

HARMFUL_SIZE = (13, 7)
POISON = "poison"

Stage = Literal["decode", "inference"]

_PIXEL, _TOKEN = 99.0, 999


def poison(number: int = 0, *, image: bool) -> bytes | str:
    """An input that sets the harm off; a different one for each number."""
    return picture((number % 256, 0, 0), size=HARMFUL_SIZE) if image else f"{POISON} {number}"


def good(threads: int) -> Embedder:
    """A model that does no harm."""
    return Embedder(LocalVectorizer(FakeEncoder()))


def harmful(harm: str, stage: Stage, threads: int) -> Embedder:
    """A model that does this harm at this stage."""
    return Embedder(LocalVectorizer(_Harmful(HARMS[harm], stage)))


def local(folder: Path, threads: int) -> Embedder:
    """The real engine on a folder with a model."""
    from lookalike.encoders.local import EngineOptions, open_encoder

    options = EngineOptions(threads=threads)
    cache = folder.with_name(f"{folder.name}-compiled")
    return Embedder(
        LocalVectorizer(open_encoder(folder, name="local", weights_sha256="0" * 64, cache_dir=cache, options=options))
    )


def missing(threads: int) -> Embedder:
    """A model that is not there."""
    raise ModelNotFound("The model 'nowhere' was not found: put it there.", model="nowhere")


def missing_until(path: Path, threads: int) -> Embedder:
    """A model that is not there before a file is."""
    return good(threads) if path.exists() else missing(threads)


def slow_until(path: Path, threads: int) -> Embedder:
    """A model that is being loaded for as long as a file is not there."""
    while not path.exists():
        time.sleep(0.005)
    return good(threads)


def fetched_slowly(folder: Path, tell: Callable[[str], None]) -> None:
    """What goes on until there is a file "go", and says so until there is a file "mute"."""
    while not (folder / "go").exists():
        if not (folder / "mute").exists():
            tell("The model is on its way.")
        time.sleep(0.02)


def crashing(threads: int) -> Embedder:
    """A model that ends the process that loads it."""
    os._exit(7)


def turned_when(path: Path, threads: int) -> Embedder:
    """A model that gives other vectors, under the same name, from the moment on that a file is there."""
    return Embedder(LocalVectorizer(_Turned(path)))


def other_when(path: Path, threads: int) -> Embedder:
    """A model that is another one when it is opened while a file is there."""
    return Embedder(LocalVectorizer(FakeEncoder(name="other" if path.exists() else "fake")))


def noting(path: Path, threads: int) -> Embedder:
    """A model that writes every text that it is given into a file, and waits at the text "wait" for "<path>.go"."""
    return Embedder(LocalVectorizer(_Noting(path)))


def hoarding(threads: int) -> Embedder:
    """A model that never lets go of 64 MiB for each text "keep"."""
    return Embedder(LocalVectorizer(_Hoarding()))


class Wrapped:
    """The fake encoder, for others to change a part of."""

    def __init__(self) -> None:
        self._fake = FakeEncoder()

    @property
    def tower(self) -> Tower:
        return self._fake.tower

    def prepare_image(self, image: Image) -> Pixels:
        return self._fake.prepare_image(image)

    def prepare_text(self, text: str) -> Tokens:
        return self._fake.prepare_text(text)

    def encode_images(self, pixels: Pixels) -> Rows:
        return self._fake.encode_images(pixels)

    def encode_texts(self, tokens: Sequence[Tokens]) -> Rows:
        return self._fake.encode_texts(tokens)


class _Harmful(Wrapped):
    def __init__(self, harm: Callable[[], None], stage: Stage) -> None:
        super().__init__()
        self._harm = harm
        self._stage = stage

    def prepare_image(self, image: Image) -> Pixels:
        pixels = super().prepare_image(image)
        if image.size == HARMFUL_SIZE:
            pixels[0, 0, 0] = _PIXEL
            self._at("decode")
        return pixels

    def prepare_text(self, text: str) -> Tokens:
        if POISON not in text:
            return super().prepare_text(text)
        self._at("decode")
        return Tokens(np.array([_TOKEN] * 3, np.int64))

    def encode_images(self, pixels: Pixels) -> Rows:
        return self._encoded(super().encode_images(pixels), [bool(one[0, 0, 0] == _PIXEL) for one in pixels])

    def encode_texts(self, tokens: Sequence[Tokens]) -> Rows:
        return self._encoded(super().encode_texts(tokens), [bool(one.ids[0] == _TOKEN) for one in tokens])

    def _encoded(self, rows: Rows, harmful: Sequence[bool]) -> Rows:
        if any(harmful):
            self._at("inference")
            if self._harm is _nothing:
                rows[np.array(harmful)] = np.nan
        return rows

    def _at(self, stage: Stage) -> None:
        if stage == self._stage:
            self._harm()


class _Turned(Wrapped):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def encode_texts(self, tokens: Sequence[Tokens]) -> Rows:
        rows = super().encode_texts(tokens)
        return -rows if self._path.exists() else rows


class _Noting(Wrapped):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def prepare_text(self, text: str) -> Tokens:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
        while text.startswith("wait") and not self._path.with_suffix(".go").exists():
            time.sleep(0.002)
        return super().prepare_text(text)


class _Hoarding(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self._hoard: list[bytes] = []

    def prepare_text(self, text: str) -> Tokens:
        if text == "keep":
            self._hoard.append(b"x" * (64 << 20))
        return super().prepare_text(text)


def _sleep() -> None:
    while True:
        time.sleep(3600)


def _spin() -> None:
    """Keep a core busy and the interpreter's lock held, for ever."""
    ctypes.PyDLL(None).poll(None, 0, -1)


def _segfault() -> None:
    ctypes.string_at(0)


def _exit() -> None:
    os._exit(3)


def _eat() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(64 << 20))


def _raise() -> None:
    raise RuntimeError("something went wrong in the model")


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _nothing() -> None:
    """Of "nan": the harm is done to the vectors."""


HARMS: Mapping[str, Callable[[], None]] = {
    "sleep": _sleep,
    "hold": _spin,
    "segfault": _segfault,
    "exit": _exit,
    "memory": _eat,
    "raise": _raise,
    "stop": _stop,
    "nan": _nothing,
}
