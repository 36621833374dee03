"""A local model opened in other ways, to find out by which of them another one differs from it; see `parity.causes`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lookalike import app
from lookalike.calls import Inputs, Payload
from lookalike.config import Config
from lookalike.embed import LocalVectorizer
from lookalike.errors import InputError
from lookalike.files import picture_bytes
from lookalike.image import decode
from lookalike.parity.causes import Variant
from lookalike.pixels import PixelSpec, levels
from lookalike.policy import ImagePolicy
from lookalike.ports import Vectorizer
from lookalike.spaces import Modality, Tower
from lookalike.types import Vectors
from lookalike.weights import local as weights

if TYPE_CHECKING:
    from PIL.Image import Image

Edit = Callable[[dict[str, Any]], dict[str, Any]]
Change = Callable[[Payload], Payload]

PREPROCESSING = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
"""As transformers 5 saves it: what prepares pictures is one part of it."""

ACTIVATIONS = {"quick_gelu": "QuickGELU", "gelu": "GELU", "gelu_new": "the GELU with tanh"}

RESAMPLINGS = {2: "bilinear", 1: "Lanczos", 0: "nearest-neighbour"}
"""As Pillow numbers them."""

NORMALISATIONS: Mapping[str, Mapping[str, Any]] = {
    "ImageNet's mean and deviation": {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
    "levels from -1 to 1": {"image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    "levels from 0 to 1": {"do_normalize": False},
}

PREFIXES = ("query: ", "passage: ", "a photo of ")

LENGTHS = (64, 128, 256, 512)
"""Tokens at which sentence models are cut, by what is published."""


def variants(config: Config) -> Iterator[Variant]:
    """The ways to open the configuration's model; none of a model that does not run on this machine."""
    model = app.choose_model(config)
    if app.is_hosted(model) or model.startswith(app.BRIDGE) or (found := weights.find(model, config.hub)) is None:
        return
    local = _Local(config, found)
    if local.pixel_settings:
        yield from _pictures(local)
    yield from _texts(local)
    yield from _activations(local)


@dataclass(frozen=True, slots=True)
class _Local:
    """A model on this machine, and its files."""

    config: Config
    found: weights.ModelFolder

    def read(self, name: str) -> dict[str, Any]:
        path = self.found.path / name
        return dict(json.loads(path.read_bytes())) if path.is_file() else {}

    @property
    def pixel_settings(self) -> dict[str, Any]:
        """How it prepares pictures; empty for a model of texts."""
        return self.read(PROCESSOR).get("image_processor") or self.read(PREPROCESSING)

    def normalised(self, settings: Mapping[str, Any]) -> AbstractContextManager[Vectorizer]:
        """The model with other settings for its pictures."""
        if self.read(PROCESSOR).get("image_processor"):
            return self.edited(
                PROCESSOR, partial(_with, settings={"image_processor": {**self.pixel_settings, **settings}})
            )
        return self.edited(PREPROCESSING, partial(_with, settings=settings))

    @contextmanager
    def opened(self, config: Config) -> Iterator[Vectorizer]:
        yield self._open(self.found.path, config)

    def _open(self, folder: Path, config: Config) -> Vectorizer:
        from lookalike.encoders.local import EngineOptions, open_encoder

        encoder = open_encoder(
            folder,
            name=self.found.name,
            weights_sha256=self.found.weights_sha256,
            cache_dir=config.cache_dir / "compiled",
            options=EngineOptions(
                precision=config.precision,
                runtime=config.runtime,
                orientation=config.orientation,
                threads=config.threads,
            ),
        )
        return LocalVectorizer(encoder, policy=_policy(config))

    @contextmanager
    def edited(self, name: str, edit: Edit) -> Iterator[Vectorizer]:
        """The model with another file of that name; a graph that is compiled for it goes with it."""
        self.config.cache_dir.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.config.cache_dir, prefix=".variant-") as place:
            folder = Path(place) / "model"
            folder.mkdir()
            for entry in self.found.path.iterdir():
                if entry.name != name:
                    (folder / entry.name).symlink_to(entry.resolve())
            (folder / name).write_text(json.dumps(edit(self.read(name))), encoding="utf-8")
            is_compiled = name in (PREPROCESSING, PROCESSOR)  # no graph knows how pictures are prepared
            yield self._open(folder, self.config if is_compiled else replace(self.config, cache_dir=Path(place)))

    @contextmanager
    def changed(self, modality: Modality, change: Change) -> Iterator[Vectorizer]:
        """The model, given other inputs than it is asked about."""
        with self.opened(self.config) as inner:
            yield _Changed(inner, modality, change)


class _Changed:
    """ports.Vectorizer that changes inputs of one modality before another one embeds them."""

    def __init__(self, inner: Vectorizer, modality: Modality, change: Change) -> None:
        self._inner = inner
        self._modality = modality
        self._change = change

    @property
    def tower(self) -> Tower:
        return self._inner.tower

    @property
    def policy(self) -> ImagePolicy:
        return self._inner.policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        if inputs.modality == self._modality:
            inputs = replace(inputs, payloads=[self._change(payload) for payload in inputs.payloads])
        yield from self._inner.embed(inputs, until=until)


def _pictures(local: _Local) -> Iterator[Variant]:
    config = local.config
    if config.orientation == "apply":
        yield _image("EXIF's orientation ignored", partial(local.opened, replace(config, orientation="ignore")))
    else:
        yield _image("EXIF's orientation applied", partial(local.opened, replace(config, orientation="apply")))
    spec = PixelSpec.from_config(local.pixel_settings)
    for change, reshape in _shapes(spec):
        reshaped = partial(_reshaped, reshape=reshape, policy=replace(_policy(config), orientation=config.orientation))
        yield _image(change, partial(local.changed, "image", reshaped))
    for name, settings in NORMALISATIONS.items():
        yield _image(f"{name} in place of the model's own normalisation", partial(local.normalised, settings))


def _shapes(spec: PixelSpec) -> Iterator[tuple[str, Callable[[Image], Image]]]:
    """Other ways to the size that the model reads; it leaves a picture of that size as it is."""
    for number, name in RESAMPLINGS.items():
        if number != spec.resample:
            yield f"{name} resizing", partial(levels, spec=replace(spec, resample=number))
    yield "bilinear resizing without anti-aliasing", partial(_aliased, spec=spec)
    squashed = replace(spec, shortest_edge=None, resize_to=spec.output_size)
    if spec.resize_to is None:
        yield "pictures squashed instead of cropped", partial(levels, spec=squashed)
        yield (
            "the crop half a pixel aside, as torchvision and open_clip round it",
            partial(levels, spec=replace(spec, centre="half_even" if spec.centre == "floor" else "floor")),
        )
        yield "pictures padded with black to squares instead of cropped", partial(_padded, spec=squashed)


def _texts(local: _Local) -> Iterator[Variant]:
    def text(change: str, how: Callable[[str], str]) -> Variant:
        changed = partial(local.changed, "text", lambda payload: how(str(payload)))
        return Variant(modality="text", change=change, open=changed)

    yield text("texts in lower case", str.lower)
    for prefix in PREFIXES:
        yield text(f"{prefix!r} before each text", prefix.__add__)
    if "max_position_embeddings" in (settings := local.read("config.json")):
        for length in (length for length in LENGTHS if length <= settings["max_position_embeddings"]):
            cut = partial(
                local.edited, "sentence_bert_config.json", partial(_with, settings={"max_seq_length": length})
            )
            yield Variant(modality="text", change=f"texts cut at {length} tokens", open=cut)


def _activations(local: _Local) -> Iterator[Variant]:
    settings = local.read("config.json")
    halves: tuple[tuple[Modality, str], ...] = (("image", "vision_config"), ("text", "text_config"))
    for modality, half in halves:
        if settings.get("model_type") != "clip" and modality == "image":
            continue
        inner = {**settings, **(settings.get(half) or {}), **(settings.get(f"{half}_dict") or {})}
        usual = "quick_gelu" if settings.get("model_type") == "clip" else inner.get("activation", "gelu")
        own = inner.get("hidden_act", usual)
        for name, spoken in ACTIVATIONS.items():
            if name != own:
                opened = partial(local.edited, "config.json", partial(_activated, half=half, name=name))
                change = f"{spoken} in place of {ACTIVATIONS.get(own, own)}"
                yield Variant(modality=modality, change=change, open=opened)


def _image(change: str, opened: Callable[[], Any]) -> Variant:
    return Variant(modality="image", change=change, open=opened)


def _policy(config: Config) -> ImagePolicy:
    return ImagePolicy(max_bytes=config.max_bytes, max_pixels=config.max_pixels)


def _with(document: dict[str, Any], *, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, **settings}


def _activated(document: dict[str, Any], *, half: str, name: str) -> dict[str, Any]:
    """A config.json with another activation; that of a sentence model stands at the top."""
    if document.get("model_type") != "clip":
        return {**document, "activation" if document.get("model_type") == "distilbert" else "hidden_act": name}
    keys = [key for key in (half, f"{half}_dict") if document.get(key)] or [half]
    return {**document, **{key: {**(document.get(key) or {}), "hidden_act": name} for key in keys}}


def _reshaped(payload: Payload, *, reshape: Callable[[Image], Image], policy: ImagePolicy) -> Payload:
    """The picture as the model would see it after another resizing; one that cannot be read stays as it is."""
    try:
        picture = decode(picture_bytes(payload, policy), policy)
    except InputError:
        return payload
    file = BytesIO()
    reshape(picture).save(file, "PNG")
    return file.getvalue()


def _aliased(image: Image, *, spec: PixelSpec) -> Image:
    """Resized by interpolating between the four nearest pixels, however much smaller the picture gets."""
    from PIL.Image import Resampling, Transform

    width, height = image.size
    edge = spec.shortest_edge or min(spec.output_size)
    scale = min(width, height) / edge
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    matrix = (width / size[0], 0, 0, 0, height / size[1], 0)
    return levels(image.transform(size, Transform.AFFINE, matrix, Resampling.BILINEAR), spec)


def _padded(image: Image, *, spec: PixelSpec) -> Image:
    edge = max(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return levels(image.crop((left, top, left + edge, top + edge)), spec)
