"""Who a vector is: its Space, the Tower that wrote it, and the models known by name.

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


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of a model.

    Attributes:
        name: Path within the repository, with forward slashes.
        sha256: Its digest (hex), or None where no published digest is known: then it is taken as first seen.
        n_bytes: Its size, or None where not known.
        optional: True if the model works without it.
    """

    name: str
    sha256: str | None = None
    n_bytes: int | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A row of the table of models known by name.

    Attributes:
        name: Repository on the hub ("owner/name"), or "tiny" for the built-in model.
        revision: The commit that is fetched; empty for the built-in model.
        files: What is fetched.
        aliases: Other names that people use.
        dim: Length of its vectors.
        modalities: What it embeds.
        licence: SPDX id of the weights.
        note: One sentence for `lookalike models list`.
        preprocessing: Digest of how its pictures are prepared, for models of texts that search them; see `space`.
        reads_for: The model whose pictures its texts were trained to find; empty if its space is its own.
    """

    name: str
    revision: str
    files: tuple[PinnedFile, ...]
    aliases: tuple[str, ...]
    dim: int
    modalities: tuple[Modality, ...]
    licence: str
    note: str
    preprocessing: str = ""
    reads_for: str = ""

    def space(self, orientation: Orientation) -> Space:
        """The space of a model of pictures, without opening it."""
        (weights,) = (file.sha256 for file in self.files if file.name == "model.safetensors")
        return Space(
            model=self.name,
            weights=weights or "",
            preprocessing=self.preprocessing,
            pooling="projection",
            dim=self.dim,
            modalities=self.modalities,
            orientation=orientation,
        )

    @property
    def n_bytes(self) -> int:
        """What a download weighs, as far as the sizes are known."""
        return sum(file.n_bytes or 0 for file in self.files)


# Digests as published for these revisions; docs/models.md says where each comes from. Adding a model is adding a row.
KNOWN_MODELS: tuple[KnownModel, ...] = (
    KnownModel(
        name="tiny",
        revision="",
        files=(),
        aliases=("builtin",),
        dim=128,
        modalities=("image", "text"),
        licence="MIT",
        note="Built in, works offline: a small CLIP for demos, tests and a first try. Not a replacement for CLIP.",
    ),
    KnownModel(
        name="openai/clip-vit-base-patch32",
        # The conversion to safetensors; `main` holds a pickle only.
        revision="b33cedfd0df4e43b8238760678fcc89e1a0d38b3",
        files=(
            PinnedFile(
                "model.safetensors", "99d28a652e6ec46629ab7047a0ac82c69b1fe11e0ce672c43af65d3a9a3fc05d", 605157884
            ),
            PinnedFile("config.json", "b575ef3c36f2a057fa19e221650105052d61cc9c1a972ec15019c6261ec98770", 4186),
            PinnedFile(
                "preprocessor_config.json", "910e70b3956ac9879ebc90b22fb3bc8a75b6a0677814500101a4c072bd7857bd", 316
            ),
            PinnedFile("tokenizer.json", "b556ac8c99757ffb677208af34bc8c6721572114111a6e0aaf5fa69ff0b8d842", 2224041),
        ),
        aliases=("clip", "clip-vit-b-32", "vit-b-32", "vit-b/32"),
        dim=512,
        modalities=("image", "text"),
        licence="MIT",
        note="CLIP ViT-B/32: text finds pictures, pictures find pictures. The default for your own photos.",
        preprocessing="7094c35b7b5edc59926d5577b97c693b891a71ddf35c017eaad0971b891a1837",
    ),
    KnownModel(
        name="sentence-transformers/all-MiniLM-L6-v2",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        files=(
            PinnedFile(
                "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90868376
            ),
            PinnedFile("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612),
            PinnedFile("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466247),
            PinnedFile(
                "sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7", 53
            ),
            PinnedFile(
                "1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23", 190
            ),
        ),
        aliases=("minilm", "all-minilm-l6-v2"),
        dim=384,
        modalities=("text",),
        licence="Apache-2.0",
        note="Sentences to 384-d vectors: text to text only.",
    ),
    KnownModel(
        name="sentence-transformers/clip-ViT-B-32-multilingual-v1",
        revision="58edf8cada9e398793dca955574a48cbb7f18be2",
        files=(
            PinnedFile("config.json"),
            PinnedFile("tokenizer.json"),
            PinnedFile("sentence_bert_config.json"),
            PinnedFile("1_Pooling/config.json"),
            PinnedFile("2_Dense/config.json"),
            PinnedFile("2_Dense/model.safetensors"),
            PinnedFile("model.safetensors"),
        ),
        aliases=("clip-multilingual", "clip-vit-b-32-multilingual-v1"),
        dim=512,
        modalities=("text",),
        licence="Apache-2.0",
        note="Searches an index of CLIP ViT-B/32 in 50 languages, Hebrew among them; embeds no pictures.",
        reads_for="openai/clip-vit-base-patch32",
    ),
)


def known_model(name: str) -> KnownModel | None:
    """The row for a name or alias, case aside; None if the name is not in the table."""
    wanted = name.lower()
    for model in KNOWN_MODELS:
        if wanted == model.name.lower() or wanted in model.aliases:
            return model
    return None
