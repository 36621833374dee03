"""The JSON files of a model's folder, read with complaints that name the file, the key and the remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.errors import CorruptModel, ModelNotFound, UnsupportedModel


@dataclass(frozen=True, slots=True)
class Settings:
    """One JSON object of a model's file."""

    model: str
    file: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path, name: str) -> Settings:
        """The content of a file in a model's folder.

        Raises:
            ModelNotFound: It is not there.
            CorruptModel: It is not a JSON object.
        """
        values = read_json(folder, name)
        if not isinstance(values, dict):
            raise CorruptModel(
                f"{folder / name} is not a JSON object: fetch the model again.", model=folder.name, file=name
            )
        return cls(folder.name, name, values)

    def inner(self, *keys: str) -> Settings:
        """The objects under these keys laid over each other, the last on top; what is absent or null is empty."""
        merged: dict[str, Any] = {}
        for key in keys:
            part = self.values.get(key) or {}
            if not isinstance(part, dict):
                raise self.unsupported(key, part, "It must be an object.")
            merged |= part
        return Settings(self.model, self.file, merged)

    def value(self, key: str, default: object = None) -> Any:
        """What stands under a key; the default where it is absent or null."""
        found = self.values.get(key)
        return default if found is None else found

    def count(self, key: str, default: int) -> int:
        """A whole number, 1 or more."""
        found = self.value(key, default)
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise self.unsupported(key, found, "It must be a whole number above 0.")
        return found

    def require(self, key: str, wanted: object, why: str) -> None:
        """Raise UnsupportedModel unless the key has this value or is absent."""
        if (found := self.value(key, wanted)) != wanted:
            raise self.unsupported(key, found, why)

    def unsupported(self, key: str, value: object, why: str) -> UnsupportedModel:
        """The error for a setting that is not built in."""
        return UnsupportedModel(
            f"{self.model}: {key!r} in {self.file} is {value!r}, which is not supported. {why}",
            model=self.model,
            file=self.file,
        )


def read_json(folder: Path, name: str) -> object:
    """What a file in a model's folder holds.

    Raises:
        ModelNotFound: It is not there.
        CorruptModel: It cannot be read.
    """
    try:
        return json.loads((folder / name).read_bytes())
    except FileNotFoundError as error:
        raise ModelNotFound(
            f"{folder} holds no {name}: fetch the model again, or name the folder that holds its files.",
            model=folder.name,
            file=name,
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptModel(
            f"{folder / name} cannot be read ({error}): fetch the model again.", model=folder.name, file=name
        ) from error
