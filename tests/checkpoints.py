"""Small models with random weights: Hugging Face folders, the same from the same seed on every machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

WIDTH, INNER, HEADS, LAYERS, DIM = 64, 128, 4, 3, 32
EDGE, PATCH = 32, 8
CLIP_TOKENS, BERT_TOKENS, MULTILINGUAL_TOKENS = 24, 40, 32
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789!?.,-"
END_ID = 2 * len(LETTERS) + 1
"""Of the CLIP tokenizer below; also the greatest id, as in the published one."""

TEXTS = ("a cat", "", "dogs, cats and 7 mice!", "x", "a", "the longest of them all is cut where the model ends - here")

Arrays = dict[str, NDArray[Any]]


def write_clip(
    folder: Path,
    *,
    seed: int = 0,
    activation: str = "quick_gelu",
    end_id: int = END_ID,
    dtype: str = "float32",
    patch: int | None = None,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """A CLIP with a character tokenizer; `config` overrides top-level keys of its config.json."""
    patch = patch or PATCH
    stack = {
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "hidden_act": activation,
        "projection_dim": DIM,
    }
    vocabulary = END_ID + 1
    settings = {
        "model_type": "clip",
        "projection_dim": DIM,
        "text_config": {
            **stack,
            "vocab_size": vocabulary,
            "max_position_embeddings": CLIP_TOKENS,
            "bos_token_id": END_ID - 1,
            "eos_token_id": end_id,
            "pad_token_id": END_ID,
        },
        "vision_config": {**stack, "image_size": EDGE, "patch_size": patch},
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder, "config.json", {**settings, **(config or {})})
    square = {"shortest_edge": EDGE}
    crop = {"height": EDGE, "width": EDGE}
    _write_json(folder, "preprocessor_config.json", {"size": square, "crop_size": crop})
    tokens = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    _write_json(folder, "vocab.json", {token: place for place, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    random = _Random(seed)
    arrays = random.clip_tower("text_model", "final_layer_norm") | random.clip_tower("vision_model", "post_layernorm")
    arrays |= {
        "text_model.embeddings.token_embedding.weight": random(vocabulary, WIDTH),
        "text_model.embeddings.position_embedding.weight": random(CLIP_TOKENS, WIDTH),
        "vision_model.embeddings.class_embedding": random(WIDTH),
        "vision_model.embeddings.patch_embedding.weight": random(WIDTH, 3, patch, patch),
        "vision_model.embeddings.position_embedding.weight": random((EDGE // patch) ** 2 + 1, WIDTH),
        **random.norm("vision_model.pre_layrnorm"),
        "text_projection.weight": random(DIM, WIDTH),
        "visual_projection.weight": random(DIM, WIDTH),
        "logit_scale": np.array([2.6592], np.float32).reshape(()),
    }
    save_file({name: np.asarray(array, dtype) for name, array in arrays.items()}, folder / "model.safetensors")
    return folder


def write_bert(folder: Path, *, seed: int = 0, config: Mapping[str, Any] | None = None) -> Path:
    """A BERT sentence model with a character tokenizer."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    settings = {
        "model_type": "bert",
        "vocab_size": len(tokens),
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "hidden_act": "gelu",
        "max_position_embeddings": BERT_TOKENS,
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 2,
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder, "config.json", {**settings, **(config or {})})
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    random = _Random(seed)
    arrays = {
        "embeddings.word_embeddings.weight": random(len(tokens), WIDTH),
        "embeddings.position_embeddings.weight": random(BERT_TOKENS, WIDTH),
        "embeddings.token_type_embeddings.weight": random(2, WIDTH),
        **random.norm("embeddings.LayerNorm"),
    }
    for number in range(LAYERS):
        arrays |= random.bert_block(f"encoder.layer.{number}")
    save_file(arrays, folder / "model.safetensors")
    return folder


def write_multilingual(folder: Path, *, seed: int = 0, dim: int = DIM) -> Path:
    """A DistilBERT sentence model with a cased character tokenizer and a dense layer, as CLIP's multilingual one."""
    letters = LETTERS + LETTERS[:26].upper() + "אבגד"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"dim": WIDTH, "hidden_dim": INNER, "n_heads": HEADS, "n_layers": LAYERS}
    more = {"vocab_size": len(tokens), "max_position_embeddings": BERT_TOKENS, "activation": "gelu"}
    _write_json(folder, "config.json", {"model_type": "distilbert", **sizes, **more})
    _write_json(folder, "tokenizer_config.json", {"do_lower_case": False})
    _write_json(folder, "sentence_bert_config.json", {"max_seq_length": MULTILINGUAL_TOKENS})
    for part in ("1_Pooling", "2_Dense"):
        (folder / part).mkdir(exist_ok=True)
    _write_json(folder / "1_Pooling", "config.json", {"pooling_mode_mean_tokens": True})
    identity = {"bias": False, "activation_function": "torch.nn.modules.linear.Identity"}
    _write_json(folder / "2_Dense", "config.json", {"in_features": WIDTH, "out_features": dim, **identity})
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    random = _Random(seed)
    arrays = {
        "embeddings.word_embeddings.weight": random(len(tokens), WIDTH),
        "embeddings.position_embeddings.weight": random(BERT_TOKENS, WIDTH),
        **random.norm("embeddings.LayerNorm"),
    }
    for number in range(LAYERS):
        arrays |= random.distilbert_block(f"transformer.layer.{number}")
    save_file(arrays, folder / "model.safetensors")
    save_file({"linear.weight": random(dim, WIDTH)}, folder / "2_Dense" / "model.safetensors")
    return folder


def random_pixels(n: int, *, edge: int = EDGE, seed: int = 1) -> NDArray[np.float32]:
    """(n, 3, edge, edge) float32, as prepared pictures are spread."""
    return np.random.default_rng(seed).standard_normal((n, 3, edge, edge), dtype=np.float32)


class _Random:
    """Weights that keep the states alive through the blocks, unlike a fresh initialisation."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> NDArray[np.float32]:
        return self._generator.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))

    def linear(self, name: str, outputs: int, inputs: int) -> Arrays:
        return {f"{name}.weight": self(outputs, inputs), f"{name}.bias": self(outputs)}

    def norm(self, name: str) -> Arrays:
        return {f"{name}.weight": 1 + self(WIDTH), f"{name}.bias": self(WIDTH)}

    def clip_tower(self, prefix: str, last_norm: str) -> Arrays:
        arrays = self.norm(f"{prefix}.{last_norm}")
        for number in range(LAYERS):
            block = f"{prefix}.encoder.layers.{number}"
            for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                arrays |= self.linear(f"{block}.self_attn.{part}", WIDTH, WIDTH)
            arrays |= self.linear(f"{block}.mlp.fc1", INNER, WIDTH) | self.linear(f"{block}.mlp.fc2", WIDTH, INNER)
            arrays |= self.norm(f"{block}.layer_norm1") | self.norm(f"{block}.layer_norm2")
        return arrays

    def bert_block(self, prefix: str) -> Arrays:
        arrays = self.norm(f"{prefix}.attention.output.LayerNorm") | self.norm(f"{prefix}.output.LayerNorm")
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            arrays |= self.linear(f"{prefix}.attention.{part}", WIDTH, WIDTH)
        arrays |= self.linear(f"{prefix}.intermediate.dense", INNER, WIDTH)
        return arrays | self.linear(f"{prefix}.output.dense", WIDTH, INNER)

    def distilbert_block(self, prefix: str) -> Arrays:
        arrays = self.norm(f"{prefix}.sa_layer_norm") | self.norm(f"{prefix}.output_layer_norm")
        for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
            arrays |= self.linear(f"{prefix}.attention.{part}", WIDTH, WIDTH)
        return (
            arrays | self.linear(f"{prefix}.ffn.lin1", INNER, WIDTH) | self.linear(f"{prefix}.ffn.lin2", WIDTH, INNER)
        )


def _write_json(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
