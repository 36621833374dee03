"""What a model's `config.json` says about its shape, or why the model cannot be run. No array is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lookalike.encoders.sentences import read_sentence
from lookalike.encoders.settings import Settings

Activation = Literal["quick_gelu", "gelu", "gelu_tanh"]

ACTIVATIONS: dict[str, Activation] = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
"""By their names in config.json (transformers, activations.py)."""

DEFAULT_BERT_TOKENS = 512
"""Where neither `sentence_bert_config.json` nor the position table limits it (BERT, arXiv:1810.04805, section 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A pile of transformer blocks.

    Attributes:
        width: Length of a token's state.
        layers: Number of blocks.
        heads: Attention heads; `width` is a multiple of it.
        inner: Width inside the feed-forward half.
        activation: Between its two layers: "quick_gelu" is x * sigmoid(1.702 x), "gelu" the exact one with erf,
            "gelu_tanh" its approximation.
        epsilon: Added to the variance in every layer normalisation.
    """

    width: int
    layers: int
    heads: int
    inner: int
    activation: Activation
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipVision:
    """CLIP's image tower: pictures of `image_size` pixels square, in patches of `patch_size`, to `dim` numbers."""

    stack: Stack
    image_size: int
    patch_size: int
    dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipText:
    """CLIP's text tower.

    Attributes:
        stack: Its blocks.
        vocabulary: Number of token ids.
        max_tokens: Most tokens of a text, begin and end included.
        dim: Length of a vector.
        end_id: The text is pooled where this id first stands; None to pool at the greatest id, as the original does.
    """

    stack: Stack
    vocabulary: int
    max_tokens: int
    dim: int
    end_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BertText:
    """A sentence model: BERT or DistilBERT, its last states averaged, and projected if a dense layer says so.

    Attributes:
        family: By whose names its tensors are called.
        stack: Its blocks.
        vocabulary: Number of token ids.
        max_tokens: Most tokens of a text, begin and end included.
        positions: Rows of the position table, at least `max_tokens`.
        token_types: Rows of the token type table; only the first is used. 0 for DistilBERT, which has none.
        dim: Length of a vector.
        dense_sha256: sha256 (hex) of the dense layer's file; empty if there is none.
        lowers: Whether a text is put into lower case before the tokenizer has it.
    """

    family: Literal["bert", "distilbert"]
    stack: Stack
    vocabulary: int
    max_tokens: int
    positions: int
    token_types: int
    dim: int
    dense_sha256: str
    lowers: bool = False


TextArchitecture = ClipText | BertText


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A model: its image tower, if it has one, and its text tower."""

    vision: ClipVision | None
    text: TextArchitecture

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.text.dim

    @property
    def pooling(self) -> str:
        """How tokens become one vector: "projection" (CLIP) or "mean"."""
        return "projection" if isinstance(self.text, ClipText) else "mean"


def read_architecture(folder: Path) -> Architecture:
    """The architecture of the model in a Hugging Face folder.

    Raises:
        ModelNotFound: `config.json` is missing.
        CorruptModel: A file cannot be read, or contradicts itself.
        UnsupportedModel: Neither CLIP nor a sentence model of BERT's or DistilBERT's kind with mean pooling, or an
            option not built in.
    """
    settings = Settings.of(folder, "config.json")
    match settings.value("model_type"):
        case "clip":
            return _clip(settings)
        case "bert":
            return Architecture(vision=None, text=_bert(settings, folder))
        case "distilbert":
            return Architecture(vision=None, text=_distilbert(settings, folder))
        case other:
            raise settings.unsupported(
                "model_type", other, "Supported: 'clip', and sentence models of 'bert' and 'distilbert'."
            )


def _clip(settings: Settings) -> Architecture:
    # Files of 2021 and 2022 keep what differs from the defaults in `*_config_dict`.
    text, vision = (settings.inner(f"{half}_config", f"{half}_config_dict") for half in ("text", "vision"))
    dim = settings.count("projection_dim", 512)
    vision.require("num_channels", 3, "Pictures have three channels.")
    end_id = text.value("eos_token_id", 49407)
    image_size, patch_size = vision.count("image_size", 224), vision.count("patch_size", 32)
    if patch_size > image_size:
        raise vision.unsupported("patch_size", patch_size, f"A picture of {image_size} pixels holds no such patch.")
    return Architecture(
        vision=ClipVision(
            stack=_stack(vision, Stack(width=768, layers=12, heads=12, inner=3072, **_CLIP)),
            image_size=image_size,
            patch_size=patch_size,
            dim=dim,
        ),
        text=ClipText(
            stack=_stack(text, Stack(width=512, layers=12, heads=8, inner=2048, **_CLIP)),
            vocabulary=text.count("vocab_size", 49408),
            max_tokens=text.count("max_position_embeddings", 77),
            dim=dim,
            # The first published configurations say 2, which is not the id of the end token: transformers
            # (modeling_clip.py) then pools at the greatest id, which is, as the original does.
            end_id=None if end_id == 2 else end_id,
        ),
    )


_CLIP: dict[str, Any] = {"activation": "quick_gelu", "epsilon": 1e-5}


def _bert(settings: Settings, folder: Path) -> BertText:
    settings.require("position_embedding_type", "absolute", "Only absolute positions are built in.")
    settings.require("is_decoder", False, "A decoder attends in another way.")
    stack = _stack(settings, Stack(width=768, layers=12, heads=12, inner=3072, activation="gelu", epsilon=1e-12))
    token_types = settings.count("type_vocab_size", 2)
    return _sentence_model(settings, folder, family="bert", stack=stack, token_types=token_types)


def _distilbert(settings: Settings, folder: Path) -> BertText:
    default = Stack(width=768, layers=6, heads=12, inner=3072, activation="gelu", epsilon=1e-12)
    stack = _stack(settings, default, names=_DISTILBERT)
    return _sentence_model(settings, folder, family="distilbert", stack=stack, token_types=0)


_DISTILBERT = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
"""What DistilBERT's config.json calls the sizes (transformers, configuration_distilbert.py)."""


def _sentence_model(
    settings: Settings, folder: Path, *, family: Literal["bert", "distilbert"], stack: Stack, token_types: int
) -> BertText:
    positions = settings.count("max_position_embeddings", DEFAULT_BERT_TOKENS)
    sentence = read_sentence(folder, width=stack.width, positions=positions)
    return BertText(
        family=family,
        stack=stack,
        vocabulary=settings.count("vocab_size", 30522),
        max_tokens=sentence.max_tokens,
        lowers=sentence.lowers,
        positions=positions,
        token_types=token_types,
        dim=sentence.dim,
        dense_sha256=sentence.dense_sha256,
    )


def _stack(settings: Settings, default: Stack, *, names: Mapping[str, str] | None = None) -> Stack:
    """The blocks; `names` are those of the settings that are not called as in BERT and CLIP."""
    name = {key: key for key in _DISTILBERT} | dict(names or {})
    activation = settings.value(name["hidden_act"], default.activation)
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise settings.unsupported(name["hidden_act"], activation, f"Supported: {', '.join(ACTIVATIONS)}.")
    epsilon = settings.value("layer_norm_eps", default.epsilon)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise settings.unsupported("layer_norm_eps", epsilon, "It must be a small number above 0.")
    stack = Stack(
        width=settings.count(name["hidden_size"], default.width),
        layers=settings.count(name["num_hidden_layers"], default.layers),
        heads=settings.count(name["num_attention_heads"], default.heads),
        inner=settings.count(name["intermediate_size"], default.inner),
        activation=ACTIVATIONS[activation],
        epsilon=float(epsilon),
    )
    if stack.width % stack.heads:
        raise settings.unsupported(name["num_attention_heads"], stack.heads, f"{stack.width} is not a multiple of it.")
    return stack
