"""Pictures and texts to vectors: the pipeline from bytes to unit rows, with one error per bad item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from lookalike.errors import ImageError, InputError, TooLarge
from lookalike.image import ImagePolicy, decode
from lookalike.ports import Encoder
from lookalike.spaces import Space, Tower
from lookalike.types import Failure, Pixels, Rows, Tokens, Vectors

ImageInput = bytes | str | Path
"""A picture: the bytes of its file, or the file's path."""

OnError = Literal["raise", "collect"]

Input = TypeVar("Input")
Prepared = TypeVar("Prepared", Pixels, Tokens)


class Embedder:
    """Turns pictures and texts into vectors of one space.

    Safe to use from several threads at once.

    Args:
        encoder: The model.
        policy: Budgets of the image door; its orientation is taken from the encoder's space.
        batch_size: How many pictures or texts the model sees at once.
    """

    def __init__(self, encoder: Encoder, *, policy: ImagePolicy | None = None, batch_size: int = 32) -> None:
        encoder.tower.require_parity()
        self._encoder = encoder
        self._policy = replace(policy or ImagePolicy(), orientation=encoder.tower.space.orientation)
        self._batch_size = batch_size

    @property
    def tower(self) -> Tower:
        """The recipe that makes the vectors."""
        return self._encoder.tower

    @property
    def space(self) -> Space:
        """Where the vectors belong."""
        return self._encoder.tower.space

    @property
    def policy(self) -> ImagePolicy:
        """What the image door lets through."""
        return self._policy

    def embed_images(
        self, images: Sequence[ImageInput], *, names: Sequence[str] = (), on_error: OnError = "raise"
    ) -> Vectors:
        """Embed pictures.

        Args:
            images: Bytes or paths, in any mixture.
            names: What to call each in errors; its path, or "images[3]", if left out.
            on_error: "raise" the first item's error after all were tried, or "collect" them in `.failures`.

        Returns:
            (n, dim) float32 unit rows in the order of `images`, failed ones left out.

        Raises:
            InputError: A picture cannot be used (ImageError, TooLarge, UnsupportedMedia).
            UnsupportedModel: The model embeds no pictures.
        """
        _require_several(images, "images")
        names = names or [f"images[{i}]" if isinstance(image, bytes) else str(image) for i, image in enumerate(images)]
        run = _Run(names)
        batches = run.batches(images, self.prepare_image, self._batch_size)
        rows = [self._encoder.encode_images(np.stack(batch)) for batch in batches]
        return run.vectors(rows, self.tower, on_error)

    def embed_texts(self, texts: Sequence[str], *, names: Sequence[str] = (), on_error: OnError = "raise") -> Vectors:
        """Embed texts; one that is longer than the model reads is cut, and a warning says so.

        Args:
            texts: Any strings; an empty one is embedded too.
            names: What to call each in errors and warnings; "texts[3]" if left out.
            on_error: As in `embed_images`.

        Returns:
            (n, dim) float32 unit rows in the order of `texts`, failed ones left out.

        Raises:
            InputError: An input is not a string.
        """
        _require_several(texts, "texts")
        names = names or [f"texts[{i}]" for i in range(len(texts))]
        run = _Run(names)
        batches = run.batches(texts, self._prepare_text, self._batch_size)
        rows = [self._encoder.encode_texts(batch) for batch in batches]
        return run.vectors(rows, self.tower, on_error)

    def prepare_image(self, image: ImageInput, item: str) -> Pixels:
        """Decode one picture and make it ready for the model: (3, height, width) float32."""
        data = image if isinstance(image, bytes) else read_picture(Path(image), max_bytes=self._policy.max_bytes)
        return self._encoder.prepare_image(decode(data, self._policy, item=item))

    def _prepare_text(self, text: str, item: str) -> Tokens:
        if not isinstance(text, str):
            raise InputError(f"is a {type(text).__name__}, not a text.", item=item)
        return self._encoder.prepare_text(text)


class _Run:
    """The bookkeeping of one call: which inputs failed, which were cut, where each row belongs."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._positions: list[int] = []
        self._n_tokens: list[int] = []
        self._errors: list[InputError] = []
        self._failures: list[Failure] = []
        self._warnings: list[str] = []

    def batches(
        self, inputs: Sequence[Input], prepare: Callable[[Input, str], Prepared], size: int
    ) -> Iterator[list[Prepared]]:
        """Prepared inputs, `size` at a time, without those that failed."""
        batch: list[Prepared] = []
        for position, (value, name) in enumerate(zip(inputs, self._names, strict=True)):
            try:
                prepared = prepare(value, name)
            except InputError as error:
                self._fail(position, name, error)
                continue
            if isinstance(prepared, Tokens) and prepared.truncated:
                self._warnings.append(f"{name}: longer than the model reads; its end was left out.")
            self._positions.append(position)
            self._n_tokens.append(len(prepared.ids) if isinstance(prepared, Tokens) else 0)
            batch.append(prepared)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def vectors(self, rows: list[Rows], tower: Tower, on_error: OnError) -> Vectors:
        """The result; a row that is not finite is a failure of its item, never an answer."""
        values = np.concatenate(rows) if rows else np.empty((0, tower.space.dim), np.float32)
        positions = np.array(self._positions, np.int64)
        finite = np.isfinite(values).all(axis=1)
        for position in positions[~finite].tolist():
            name = self._names[position]
            self._fail(position, name, InputError("the model answered with numbers that are not finite.", item=name))
        if self._errors and on_error == "raise":
            raise self._errors[0]
        return Vectors(
            np.ascontiguousarray(values[finite]),
            tower,
            positions[finite],
            warnings=tuple(self._warnings),
            failures=tuple(self._failures),
            n_tokens=np.array(self._n_tokens, np.int64)[finite],
        )

    def _fail(self, position: int, name: str, error: InputError) -> None:
        self._errors.append(error)
        figures = (error.actual, error.limit) if isinstance(error, TooLarge) else ()
        self._failures.append(Failure(position, name, error.reason, type(error).__name__, *figures))


def _require_several(inputs: object, name: str) -> None:
    # A text is a sequence of letters, and would be embedded letter by letter.
    if isinstance(inputs, str | bytes | Path):
        raise InputError(f"{name} is a single {type(inputs).__name__}: hand in a list of one.")


def read_picture(path: Path, *, max_bytes: int) -> bytes:
    """The bytes of a picture file. ImageError if it cannot be read, TooLarge before reading one that is too large."""
    try:
        n_bytes = path.stat().st_size
        if n_bytes > max_bytes:
            raise TooLarge(
                f"has {n_bytes:,} bytes; {max_bytes:,} are allowed.", item=str(path), actual=n_bytes, limit=max_bytes
            )
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}.", item=str(path)) from error
