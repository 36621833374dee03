"""Measures a finished model folder the way a user meets it, and writes metrics.json beside the weights.

    python -m training.evaluate src/lookalike/models/tiny --photos <clothing>/validation

Loads with transformers alone, so it also shows that the folder is an ordinary CLIP.
May import: batches, captions, catalogue, dataset, scene.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from training.batches import KIND_PROMPTS
from training.captions import COLOUR_WORDS, KIND_WORDS, caption
from training.catalogue import render
from training.dataset import PHOTO_CLASSES, PHOTO_KINDS, main_colour, scenes
from training.scene import COLOURS, Scene

CANDIDATES = 1000
HELD_OUT_SEED = 1
# Larger than the model's input, so that the inference resize is part of what is measured.
RENDER_PX = 240


@dataclass(frozen=True, slots=True)
class Encoder:
    """A folder's model behind two methods; vectors are unit float32 [n, projection]."""

    model: CLIPModel
    tokenizer: CLIPTokenizer
    processor: CLIPImageProcessorPil

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """The weights widened to float32."""
        model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        return cls(model, CLIPTokenizer.from_pretrained(folder), CLIPImageProcessorPil.from_pretrained(folder))

    @torch.no_grad()
    def images(self, pictures: list[Image.Image]) -> torch.Tensor:
        """Vectors of RGB pictures of any size."""
        parts = []
        for start in range(0, len(pictures), 100):
            pixels = self.processor(pictures[start : start + 100], return_tensors="pt")["pixel_values"]
            pooled = self.model.vision_model(pixel_values=pixels).pooler_output
            parts.append(self.model.visual_projection(pooled))
        return torch.nn.functional.normalize(torch.cat(parts), dim=-1)

    @torch.no_grad()
    def texts(self, sentences: list[str]) -> torch.Tensor:
        """Vectors of sentences; too long ones are cut keeping the end token."""
        tokens = self.tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
        pooled = self.model.text_model(**tokens).pooler_output
        return torch.nn.functional.normalize(self.model.text_projection(pooled), dim=-1)


def recall(similar: torch.Tensor) -> dict[str, float]:
    """Shares of rows [n, n] whose own column ranks first, and within ten."""
    rank = (similar > similar.diagonal()[:, None]).sum(1)
    return {
        "recall_at_1": round((rank < 1).float().mean().item(), 4),
        "recall_at_10": round((rank < 10).float().mean().item(), 4),
    }


def rendered_figures(encoder: Encoder, chosen: tuple[Scene, ...], images: torch.Tensor) -> dict[str, object]:
    """Full captions against pictures, both ways, over compositions that training never saw."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    texts = encoder.texts([caption(scene, rng, full=True) for scene in chosen])
    similar = texts @ images.T
    wrong = {"kind": 0, "colour": 0, "pattern": 0, "background": 0}
    for scene, best in zip(chosen, similar.argmax(1).tolist(), strict=True):
        for name in wrong:
            wrong[name] += getattr(scene, name) != getattr(chosen[best], name)
    return {
        "candidates": len(chosen),
        "text_to_image": recall(similar),
        "image_to_text": recall(similar.T),
        "first_hit_attribute_right": {name: round(1 - count / len(chosen), 4) for name, count in wrong.items()},
    }


def photo_figures(encoder: Encoder, folder: Path) -> dict[str, object]:
    """Ten classes by one fixed sentence each; and the colour word, where an automatic estimate of it is clear."""
    found = [(label, path) for label, name in enumerate(PHOTO_CLASSES) for path in sorted((folder / name).iterdir())]
    pictures = []
    for _, path in found:
        with Image.open(path) as opened:
            pictures.append(opened.convert("RGB"))
    labels = np.array([label for label, _ in found])
    images = encoder.images(pictures)
    guesses = (images @ encoder.texts(list(KIND_PROMPTS)).T).argmax(1).numpy()
    per_class = {
        name: {"photos": int((labels == i).sum()), "top_1": round(float((guesses == i)[labels == i].mean()), 4)}
        for i, name in enumerate(PHOTO_CLASSES)
    }
    colours = np.array([main_colour(picture) for picture in pictures])
    right = []
    for i in np.flatnonzero(colours >= 0):
        noun = KIND_WORDS[PHOTO_KINDS[PHOTO_CLASSES[labels[i]]]][0]
        scores = encoder.texts([f"a {COLOUR_WORDS[colour][0]} {noun}" for colour in COLOURS]) @ images[i]
        right.append(int(scores.argmax()) == colours[i])
    return {
        "photos": len(labels),
        "top_1": round(float((guesses == labels).mean()), 4),
        "always_the_largest_class": round(float(np.bincount(labels).max() / len(labels)), 4),
        "mean_of_class_top_1": round(float(np.mean([row["top_1"] for row in per_class.values()])), 4),
        "per_class": per_class,
        "colour_word_of_12": {"photos": len(right), "top_1": round(float(np.mean(right)), 4)},
    }


def limits(encoder: Encoder, chosen: tuple[Scene, ...], images: torch.Tensor) -> dict[str, object]:
    """What the model cannot do, measured: close to 1 between different meanings is a failure."""

    def cosine(first: str, second: str) -> float:
        a, b = encoder.texts([first, second])
        return round(float(a @ b), 3)

    def share(query: str, colour: str) -> float:
        best = (encoder.texts([query]) @ images.T)[0].topk(10).indices.tolist()
        return sum(chosen[i].colour == colour for i in best) / 10

    return {
        "counting_cosine": {"a red mug / three red mugs": cosine("a red mug", "three red mugs")},
        "negation_red_share_of_first_10": {
            "a red mug": share("a red mug", "red"),
            "a mug that is not red": share("a mug that is not red", "red"),
        },
        "order_cosine": {
            "a red mug on a grey background / a grey mug on a red background": cosine(
                "a red mug on a grey background", "a grey mug on a red background"
            )
        },
        "unknown_words_cosine": {
            "a dog / a cat": cosine("a dog", "a cat"),
            "a smiling face / a crowd of people": cosine("a smiling face", "a crowd of people"),
            "a bicycle in the snow / a city at night": cosine("a bicycle in the snow", "a city at night"),
            "a red mug / una taza roja": cosine("a red mug", "una taza roja"),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the model folder; metrics.json is written there")
    parser.add_argument("--photos", type=Path, help="the clothing dataset's validation folder")
    args = parser.parse_args()
    encoder = Encoder.load(args.model)
    chosen = scenes(CANDIDATES, HELD_OUT_SEED, held_out=True)
    images = encoder.images([render(scene, RENDER_PX) for scene in chosen])
    figures: dict[str, object] = {
        "parameters": sum(p.numel() for p in encoder.model.parameters()),
        "rendered_held_out_compositions": rendered_figures(encoder, chosen, images),
        "clothing_validation": photo_figures(encoder, args.photos) if args.photos else None,
        "limits": limits(encoder, chosen, images),
        "versions": {"torch": torch.__version__.split("+")[0], "pillow": Image.__version__},
    }
    text = json.dumps(figures, indent=2)
    (args.model / "metrics.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
