"""Vectors of texts and pictures by a CLIP model, for Inference Endpoints of Hugging Face.

Put this file beside a CLIP's weights in a repository on the hub, and its endpoint answers

    {"inputs": {"text": ["a cat", ...]}}     or     {"inputs": {"image": ["<base64 of a picture's file>", ...]}}

with unit vectors, and says in every answer whose they are. An input that cannot be used has `null` for a vector and an
entry in `errors`; the others have theirs. Addresses are not fetched. README.md has the whole contract.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

HANDLER = "lookalike-clip/1"
"""Who answers, and the version of the contract."""

MAX_INPUTS = 256
"""Inputs of one request."""

MAX_TEXT_CHARS = 32_768
"""Characters of one text; a CLIP reads some 77 tokens of it."""

MAX_IMAGE_BYTES = 20 * 2**20
"""Bytes of one picture's file."""

MAX_IMAGE_PIXELS = 80_000_000
"""Width times height of one picture, read before it is decoded; above it Pillow itself begins to warn."""

BATCH = 32
"""Inputs that go through the model together."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Kinds of pictures that are decoded: what a file is, is seen by its first bytes."""

ORIENTATIONS = ("apply", "ignore")
"""Whether a photo is turned upright as its EXIF data say, or embedded as it lies in the file."""

_PREPROCESSING = ("size", "crop_size", "resample", "rescale_factor", "image_mean", "image_std")
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")

# What Pillow's plugins raise on damaged files.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    Image.DecompressionBombError,
)


class InputError(ValueError):
    """One input that cannot be used; `kind`, `actual` and `limit` are told with the sentence."""

    def __init__(self, kind: str, reason: str, **figures: int) -> None:
        super().__init__(reason)
        self.told = {"kind": kind, "error": reason, **figures}


@dataclass(frozen=True)
class Asked:
    """A request, checked as a whole."""

    modality: str
    inputs: Sequence[object]
    orientation: str


class EndpointHandler:
    """What the endpoint's server makes once, with the folder of the repository, and calls for each request."""

    def __init__(self, path: str = "") -> None:
        self._clip = Clip(Path(path))

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request. ValueError if the request as a whole cannot be read: the server says 400 then."""
        asked = read_request(data)
        clip = self._clip
        if asked.modality == "text":
            answer = answered(asked.inputs, read_text, clip.texts)
        else:
            answer = answered(asked.inputs, lambda value: read_picture(value, asked.orientation), clip.pictures)
        return {**answer, **clip.facts, "orientation": asked.orientation}


def read_request(data: Mapping[str, Any]) -> Asked:
    """What is asked for. ValueError, a sentence, if that cannot be read."""
    inputs, parameters = data.get("inputs"), data.get("parameters") or {}
    if not isinstance(inputs, Mapping) or len(inputs) != 1 or next(iter(inputs)) not in ("text", "image"):
        raise ValueError('inputs must be {"text": [...]} or {"image": [...]}: ' + HANDLER + " reads nothing else.")
    ((modality, values),) = inputs.items()
    if not isinstance(values, list) or not 0 < len(values) <= MAX_INPUTS:
        raise ValueError(f"inputs.{modality} must be a list of 1 to {MAX_INPUTS} strings.")
    orientation = parameters.get("orientation", "apply") if isinstance(parameters, Mapping) else None
    if orientation not in ORIENTATIONS:
        raise ValueError(f"parameters.orientation must be one of: {', '.join(ORIENTATIONS)}.")
    return Asked(modality, values, orientation)


def read_text(value: object) -> str:
    """A text to embed; an empty one is a text too."""
    if not isinstance(value, str):
        raise InputError("InputError", f"is a {type(value).__name__}, not a text.")
    if len(value) > MAX_TEXT_CHARS:
        reason = f"has {len(value):,} characters, {MAX_TEXT_CHARS:,} are allowed."
        raise InputError("TooLarge", reason, actual=len(value), limit=MAX_TEXT_CHARS)
    return value


def read_picture(value: object, orientation: str) -> Image.Image:
    """A picture of mode RGB from the base64 of its file: the first frame, transparent pixels on white."""
    data = _file(value)
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MAX_IMAGE_PIXELS:
                reason = f"has {pixels:,} pixels, {MAX_IMAGE_PIXELS:,} are allowed."
                raise InputError("TooLarge", reason, actual=pixels, limit=MAX_IMAGE_PIXELS)
            return _rgb(ImageOps.exif_transpose(image) if orientation == "apply" else image)
    except InputError:
        raise
    except _DECODER_ERRORS as error:
        reason = f"is not a whole picture of a kind that is read ({', '.join(FORMATS)})."
        raise InputError("ImageError", reason) from error


def _file(value: object) -> bytes:
    """The bytes of a picture's file."""
    if not isinstance(value, str):
        raise InputError("InputError", f"is a {type(value).__name__}, not the base64 of a picture's file.")
    n_bytes = len(value) * 3 // 4
    if n_bytes > MAX_IMAGE_BYTES:
        reason = f"has about {n_bytes:,} bytes, {MAX_IMAGE_BYTES:,} are allowed."
        raise InputError("TooLarge", reason, actual=n_bytes, limit=MAX_IMAGE_BYTES)
    try:
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error) as error:
        reason = "is not base64: send the bytes of a picture's file so; addresses are not fetched."
        raise InputError("InputError", reason) from error


def _rgb(image: Image.Image) -> Image.Image:
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


def answered(
    values: Sequence[object], read: Callable[[object], Any], embed: Callable[[Sequence[Any]], Iterator[Embedded]]
) -> dict[str, Any]:
    """The part of an answer that is about the inputs: a vector for each or None, errors, texts that were cut."""
    vectors: list[list[float] | None] = [None] * len(values)
    errors, truncated = [], []
    # A batch at a time: so many decoded pictures are in memory, and no more.
    for start in range(0, len(values), BATCH):
        places, inputs = [], []
        for place in range(start, min(start + BATCH, len(values))):
            try:
                inputs.append(read(values[place]))
                places.append(place)
            except InputError as error:
                errors.append({"index": place, **error.told})
        for place, found in zip(places, embed(inputs) if inputs else (), strict=True):
            vectors[place] = found.vector
            truncated += [place] if found.is_cut else []
            if found.vector is None:
                reason = "the model answered with numbers that are not finite."
                errors.append({"index": place, "kind": "InputError", "error": reason})
    return {"embeddings": vectors, "errors": sorted(errors, key=lambda error: error["index"]), "truncated": truncated}


@dataclass(frozen=True)
class Embedded:
    """A unit vector, or None if its numbers are not finite; and whether the model read the whole text."""

    vector: list[float] | None
    is_cut: bool = False


class Clip:
    """The model of a folder, in float32, on the GPU if there is one.

    Attributes:
        facts: Whose vectors these are: told with every answer.
    """

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoTokenizer, CLIPModel

        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = CLIPModel.from_pretrained(folder).float().eval().to(self._device)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._processor = _pil_processor().from_pretrained(folder)
        self._max_tokens = self._model.config.text_config.max_position_embeddings
        self.facts = {
            "handler": HANDLER,
            "model": os.environ.get("HF_MODEL_ID") or folder.resolve().name,
            "revision": os.environ.get("HF_REVISION", ""),
            "weights": weights_digest(folder),
            "dimensions": self._model.config.projection_dim,
            "preprocessing": preprocessing(json.loads(self._processor.to_json_string())),
            "dtype": "float32",
            "max_tokens": self._max_tokens,
        }

    def texts(self, texts: Sequence[str]) -> Iterator[Embedded]:
        """The vectors of texts; the end of one that is longer than the model reads is left out."""
        lengths = [len(ids) for ids in self._tokenizer(list(texts), verbose=False).input_ids]
        tokens = self._tokenizer(
            list(texts), truncation=True, max_length=self._max_tokens, padding=True, return_tensors="pt"
        ).to(self._device)
        with self._torch.inference_mode():
            states = self._model.text_model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
            rows = self._unit(self._model.text_projection(states.pooler_output))
        for row, length in zip(rows, lengths, strict=True):
            yield Embedded(row, is_cut=length > self._max_tokens)

    def pictures(self, pictures: Sequence[Image.Image]) -> Iterator[Embedded]:
        """The vectors of pictures of mode RGB."""
        pixels = self._processor(images=list(pictures), return_tensors="pt")["pixel_values"].to(self._device)
        with self._torch.inference_mode():
            states = self._model.vision_model(pixel_values=pixels)
            rows = self._unit(self._model.visual_projection(states.pooler_output))
        for row in rows:
            yield Embedded(row)

    def _unit(self, rows: Any) -> list[list[float] | None]:
        """Rows of unit length; None for one that points nowhere."""
        lengths = self._torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        points = (self._torch.isfinite(lengths) & (lengths > 0)).squeeze(-1).tolist()
        return [row if good else None for row, good in zip((rows / lengths).tolist(), points, strict=True)]


def _pil_processor() -> Any:
    """The preprocessing that resizes with Pillow; the one on torchvision differs from it by a level here and there."""
    try:
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    except ImportError:  # before transformers 5 it had the plain name
        from transformers import CLIPImageProcessor as CLIPImageProcessorPil
    return CLIPImageProcessorPil


def preprocessing(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is done to a picture's pixels: the settings of the steps that are taken."""
    kept = {name: config[name] for name in _PREPROCESSING if config.get(name) is not None}
    return {**kept, **{name: bool(config.get(name, True)) for name in _STEPS}}


def weights_digest(folder: Path) -> str:
    """The sha256 (hex) of the weights' file; of several files together, by name."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin")):
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()
