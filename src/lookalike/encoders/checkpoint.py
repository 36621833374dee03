"""The arrays of a `model.safetensors`, checked and as float32. The only file that imports `safetensors`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import CorruptModel, MissingDependency, ModelNotFound, UnsupportedModel

FILE = "model.safetensors"

DENSE = "2_Dense"
"""Where sentence-transformers keeps the dense layer behind the pooling: a folder with a file of its own."""

_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An open `model.safetensors`, and the dense layer's beside it.

    Attributes:
        model: The model's name, for messages.
    """

    model: str
    _tensors: Mapping[str, tuple[Any, str]]  # safetensors.safe_open, whose methods are not annotated, and its own name

    @property
    def names(self) -> frozenset[str]:
        """The tensors in it; that of the dense layer is "2_Dense/linear.weight"."""
        return frozenset(self._tensors)

    def array(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One tensor as float32; smaller floats are widened, which changes no value.

        Raises:
            CorruptModel: It is absent, of another shape than `config.json` says, or not finite.
            UnsupportedModel: Its values are not floats (a quantised checkpoint).
        """
        if name not in self.names:
            raise self._corrupt(f"lacks the tensor {name!r} that its config.json asks for")
        file, own_name = self._tensors[name]
        stored = file.get_slice(own_name)
        if tuple(stored.get_shape()) != shape:
            raise self._corrupt(f"has {name!r} of shape {tuple(stored.get_shape())} where config.json says {shape}")
        if stored.get_dtype() not in _FLOATS:
            raise UnsupportedModel(
                f"{self.model}: {name!r} in {FILE} is {stored.get_dtype()}, which is not supported: "
                "use the checkpoint in float32, float16 or bfloat16.",
                model=self.model,
                file=FILE,
            )
        array = np.ascontiguousarray(file.get_tensor(own_name), dtype=np.float32)
        if not np.isfinite(array).all():
            raise self._corrupt(f"has values in {name!r} that are not finite")
        return array

    def require_last(self, blocks: str, n: int) -> None:
        """Raise CorruptModel if there is a block behind the first n: with fewer, the vectors would be others."""
        if any(name.startswith(f"{blocks}.{n}.") for name in self.names):
            raise self._corrupt(f"has more blocks {blocks!r} than the {n} that its config.json says")

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
    if not (folder / FILE).is_file():
        raise _no_weights(folder)
    paths = {"": folder / FILE, f"{DENSE}/": folder / DENSE / FILE}
    with ExitStack() as stack:
        tensors: dict[str, tuple[Any, str]] = {}
        for prefix, path in paths.items():
            if path.is_file():
                try:
                    # Opening reads the header and compares the file's length with it.
                    file: Any = stack.enter_context(safetensors.safe_open(path, framework="np"))
                except (safetensors.SafetensorError, OSError) as error:
                    raise CorruptModel(
                        f"{path} is damaged or cut short ({error}): fetch the model again.",
                        model=folder.name,
                        file=FILE,
                    ) from error
                tensors |= {f"{prefix}{name}": (file, name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        yield Checkpoint(folder.name, tensors)


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
