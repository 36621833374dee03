"""Pictures and texts to vectors: the pipeline from bytes to unit rows, with one error per bad item."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np

from lookalike.calls import Inputs, Payload, error_of, failure_of, joined
from lookalike.errors import InputError
from lookalike.files import picture_bytes
from lookalike.image import decode
from lookalike.known import space_of
from lookalike.policy import ImagePolicy
from lookalike.ports import Encoder, Vectorizer
from lookalike.spaces import Space, Tower
from lookalike.types import Failure, Pixels, Rows, Tokens, Vectors

ImageInput = bytes | bytearray | memoryview | str | Path
"""A picture: the bytes of its file, or the file's path."""

OnError = Literal["raise", "collect"]

Prepared = TypeVar("Prepared", Pixels, Tokens)
Input = TypeVar("Input")


class Embedder:
    """Turns pictures and texts into vectors of one space.

    Safe to use from several threads at once.

    Args:
        vectorizer: What does it: a model in this process, a provider, or several of them.
    """

    def __init__(self, vectorizer: Vectorizer) -> None:
        vectorizer.tower.require_use()
        self._vectorizer = vectorizer

    @property
    def tower(self) -> Tower:
        """The recipe that makes the vectors."""
        return self._vectorizer.tower

    @property
    def space(self) -> Space:
        """Where the vectors belong."""
        return self._vectorizer.tower.space

    @property
    def policy(self) -> ImagePolicy:
        """What the image door lets through."""
        return self._vectorizer.policy

    def embed_images(
        self,
        images: Iterable[ImageInput],
        *,
        names: Sequence[str] = (),
        on_error: OnError = "raise",
        timeout_s: float | None = None,
    ) -> Vectors:
        """Embed pictures.

        Args:
            images: Bytes or paths, in any mixture.
            names: What to call each in errors; its path, or "images[3]", if left out.
            on_error: "raise" the first item's error after all were tried, or "collect" them in `.failures`.
            timeout_s: When a provider's answer is worth nothing any more; the model's own patience if left out.

        Returns:
            (n, dim) float32 unit rows in the order of `images`, failed ones left out.

        Raises:
            InputError: A picture cannot be used (ImageError, TooLarge, UnsupportedMedia), or not now (OutOfMemory).
            UnsupportedModel: The model embeds no pictures.
            ProviderError: The provider of the model did not do its part.
        """
        images = several(images, "images")
        names = names_of(images, "images", names)
        return self._embed(Inputs(modality="image", payloads=images, names=names), on_error, timeout_s)

    def embed_texts(
        self,
        texts: Iterable[str],
        *,
        names: Sequence[str] = (),
        on_error: OnError = "raise",
        timeout_s: float | None = None,
    ) -> Vectors:
        """Embed texts; one that is longer than the model reads is cut, and a warning says so.

        Args:
            texts: Any strings; a model in this process embeds an empty one too.
            names: What to call each in errors and warnings; "texts[3]" if left out.
            on_error: As in `embed_images`.
            timeout_s: As in `embed_images`.

        Returns:
            (n, dim) float32 unit rows in the order of `texts`, failed ones left out.

        Raises:
            InputError: An input is not a string, or the provider takes no such text.
            ProviderError: The provider of the model did not do its part.
        """
        texts = several(texts, "texts")
        names = names_of(texts, "texts", names)
        return self._embed(Inputs(modality="text", payloads=texts, names=names), on_error, timeout_s)

    def _embed(self, inputs: Inputs, on_error: OnError, timeout_s: float | None) -> Vectors:
        until = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        vectors = joined(self._vectorizer.embed(inputs, until=until), self.tower)
        if vectors.failures and on_error == "raise":
            raise error_of(vectors.failures[0])
        return vectors


class LocalVectorizer:
    """A model in this process: decode, prepare, encode, a batch at a time; see `ports.Vectorizer`.

    Args:
        encoder: The model.
        policy: Budgets of the image door; its orientation is taken from the encoder's space.
        batch_size: How many pictures or texts the model sees at once.
    """

    def __init__(self, encoder: Encoder, *, policy: ImagePolicy | None = None, batch_size: int = 32) -> None:
        self._encoder = encoder
        self._policy = replace(policy or ImagePolicy(), orientation=encoder.tower.space.orientation)
        self._batch_size = batch_size

    @property
    def tower(self) -> Tower:
        """The recipe that makes the vectors."""
        return self._encoder.tower

    @property
    def policy(self) -> ImagePolicy:
        """What the image door lets through."""
        return self._policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:  # noqa: ARG002 (native code)
        """One part for each batch; a row that is not finite is a failure of its item, never an answer."""
        if inputs.modality == "image":
            images = _batches(inputs, self._prepare_image, self._batch_size)
            yield from (
                batch.vectors(lambda p: self._encoder.encode_images(np.stack(p)), self.tower) for batch in images
            )
        else:
            texts = _batches(inputs, self._prepare_text, self._batch_size)
            yield from (batch.vectors(self._encoder.encode_texts, self.tower) for batch in texts)

    def _prepare_image(self, image: Payload, item: str) -> Pixels:
        data = picture_bytes(image, self._policy, item=item)
        return self._encoder.prepare_image(decode(data, self._policy, item=item))

    def _prepare_text(self, text: Payload, item: str) -> Tokens:
        if not isinstance(text, str):
            raise InputError(f"is a {type(text).__name__}, not a text.", item=item)
        return self._encoder.prepare_text(text)


@dataclass
class _Batch(Generic[Prepared]):
    """Prepared inputs that the model sees together, and what became of the others on the way."""

    prepared: list[Prepared] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def vectors(self, encode: Callable[[list[Prepared]], Rows], tower: Tower) -> Vectors:
        values = encode(self.prepared) if self.prepared else np.empty((0, tower.space.dim), np.float32)
        is_finite = np.isfinite(values).all(axis=-1)
        finite = np.flatnonzero(is_finite)
        broken: list[int] = np.flatnonzero(~is_finite).tolist()
        tokens = [part if isinstance(part, Tokens) else None for part in self.prepared]
        return Vectors(
            np.ascontiguousarray(values[finite]),
            tower,
            np.array(self.positions, np.int64)[finite],
            warnings=tuple(
                f"{name}: longer than the model reads; its end was left out."
                for name, found in zip(self.names, tokens, strict=True)
                if found and found.truncated
            ),
            failures=(*self.failures, *(_not_finite(self.positions[place], self.names[place]) for place in broken)),
            n_tokens=np.array([len(found.ids) if found else 0 for found in tokens], np.int64)[finite],
        )


def _not_finite(position: int, name: str) -> Failure:
    return failure_of(position, name, InputError("the model answered with numbers that are not finite.", item=name))


def _batches(inputs: Inputs, prepare: Callable[[Payload, str], Prepared], size: int) -> Iterator[_Batch[Prepared]]:
    """Prepared inputs, `size` at a time; one that cannot be prepared is a failure of its batch."""
    batch: _Batch[Prepared] = _Batch()
    for position, (payload, name) in enumerate(zip(inputs.payloads, inputs.names, strict=True)):
        try:
            prepared = prepare(payload, name)
        except InputError as error:
            batch.failures.append(failure_of(position, name, error))
            continue
        batch.prepared.append(prepared)
        batch.positions.append(position)
        batch.names.append(name)
        if len(batch.prepared) == size:
            yield batch
            batch = _Batch()
    if batch.prepared or batch.failures:
        yield batch


def several(inputs: Iterable[Input], name: str) -> Sequence[Input]:
    """The inputs, to be counted: a list of them where they come from a generator, a set or an array."""
    # A text is a sequence of letters, and would be embedded letter by letter.
    if isinstance(inputs, str | bytes | bytearray | memoryview | Path) or not hasattr(inputs, "__iter__"):
        raise InputError(f"{name} is a single {type(inputs).__name__}: hand in a list of one.")
    return inputs if isinstance(inputs, Sequence) else list(inputs)


def names_of(inputs: Sequence[object], what: str, names: Sequence[str]) -> Sequence[str]:
    """What to call each input: its given name, its path, or "images[3]"."""
    if names and len(names) != len(inputs):
        raise InputError(f"There are {len(names):,} names for {len(inputs):,} {what}: hand in one for each, or none.")
    if names or what == "texts":
        return names or [f"texts[{i}]" for i in range(len(inputs))]
    return [str(image) if isinstance(image, str | Path) else f"{what}[{i}]" for i, image in enumerate(inputs)]


def require_space(model: str, space: Space) -> None:
    """Refuse a known model that no proof could let into a space, before it is downloaded for nothing.

    Raises:
        SpaceMismatch: Its vectors have another length.
    """
    known = space_of(model, space.orientation)
    if known is not None and known.dim != space.dim:
        from lookalike.parity import mismatch  # only a mistake needs it

        raise mismatch(space, known)
