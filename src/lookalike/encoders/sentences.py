"""What the files of sentence-transformers say about a text model, or why the model cannot be run.

They stand beside config.json, and a folder without them is a model whose states are averaged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lookalike.encoders.checkpoint import DENSE, FILE
from lookalike.encoders.settings import Settings, read_json
from lookalike.errors import CorruptModel, ModelNotFound, UnsupportedModel

MODULES = "modules.json"
SENTENCE = "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"

POOLING = "1_Pooling"

PLACES = {"Transformer": "", "Pooling": POOLING, "Dense": DENSE}
"""Where the files of the modules are that are built in, beside Normalize: every vector is of unit length here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What is done to a text beside the model itself.

    Attributes:
        max_tokens: Most tokens of a text, begin and end included.
        lowers: Whether a text is put into lower case before the tokenizer has it.
        dim: Length of a vector.
        dense_sha256: sha256 (hex) of the dense layer's file; empty if there is none.
    """

    max_tokens: int
    lowers: bool
    dim: int
    dense_sha256: str


def read_sentence(folder: Path, *, width: int, positions: int) -> Sentence:
    """Read the files in a folder.

    Args:
        folder: A Hugging Face folder.
        width: Length of the model's states.
        positions: Most tokens that it has positions for.

    Raises:
        ModelNotFound: A file that another one asks for is missing.
        CorruptModel: A file cannot be read.
        UnsupportedModel: Something that would make other vectors is not built in.
    """
    dim, dense_sha256 = _dense(folder, width) if _has_dense(folder) else (width, "")
    _require_mean_pooling(folder)
    _require_no_prompt(folder)
    longest, lowers = positions, False
    if (folder / SENTENCE).is_file():
        settings = Settings.of(folder, SENTENCE)
        longest = settings.count("max_seq_length", positions)
        lowers = settings.value("do_lower_case", False)
        if not isinstance(lowers, bool):
            raise settings.unsupported("do_lower_case", lowers, "It must be true or false.")
    return Sentence(max_tokens=min(longest, positions), lowers=lowers, dim=dim, dense_sha256=dense_sha256)


def _has_dense(folder: Path) -> bool:
    """Whether a dense layer is asked for: by the list of modules, or where there is none by its own files.

    Raises:
        UnsupportedModel: A module is asked for that is not built in, or one that is in another place.
    """
    if not (folder / MODULES).is_file():
        return (folder / DENSE / "config.json").is_file()
    modules = read_json(folder, MODULES)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise CorruptModel(
            f"{folder / MODULES} is not a list of modules: fetch the model again.", model=folder.name, file=MODULES
        )
    asked = [(str(module.get("type")).rsplit(".", 1)[-1], module.get("path", "")) for module in modules]
    for kind, place in asked:
        if kind != "Normalize" and (kind, place) not in PLACES.items():
            raise UnsupportedModel(
                f"{folder.name}: {MODULES} asks for the module {kind!r} in {place!r}, which is not supported. Built "
                f"in: Transformer in '', Pooling in {POOLING!r}, Dense in {DENSE!r}, and Normalize.",
                model=folder.name,
                file=MODULES,
            )
    return ("Dense", DENSE) in asked


def _require_mean_pooling(folder: Path) -> None:
    """Raise UnsupportedModel if the folder asks for anything but the mean of the states; without a word, it is that."""
    if not (folder / POOLING / "config.json").is_file():
        return
    pooling = Settings.of(folder, f"{POOLING}/config.json")
    modes = [key for key, on in pooling.values.items() if key.startswith("pooling_mode_") and on is True]
    mode = pooling.value("pooling_mode")
    if modes not in ([], ["pooling_mode_mean_tokens"]) or mode not in (None, "mean"):
        raise pooling.unsupported("pooling_mode", mode or modes, "Only the mean of the tokens is built in.")


def _require_no_prompt(folder: Path) -> None:
    """Raise UnsupportedModel if words of the model's own are put before every text."""
    if (folder / PROMPTS).is_file():
        prompts = Settings.of(folder, PROMPTS)
        if name := prompts.value("default_prompt_name"):
            raise prompts.unsupported("default_prompt_name", name, "No words are put before a text here.")


def _dense(folder: Path, width: int) -> tuple[int, str]:
    """The length of a vector, and the digest of the layer that makes it."""
    layer = Settings.of(folder, f"{DENSE}/config.json")
    layer.require("in_features", width, "It must be the length of the model's states.")
    layer.require("bias", False, "Only a dense layer without a bias is built in.")
    activation = layer.value("activation_function", "Identity")
    if str(activation).rsplit(".", 1)[-1] != "Identity":
        raise layer.unsupported("activation_function", activation, "Only the identity is built in.")
    try:
        weights = (folder / DENSE / FILE).read_bytes()
    except OSError as error:
        raise ModelNotFound(
            f"{folder} holds no {DENSE}/{FILE}, which its {DENSE}/config.json asks for: fetch the model again.",
            model=folder.name,
            file=f"{DENSE}/{FILE}",
        ) from error
    return layer.count("out_features", width), hashlib.sha256(weights).hexdigest()
