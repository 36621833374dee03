"""The arrays of a `model.safetensors`, checked and as float32. The only file that imports `safetensors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import CorruptModel, MissingDependency, ModelNotFound, UnsupportedModel

FILE = "model.safetensors"

_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An open `model.safetensors`.

    Attributes:
        model: The model's name, for messages.
        names: The tensors in it.
    """

    model: str
    names: frozenset[str]
    _file: Any  # safetensors.safe_open, whose methods are not annotated

    def array(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One tensor as float32; smaller floats are widened, which changes no value.

        Raises:
            CorruptModel: It is absent, of another shape than `config.json` says, or not finite.
            UnsupportedModel: Its values are not floats (a quantised checkpoint).
        """
        if name not in self.names:
            raise self._corrupt(f"lacks the tensor {name!r} that its config.json asks for")
        stored = self._file.get_slice(name)
        if tuple(stored.get_shape()) != shape:
            raise self._corrupt(f"has {name!r} of shape {tuple(stored.get_shape())} where config.json says {shape}")
        if stored.get_dtype() not in _FLOATS:
            raise UnsupportedModel(
                f"{self.model}: {name!r} in {FILE} is {stored.get_dtype()}, which is not supported: "
                "use the checkpoint in float32, float16 or bfloat16.",
                model=self.model,
                file=FILE,
            )
        array = np.ascontiguousarray(self._file.get_tensor(name), dtype=np.float32)
        if not np.isfinite(array).all():
            raise self._corrupt(f"has values in {name!r} that are not finite")
        return array

    def _corrupt(self, what: str) -> CorruptModel:
        return CorruptModel(f"{self.model}: {FILE} {what}: fetch the model again.", model=self.model, file=FILE)


@contextmanager
def open_checkpoint(folder: Path) -> Iterator[Checkpoint]:
    """The checkpoint of a model's folder, memory-mapped while the block runs.

    Raises:
        ModelNotFound: The folder holds no weights.
        UnsupportedModel: It holds a pickle only. A pickle runs code when it is read, so it never is.
        CorruptModel: The file is truncated or damaged.
        MissingDependency: safetensors is not installed.
    """
    try:
        import safetensors
    except ImportError as error:
        raise MissingDependency("safetensors", extra="local") from error
    path = folder / FILE
    if not path.is_file():
        raise _no_weights(folder)
    try:
        # Opening reads the header and compares the file's length with it.
        file: Any = safetensors.safe_open(path, framework="np")
    except (safetensors.SafetensorError, OSError) as error:
        raise CorruptModel(
            f"{path} is damaged or cut short ({error}): fetch the model again.", model=folder.name, file=FILE
        ) from error
    with file:
        yield Checkpoint(folder.name, frozenset(file.keys()), file)


def _no_weights(folder: Path) -> ModelNotFound | UnsupportedModel:
    if (folder / f"{FILE}.index.json").is_file():
        return UnsupportedModel(
            f"The weights in {folder} are split over several files, which is not supported: join them into one {FILE}.",
            model=folder.name,
            file=f"{FILE}.index.json",
        )
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickles:
        return UnsupportedModel(
            f"{folder} holds its weights as a pickle ({pickles[0]}), which could run any code when read: convert it "
            f"to {FILE}, or use a revision that has one.",
            model=folder.name,
            file=pickles[0],
        )
    return ModelNotFound(f"{folder} holds no {FILE}: fetch the model again.", model=folder.name, file=FILE)
