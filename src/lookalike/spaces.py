"""Who a vector is: its Space, and the Tower that wrote it.

A *space* is the frozen identity of a vector's geometry. Two vectors may be compared if and only if their spaces are
equal. A *tower* is one recipe that writes into a space; everything that can change a bit of the result is in its
*fingerprint*, which keys the cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Literal

from lookalike.errors import SpaceMismatch

Modality = Literal["image", "text"]
Precision = Literal["exact", "bf16", "int8"]
Orientation = Literal["apply", "ignore"]
Runtime = Literal["onnxruntime", "openvino", "torch"]
"""What runs a model on this machine; all three write into the same space."""

REQUIRED_COSINE = 0.999
"""The least cosine to the reference at which another recipe may write into a space (docs/design.md, section 3)."""


def digest_of(value: object) -> str:
    """The sha256 (hex, 64 characters) of a JSON-able value in its one canonical spelling."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The frozen identity of a vector's geometry.

    Attributes:
        model: Name of the model, for people ("openai/clip-vit-base-patch32").
        weights: sha256 (hex) of the reference weights.
        preprocessing: Digest of the preprocessing that the model was trained with; empty for text alone.
        pooling: How tokens become one vector: "projection" (CLIP) or "mean".
        dim: Length of a vector.
        modalities: What can be embedded into it, sorted.
        normalised: Whether vectors have unit length.
        orientation: Whether photos are turned upright as EXIF says. A rotated photo has two quite different vectors, so
            this is a matter of geometry and not of precision.
    """

    model: str
    weights: str
    preprocessing: str
    pooling: str
    dim: int
    modalities: tuple[Modality, ...]
    normalised: bool = True
    orientation: Orientation = "apply"

    @property
    def id(self) -> str:
        """A short name that is equal if and only if the geometry is: "clip-vit-base-patch32-512@0f3a9c4d21b7"."""
        # Behind "?" are the options of a hosted model, such as an address with slashes.
        return f"{self.model.partition('?')[0].rsplit('/', 1)[-1]}-{self.dim}@{self.key}"

    @property
    def name(self) -> str:
        """The model's name for people: without a hosted model's options, and of a folder without the way there."""
        plain = self.model.partition("?")[0]
        path = PurePath(plain)
        return path.name if path.is_absolute() else plain

    @property
    def key(self) -> str:
        """The part of the id that decides equality, without the model's name."""
        return _key_of(self)

    def require(self, other: Space, *, doing: str) -> None:
        """Raise SpaceMismatch unless `other` is this very space; `doing` says what was attempted ("searching")."""
        if self.key != other.key:
            raise SpaceMismatch(
                f"{doing} would mix two vector spaces: this is {self.id}, and it was offered vectors of {other.id}. "
                "Use the model that made the first, or embed everything again with the other.",
                expected=self.id,
                actual=other.id,
            )

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Space:
        """The space that `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "modalities": tuple(fields["modalities"])})


@lru_cache(maxsize=64)
def _key_of(space: Space) -> str:
    # Kept, since every answer names its space. The model's name is for people: the same weights in another folder are
    # the same space.
    return digest_of({key: value for key, value in asdict(space).items() if key != "model"})[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approximation:
    """That a tower's vectors are only near those of its space's own text model: they may ask, and are never stored.

    Attributes:
        source: What reads the words in its place ("openai:text-embedding-3-small").
        note: A sentence for people: what stands in for what, and how well.
        agreement: (name, value) pairs of what was measured on texts that it had not seen; empty if nothing was.
    """

    source: str
    note: str
    agreement: tuple[tuple[str, float], ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """It as JSON-able values, for an answer."""
        return {"source": self.source, "note": self.note, "agreement": dict(self.agreement)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Approximation:
        """What `document` says, from elsewhere. LookupError, TypeError or ValueError if it says something else."""
        agreement = tuple((str(name), float(value)) for name, value in dict(document["agreement"]).items())
        return cls(source=str(document["source"]), note=str(document["note"]), agreement=agreement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """One recipe that writes vectors into a space, or near it.

    Attributes:
        space: Where its vectors belong.
        precision: "exact" (float32, the reference), "bf16" or "int8".
        runtime: The library family that computes ("onnxruntime", "openvino", "fake", a provider's name).
        recipe: sorted (name, value) pairs of all else that can change a bit: tokenizer, token limit, preprocessing.
        cosine: Least cosine to the reference that was measured; 1.0 for the reference itself.
        approximation: Set if it only comes near the space: it embeds words to search with, and nothing else.
        proven: What it may embed, sorted, if the space is another model's and it writes into it by a proof of parity.
    """

    space: Space
    precision: Precision = "exact"
    runtime: str
    recipe: tuple[tuple[str, str], ...] = ()
    cosine: float = 1.0
    approximation: Approximation | None = None
    proven: tuple[Modality, ...] | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it embeds: everything that its space has, words alone if it is an approximation, or what is proven."""
        if self.approximation:
            return ("text",)
        return self.space.modalities if self.proven is None else self.proven

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of everything that can change a bit of a vector; keys the cache."""
        fields = asdict(self)
        for measured in ("cosine", "approximation", "proven"):  # what was measured of the recipe is no part of it
            del fields[measured]
        fields["space"] = self.space.key
        return digest_of(fields)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Tower:
        """The tower that `dataclasses.asdict` took apart, through JSON or not."""
        near = fields.get("approximation") and Approximation.of(fields["approximation"])
        space = {**fields["space"], "modalities": tuple(fields["space"]["modalities"])}
        recipe = tuple((name, value) for name, value in fields["recipe"])
        proven = None if fields.get("proven") is None else tuple(fields["proven"])
        return cls(**{**fields, "space": Space(**space), "recipe": recipe, "approximation": near, "proven": proven})

    def require_parity(self) -> None:
        """Raise SpaceMismatch unless what this tower writes may be stored in its space."""
        if self.approximation:
            raise SpaceMismatch(
                f"{self.approximation.source} comes near the space of {self.space.model} without belonging to it: it "
                f"may search pictures, and not store any. Open {self.space.model} for that.",
                expected=self.space.id,
                actual=f"{self.space.id}~{self.approximation.source}",
            )
        self.require_use()

    def require_use(self) -> None:
        """Raise SpaceMismatch if this tower was measured too far from its space's reference and does not say so."""
        if self.cosine < REQUIRED_COSINE:
            raise SpaceMismatch(
                f"The {self.precision} tower of {self.space.model} on {self.runtime} is too far from the reference to "
                f"share its space: cosine {self.cosine:.5f}, needed {REQUIRED_COSINE}. Use precision 'exact' on "
                "runtime 'onnxruntime', the reference.",
                expected=self.space.id,
                actual=f"{self.space.id}+{self.precision}",
            )
