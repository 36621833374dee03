"""The models of this machine that are known by name: where they are published, and what they are."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.spaces import Modality, Orientation, Space


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


def space_of(name: str, orientation: Orientation) -> Space | None:
    """The space that a known model's vectors belong to, before the model is here; None where that cannot be told."""
    known = known_model(name)
    owner = known_model(known.reads_for) if known and known.reads_for else known
    return owner.space(orientation) if owner and owner.preprocessing else None
