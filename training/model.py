"""The tiny CLIP: its configuration, features with dropped patches, and the folder it is saved in.

May import: words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import CLIPConfig, CLIPModel

from training.words import CONTEXT, END, START, save_tokenizer

IMAGE_PX = 112
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def configuration(tokenizer: Tokenizer) -> CLIPConfig:
    # The real id: with transformers' default of 2 the text would be read at the wrong token.
    end = tokenizer.token_to_id(END)
    shared = {"hidden_act": "quick_gelu", "attention_dropout": 0.0}
    text = {
        "vocab_size": tokenizer.get_vocab_size(), "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3,
        "num_attention_heads": 4, "max_position_embeddings": CONTEXT, "projection_dim": 128, "eos_token_id": end,
        "bos_token_id": tokenizer.token_to_id(START), "pad_token_id": end, **shared,
    }  # fmt: skip
    vision = {
        "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 6,
        "image_size": IMAGE_PX, "patch_size": 16, "projection_dim": 128, **shared,
    }  # fmt: skip
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=128)


@dataclass(frozen=True, slots=True)
class Look:
    """`features` unit [batch, 128]; `patches` [batch, kept, 192], the last block's input at `places` [batch, kept]."""

    features: torch.Tensor
    patches: torch.Tensor
    places: torch.Tensor


def look(model: CLIPModel, pixels: torch.Tensor, keep: float = 1.0) -> Look:
    """Normalised pixels [batch, 3, 112, 112] through the image tower; `keep` < 1 drops patches at random.

    Dropping half of them saves more than a third of the time and regularises: three thousand photos are few.
    """
    tower = model.vision_model
    hidden = tower.embeddings(pixels)
    batch, tokens, width = hidden.shape
    places = torch.arange(tokens - 1).expand(batch, -1)
    if keep < 1:
        places = torch.rand(batch, tokens - 1).argsort(dim=1)[:, : round((tokens - 1) * keep)]
        patches = hidden.gather(1, places[..., None].expand(-1, -1, width) + 1)
        hidden = torch.cat([hidden[:, :1], patches], dim=1)
    hidden = tower.pre_layrnorm(hidden)
    *blocks, last = tower.encoder.layers
    for block in blocks:
        hidden = block(hidden, attention_mask=None)
    features = model.visual_projection(tower.post_layernorm(_class_token(last, hidden)))
    return Look(nn.functional.normalize(features, dim=-1), hidden[:, 1:], places)


def _class_token(block: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """The last block for its class token alone, [batch, width]: nothing reads what it makes of the patches."""
    normed, attention = block.layer_norm1(hidden), block.self_attn
    query, key, value = (
        project(part).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for project, part in ((attention.q_proj, normed[:, :1]), (attention.k_proj, normed), (attention.v_proj, normed))
    )
    mixed = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    token = hidden[:, :1] + attention.out_proj(mixed)
    return (token + block.mlp(block.layer_norm2(token)))[:, 0]


def image_features(model: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
    """Unit vectors [batch, 128] of normalised pixels [batch, 3, 112, 112]."""
    return look(model, pixels).features


def text_features(model: CLIPModel, tokenizer: Tokenizer, texts: list[str]) -> torch.Tensor:
    """Unit vectors [batch, 128]; padded to the longest text with the end token, as CLIP is."""
    end = tokenizer.token_to_id(END)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    rows = [row if len(row) <= CONTEXT else [*row[: CONTEXT - 1], end] for row in rows]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [end] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    pooled = model.text_model(input_ids=ids, attention_mask=mask).pooler_output
    return nn.functional.normalize(model.text_projection(pooled), dim=-1)


def save_model(model: CLIPModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the Hugging Face folder: float16 weights, configuration, tokenizer, preprocessing."""
    save_tokenizer(tokenizer, folder)
    weights = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = model.config.to_dict()
    settings.update(architectures=["CLIPModel"], dtype="float16")
    (folder / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    preprocessing = {
        "crop_size": {"height": IMAGE_PX, "width": IMAGE_PX}, "do_center_crop": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": MEAN, "image_std": STD,
        "image_processor_type": "CLIPImageProcessor", "resample": 3, "rescale_factor": 1 / 255,
        "size": {"shortest_edge": IMAGE_PX},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")
