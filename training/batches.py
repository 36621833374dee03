"""Mixed batches of rendered pictures and photos, with what each caption says and each picture shows.

May import: scene, captions, dataset, views.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.captions import BACKGROUND_PHRASES, COLOUR_WORDS, KIND_WORDS, PATTERN_ADJECTIVES, PATTERN_NOUNS, say
from training.dataset import PHOTO_CLASSES, PHOTO_KINDS, Photos
from training.scene import BACKGROUNDS, COLOURS, KINDS, PATTERNS, Scene
from training.views import PHOTO, RENDERED, views

# One sentence per photo class, used to measure; training uses many wordings.
KIND_PROMPTS = tuple(f"a photo of a {KIND_WORDS[PHOTO_KINDS[name]][0]}" for name in PHOTO_CLASSES)


@dataclass(frozen=True, slots=True)
class Batch:
    """`said` and `shown` are int64 [batch, 4] (kind, colour, pattern, background), -1 where unsaid or unknown.

    Photos stand behind the rendered pictures; `labels` [photos] are their classes.
    """

    pixels: torch.Tensor
    texts: list[str]
    said: torch.Tensor
    shown: torch.Tensor
    class_texts: list[str]
    labels: torch.Tensor
    photo_count: int

    @property
    def photo_pixels(self) -> torch.Tensor:
        """The photos' part of `pixels`."""
        return self.pixels[len(self.texts) - self.photo_count :]


def agreement(said: torch.Tensor, shown: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(match, unknown), bool [texts, images]: every stated word is true / none is false but some cannot be judged."""
    stated, known = said[:, None] >= 0, shown[None] >= 0
    wrong = (stated & known & (said[:, None] != shown[None])).any(-1)
    unsure = (stated & ~known).any(-1)
    return ~wrong & ~unsure, ~wrong & unsure


def shown_by(scene: Scene) -> tuple[int, int, int, int]:
    return (
        KINDS.index(scene.kind),
        COLOURS.index(scene.colour),
        PATTERNS.index(scene.pattern),
        BACKGROUNDS.index(scene.background),
    )


def photo_sentence(kind: str, colour: str, rng: np.random.Generator) -> str:
    """Such as "a photo of a black dress"; `colour` may be empty."""
    noun = KIND_WORDS[kind][int(rng.integers(len(KIND_WORDS[kind])))]
    shade = COLOUR_WORDS[colour][int(rng.integers(len(COLOUR_WORDS[colour])))] if colour else ""
    opening = ("", "a", "a photo of a", "a picture of a", "photo of a", "a photo of")[int(rng.integers(6))]
    return " ".join(f"{opening} {shade} {noun}".split())


def attribute_sentences(rng: np.random.Generator) -> tuple[list[str], ...]:
    """A sentence for every kind, every colour, every pattern and every background, each naming nothing else."""

    def one(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    thing = one(("thing", "something", "one"))
    return (
        [photo_sentence(kind, "", rng) for kind in KINDS],
        [f"a {one(COLOUR_WORDS[colour])} {thing}" for colour in COLOURS],
        [
            one((f"a {one(PATTERN_ADJECTIVES[name])} {thing}", f"{thing} with {one(PATTERN_NOUNS[name])}"))
            for name in PATTERNS
        ],
        [f"{thing} {one(BACKGROUND_PHRASES[name])}" for name in BACKGROUNDS],
    )


class Batches:
    """Draws batches without end; each picture once before any comes again."""

    def __init__(
        self, scenes: tuple[Scene, ...], pixels: NDArray[np.uint8], clothes: Photos | None,
        rendered: int, photos: int, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.scenes, self.pixels, self.clothes, self.rng = scenes, pixels, clothes, rng
        self.rendered, self.photos = rendered, photos if clothes is not None else 0
        self.shown = np.array([shown_by(scene) for scene in scenes], np.int64)
        self.queues: dict[int, list[int]] = {}

    def photo_sentences(self) -> list[str]:
        """Every wording for the tokenizer to learn from."""
        rng = np.random.default_rng(0)
        return [photo_sentence(kind, colour, rng) for kind in KINDS for colour in ("", *COLOURS) for _ in range(8)]

    def _next(self, total: int, count: int) -> NDArray[np.int64]:
        queue = self.queues.setdefault(total, [])
        while len(queue) < count:
            queue.extend(self.rng.permutation(total).tolist())
        taken = queue[:count]
        del queue[:count]
        return np.array(taken, np.int64)

    def _drawn(self) -> tuple[torch.Tensor, list[str], NDArray[np.int64], NDArray[np.int64]]:
        rows = self._next(len(self.scenes), self.rendered)
        side = self.pixels.shape[1]
        seen = views(torch.from_numpy(self.pixels[rows]), torch.full((len(rows), 2), side), RENDERED)
        told = [say(self.scenes[i], self.rng, full=bool(self.rng.random() < 0.4)) for i in rows]
        stated = np.array([(True, t.colour, t.pattern, t.background) for t in told])
        shown = self.shown[rows]
        return seen, [t.text for t in told], np.where(stated, shown, -1), shown

    def draw(self) -> Batch:
        """The next batch, augmented."""
        seen, texts, said, shown = self._drawn()
        if self.clothes is None:
            none = torch.zeros(0, dtype=torch.int64)
            return Batch(seen, texts, torch.from_numpy(said), torch.from_numpy(shown), [], none, 0)
        rows = self._next(len(self.clothes.labels), self.photos)
        photo = self.clothes.only(rows)
        photo_seen = views(torch.from_numpy(photo.pixels), torch.from_numpy(photo.sizes), PHOTO)
        kinds = [PHOTO_KINDS[PHOTO_CLASSES[label]] for label in photo.labels]
        tell = np.where(self.rng.random(len(rows)) < 0.8, photo.colours, -1)
        texts += [photo_sentence(k, COLOURS[c] if c >= 0 else "", self.rng) for k, c in zip(kinds, tell, strict=True)]
        numbers = np.array([KINDS.index(kind) for kind in kinds])
        blank = np.full(len(rows), -1)
        said = np.concatenate([said, np.stack([numbers, tell, blank, blank], 1)])
        shown = np.concatenate([shown, np.stack([numbers, photo.colours, blank, blank], 1)])
        classes = [photo_sentence(PHOTO_KINDS[name], "", self.rng) for name in PHOTO_CLASSES]
        return Batch(
            torch.cat([seen, photo_seen]), texts, torch.from_numpy(said), torch.from_numpy(shown), classes,
            torch.from_numpy(photo.labels), len(rows),
        )  # fmt: skip
