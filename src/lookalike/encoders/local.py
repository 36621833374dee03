"""Local models: a Hugging Face folder to an Encoder that runs on ONNX Runtime, or on another of `runtimes`.

A tower is compiled once per machine (`compiled`): the graph is optimised for the processor and its weights are packed
the way the kernels read them, in a file that every process maps instead of loading. Opening a compiled tower reads
neither the checkpoint nor the libraries that are needed to build.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from lookalike.encoders.architecture import Architecture, ClipText, read_architecture
from lookalike.encoders.batches import Feed, plan, pooled_part, text_feed
from lookalike.encoders.cores import available_cores
from lookalike.encoders.quantise import LEVELS
from lookalike.encoders.runtimes import require_runnable
from lookalike.encoders.samples import TEXTS, pictures
from lookalike.encoders.settings import Settings
from lookalike.encoders.tokenizer import LazyTokenizer
from lookalike.encoders.towers import GRAPH_VERSION, LazyTower, Recipe, cosine_of
from lookalike.errors import CorruptModel, InputError, UnsupportedModel
from lookalike.pixels import PixelSpec, prepare
from lookalike.spaces import Approximation, Modality, Orientation, Precision, Runtime, Space, Tower, digest_of
from lookalike.types import Pixels, Rows, Tokens

PICTURES_PER_RUN = 8
"""Larger batches run no faster: their states no longer fit the processor's caches."""


USUAL_HEADS = {128: 4, 192: 6, 384: 12, 1280: 16, 1408: 16, 1664: 16}
"""By the width of the states, where a head has not 64 numbers of them: tiny, MiniLM, LAION's ViT-H, -g, -bigG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How a local model runs.

    Attributes:
        precision: "exact" (float32), "bf16" or "int8".
        runtime: What runs it.
        orientation: Whether the EXIF orientation of a picture is applied or ignored.
        threads: Cores for one call; 0 for all that the container allows.

    Raises:
        ConfigError: The runtime does not compute in this precision.
    """

    precision: Precision = "exact"
    runtime: Runtime = "onnxruntime"
    orientation: Orientation = "apply"
    threads: int = 0

    def __post_init__(self) -> None:
        require_runnable(self.runtime, self.precision)


def open_encoder(
    folder: Path,
    *,
    name: str,
    weights_sha256: str,
    cache_dir: Path,
    options: EngineOptions | None = None,
    space: Space | None = None,
) -> LocalEncoder:
    """Open a model from a Hugging Face folder.

    Args:
        folder: Holds config.json, model.safetensors, the tokenizer's files and, for a model that sees,
            preprocessor_config.json or processor_config.json. Once compiled, model.safetensors is not read any more.
        name: The model's name.
        weights_sha256: sha256 (hex) of model.safetensors.
        cache_dir: Where compiled graphs are kept.
        options: How it runs.
        space: The space whose texts it was trained to agree with, if that is another model's: its words may then
            search what is stored there.

    Raises:
        ModelNotFound: A file is missing.
        CorruptModel: A file is damaged, or does not fit the others; of the tokenizer and the checkpoint, whoever
            needs them first is told.
        UnsupportedModel: An architecture or option that is not built in.
        MissingDependency: A library of the extra "local", or of the runtime's, is not installed.
    """
    options = options or EngineOptions()
    architecture = read_architecture(folder)
    spec = _pixel_spec(folder, architecture)
    tokenizer = LazyTokenizer(folder, architecture.text)
    recipes = {
        modality: Recipe(
            folder=folder,
            name=name,
            weights_sha256=weights_sha256,
            architecture=architecture,
            modality=modality,
            precision=options.precision,
            runtime=options.runtime,
            samples=make,
            cache_dir=cache_dir,
        )
        for modality, make in _samples(architecture, tokenizer, spec).items()
    }
    texts = (("tokenizer", tokenizer.digest), ("graph", str(GRAPH_VERSION)))
    tower = Tower(
        space=_space(name, weights_sha256, architecture, spec=spec, orientation=options.orientation),
        precision=options.precision,
        runtime=options.runtime,
        recipe=(*_rounding(options.precision), *_resizing(spec), *texts),
        cosine=min(cosine_of(recipe) for recipe in recipes.values()),
    )
    if space is not None:
        tower = _reading_for(space, tower)
    threads = options.threads or available_cores()
    towers = {modality: LazyTower(recipe, threads=threads) for modality, recipe in recipes.items()}
    return LocalEncoder(tower, architecture, towers, spec=spec, tokenizer=tokenizer)


class LocalEncoder:
    """A local model; see `ports.Encoder`. Its towers are opened when they are first needed, each for itself."""

    def __init__(
        self,
        tower: Tower,
        architecture: Architecture,
        towers: Mapping[Modality, LazyTower],
        *,
        spec: PixelSpec | None,
        tokenizer: LazyTokenizer,
    ) -> None:
        self._tower = tower
        self._text = architecture.text
        self._towers = towers
        self._spec = spec
        self._tokenizer = tokenizer

    @property
    def tower(self) -> Tower:
        """The recipe; its fingerprint covers everything below."""
        return self._tower

    def prepare_image(self, image: Image.Image) -> Pixels:
        """An upright RGB picture of any size -> (3, height, width) float32."""
        return prepare(image, self._pixel_spec())

    def prepare_text(self, text: str) -> Tokens:
        """A text of any length -> its token ids, cut to what the model reads."""
        # Tokens are made to be embedded, and the first text waits for the tokenizer anyway.
        self._towers["text"].open_early()
        return self._tokenizer.encode(text)

    def encode_images(self, pixels: Pixels) -> Rows:
        """(n, 3, height, width) float32 -> (n, dim) unit rows.

        Raises:
            InputError: The array has another shape or type.
            UnsupportedModel: The model embeds no pictures.
        """
        expected = (3, *self._pixel_spec().output_size)
        if pixels.dtype != np.float32 or pixels.ndim != 4 or pixels.shape[1:] != expected:
            raise InputError(
                f"Pictures are {pixels.dtype} of shape {pixels.shape}, where the model reads float32 of shape "
                f"(n, {', '.join(map(str, expected))}): prepare each with prepare_image and stack them."
            )
        rows = np.empty((len(pixels), self._tower.space.dim), np.float32)
        for start in range(0, len(pixels), PICTURES_PER_RUN):
            part = slice(start, start + PICTURES_PER_RUN)
            rows[part] = self._towers["image"].run({"pixels": np.ascontiguousarray(pixels[part])})
        return rows

    def encode_texts(self, tokens: Sequence[Tokens]) -> Rows:
        """n tokenised texts of any lengths -> (n, dim) unit rows, in the same order.

        Raises:
            InputError: Token ids that are not this model's.
        """
        texts = [pooled_part(text.ids, self._text) for text in tokens]
        rows = np.empty((len(texts), self._tower.space.dim), np.float32)
        for places in plan([len(ids) for ids in texts]):
            rows[places] = self._towers["text"].run(text_feed([texts[i] for i in places], self._text))
        return rows

    def _pixel_spec(self) -> PixelSpec:
        if self._spec is None:
            model = self._tower.space.model
            raise UnsupportedModel(f"{model} embeds texts only: open a CLIP model for pictures.", model=model)
        return self._spec


def _pixel_spec(folder: Path, architecture: Architecture) -> PixelSpec | None:
    """How pictures are prepared; None for a model of texts."""
    if architecture.vision is None:
        return None
    settings = _pixel_settings(folder)
    spec = PixelSpec.from_config(settings.values)
    edge = architecture.vision.image_size
    if spec.output_size != (edge, edge):
        raise settings.unsupported(
            "crop_size",
            spec.output_size,
            f"The model reads {edge} x {edge} pixels, and its positions are not stretched.",
        )
    return spec


def _pixel_settings(folder: Path) -> Settings:
    """What prepares pictures: within the processor's file, as transformers 5 saves it, or in a file of its own.

    Where a folder has both, the first counts, as it does in transformers: the other was left by an older version.
    """
    if (folder / "processor_config.json").is_file():
        nested = Settings.of(folder, "processor_config.json").inner("image_processor")
        if nested.values:
            return nested
    return Settings.of(folder, "preprocessor_config.json")


def _space(
    name: str, weights_sha256: str, architecture: Architecture, *, spec: PixelSpec | None, orientation: Orientation
) -> Space:
    """What the vectors mean. A model of texts alone has no orientation, so all of its spaces have the same."""
    dense = "" if isinstance(architecture.text, ClipText) else architecture.text.dense_sha256
    beside = [*([dense] if dense else []), *_unusual(architecture)]
    return Space(
        model=name,
        weights=digest_of([weights_sha256, *beside]) if beside else weights_sha256,
        preprocessing=spec.digest if spec else "",
        pooling=architecture.pooling,
        dim=architecture.dim,
        modalities=("image", "text") if spec else ("text",),
        orientation=orientation if spec else "apply",
    )


def _unusual(architecture: Architecture) -> list[str]:
    """What config.json says of the blocks that the weights do not, where it is not what the family was published with.

    It makes other vectors of the same weights; how many blocks there are, the weights say too. Of the usual
    nothing is said, so that spaces keep their names.
    """
    is_clip = isinstance(architecture.text, ClipText)
    activation, epsilon = ("quick_gelu", 1e-5) if is_clip else ("gelu", 1e-12)
    stacks = [("text", architecture.text.stack)]
    stacks += [("image", architecture.vision.stack)] if architecture.vision else []
    facts: list[str] = []
    for name, stack in stacks:
        facts += [f"{name} {stack.activation}"] if stack.activation != activation else []
        facts += [f"{name} epsilon {stack.epsilon}"] if stack.epsilon != epsilon else []
        facts += (
            [f"{name} {stack.heads} heads"] if stack.heads != USUAL_HEADS.get(stack.width, stack.width // 64) else []
        )
    return facts


def _reading_for(space: Space, tower: Tower) -> Tower:
    """The tower of a model of texts as one that searches the pictures of another model's space."""
    own = tower.space
    if "image" in own.modalities or own.dim != space.dim:
        raise CorruptModel(
            f"{own.model} should embed texts alone, in {space.dim} numbers as {space.model} does, and does not: fetch "
            "the model again.",
            model=own.model,
            file="config.json",
        )
    note = (
        f"Words are read by {own.model}, which was trained to agree with the text model of {space.model}: near, "
        "and not equal."
    )
    return replace(
        tower,
        space=space,
        recipe=(*tower.recipe, ("weights", own.weights)),
        approximation=Approximation(source=own.model, note=note),
    )


def _rounding(precision: Precision) -> tuple[tuple[str, str], ...]:
    """How finely int8 rounds."""
    return () if precision != "int8" else (("levels", str(LEVELS)),)


def _resizing(spec: PixelSpec | None) -> tuple[tuple[str, str], ...]:
    """What resizes: Pillow 13 does tall pictures in another order than 12, and another major version may again."""
    return () if spec is None else (("pillow", PIL.__version__.split(".")[0]),)


def _samples(
    architecture: Architecture, tokenizer: LazyTokenizer, spec: PixelSpec | None
) -> dict[Modality, Callable[[], Sequence[Feed]]]:
    """What makes the inputs that each tower is measured on."""
    texts: dict[Modality, Callable[[], Sequence[Feed]]] = {"text": lambda: _sample_texts(architecture, tokenizer)}
    return texts if spec is None else {**texts, "image": lambda: _sample_pictures(spec)}


def _sample_pictures(spec: PixelSpec) -> list[Feed]:
    return [{"pixels": prepare(Image.fromarray(picture), spec)[None]} for picture in pictures()]


def _sample_texts(architecture: Architecture, tokenizer: LazyTokenizer) -> list[Feed]:
    text = architecture.text
    return [text_feed([pooled_part(tokenizer.encode(sample).ids, text)], text) for sample in TEXTS]
