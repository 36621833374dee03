"""Trains the built-in model: a CLIP of a few million weights, on rendered pictures and CC0 clothing photos.

    python -m training.train --out src/lookalike/models/tiny --photos <clothing>/train

Everything is seeded; `--minutes` ends the schedule early on a slow machine: the figures are then of that shorter run.
May import: everything in training.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import CLIPModel

from training.batches import KIND_PROMPTS, Batch, Batches, agreement, attribute_sentences, shown_by
from training.captions import caption
from training.dataset import Photos, photos, rendered, scenes, split_photos
from training.model import Look, configuration, image_features, look, save_model, text_features
from training.scene import Scene
from training.teacher import TEACHER_WIDTH, opinions, train_teacher
from training.views import INFERENCE, views
from training.words import train_tokenizer

RENDER_PX = 128
VOCABULARY = 1500


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how strongly; learning rate in AdamW's units, `keep` the share of patches looked at."""

    steps: int
    minutes: float
    rendered: int = 48
    photos: int = 88
    rate: float = 1e-3
    keep: float = 0.5
    average: float = 0.997

    def progress(self, step: int, elapsed_s: float) -> float:
        """Share of the schedule that is over: by steps, or by the clock where that is sooner."""
        return min(1.0, max(step / self.steps, elapsed_s / 60 / self.minutes))

    def rate_at(self, step: int, progress: float) -> float:
        """Learning rate: a short warm-up, then a cosine."""
        warm = min(1.0, (step + 1) / 100)
        return self.rate * warm * (0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * progress))))


def contrastive(images: torch.Tensor, texts: torch.Tensor, batch: Batch, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric loss with several right answers; pairs of unknown agreement count neither way."""
    match, unknown = agreement(batch.said, batch.shown)
    logits = (scale * texts @ images.T).masked_fill(unknown, -1e4)
    wanted = match.float()
    rows = -(nn.functional.log_softmax(logits, 1) * wanted).sum(1) / wanted.sum(1)
    columns = -(nn.functional.log_softmax(logits, 0) * wanted).sum(0) / wanted.sum(0)
    return (rows.mean() + columns.mean()) / 2


def photo_loss(logits: torch.Tensor, labels: torch.Tensor, opinion: torch.Tensor) -> torch.Tensor:
    """The ten class sentences against the photos: half the label, half the teacher's softened opinion."""
    hard = nn.functional.cross_entropy(logits, labels, label_smoothing=0.05)
    soft = nn.functional.cross_entropy(logits / 2, torch.softmax(opinion / 2, dim=1)) * 2
    return 0.5 * hard + 0.5 * soft


def attribute_loss(
    images: torch.Tensor, sentences: tuple[torch.Tensor, ...], shown: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Each picture against the sentences of each attribute that is known of it.

    Without it a batch is told apart by colour and place alone, and similar kinds and patterns stay confused.
    """
    losses = []
    for column, options in enumerate(sentences):
        known = shown[:, column] >= 0
        losses.append(nn.functional.cross_entropy(scale * images[known] @ options.T, shown[known, column]))
    return torch.stack(losses).mean()


class Trainer:
    """Owns the model, its running average and the optimiser; `run` is the whole training."""

    def __init__(self, batches: Batches, plan: Plan, teacher: nn.Sequential | None) -> None:
        self.batches, self.plan, self.teacher = batches, plan, teacher
        texts = [caption(scene, np.random.default_rng(i)) for i, scene in enumerate(batches.scenes[:12000])]
        self.tokenizer = train_tokenizer([*texts, *batches.photo_sentences()], VOCABULARY)
        self.model = CLIPModel(configuration(self.tokenizer))
        self.average = CLIPModel(self.model.config).eval()
        self.average.load_state_dict(self.model.state_dict())
        # Only training uses it: it reads the teacher's view of a place from the patch there.
        self.reader = nn.Linear(self.model.config.vision_config.hidden_size, TEACHER_WIDTH)
        decayed = [p for p in (*self.model.parameters(), *self.reader.parameters()) if p.ndim > 1]
        rest = [p for p in (*self.model.parameters(), *self.reader.parameters()) if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
            lr=plan.rate,
            betas=(0.9, 0.98),
            fused=True,
        )

    def step(self, number: int, progress: float) -> tuple[float, float]:
        """One batch; returns (contrastive loss, photo loss)."""
        batch = self.batches.draw()
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(number, progress)
        # The last stretch sees whole pictures, as the finished model will.
        keep = self.plan.keep if progress < 0.88 else 1.0
        seen = look(self.model, batch.pixels, keep)
        named = attribute_sentences(self.batches.rng)
        spoken = [batch.texts, batch.class_texts, *named]
        texts = text_features(self.model, self.tokenizer, [text for group in spoken for text in group])
        sentences, classes, *attributes = texts.split([len(group) for group in spoken])
        scale = self.model.logit_scale.exp()
        loss = contrastive(seen.features, sentences, batch, scale)
        loss = loss + attribute_loss(seen.features, tuple(attributes), batch.shown, scale)
        extra = torch.zeros(())
        if self.teacher is not None:
            opinion, places = opinions(self.teacher, batch.photo_pixels)
            extra = photo_loss(scale * seen.features[-len(opinion) :] @ classes.T, batch.labels, opinion)
            extra = extra + self.patch_loss(seen, places)
        self.optimiser.zero_grad()
        (loss + extra).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=float(np.log(60)))
            decay = min(self.plan.average, (number + 1) / (number + 10))
            for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        return loss.item(), extra.item()

    def patch_loss(self, seen: Look, places: torch.Tensor) -> torch.Tensor:
        """How far the photos' patches are from what the teacher sees at the same places [photos, 49, 144]."""
        chosen = seen.places[-len(places) :]
        wanted = places.gather(1, chosen[..., None].expand(-1, -1, places.shape[-1]))
        return nn.functional.mse_loss(self.reader(seen.patches[-len(places) :]), wanted)

    def run(self, out: Path, checkpoint: Path, watch: Watch) -> int:
        """Train to the end of the plan, saving every 150 steps; returns the steps done."""
        started, number, offset = time.monotonic(), 0, 0.0
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.reader.load_state_dict(state["reader"])
            self.optimiser.load_state_dict(state["optimiser"])
            number, offset = state["step"], state["elapsed_s"]
        save_model(self.average, self.tokenizer, out)
        progress = 0.0
        while progress < 1:
            elapsed = time.monotonic() - started + offset
            progress = self.plan.progress(number, elapsed)
            losses = self.step(number, progress)
            number += 1
            if number % 50 == 0:
                print(
                    f"step {number} {elapsed:.0f} s {progress:.3f} contrastive {losses[0]:.3f} photo {losses[1]:.3f}",
                    flush=True,
                )
            if number % 150 == 0 or progress >= 1:
                save_model(self.average, self.tokenizer, out)
                state = {"model": self.model.state_dict(), "average": self.average.state_dict(), "step": number}
                state["reader"] = self.reader.state_dict()
                torch.save({**state, "optimiser": self.optimiser.state_dict(), "elapsed_s": elapsed}, checkpoint)
                print(f"step {number} saved; {watch.report(self)}", flush=True)
        return number


@dataclass(frozen=True, slots=True)
class Watch:
    """Slices kept aside from the training data, to look at while training.

    Never validation/ and never the reported thousand compositions: decisions made on those would spoil the figures.
    """

    scenes: tuple[Scene, ...]
    pixels: np.ndarray
    photos: Photos | None

    @torch.no_grad()
    def report(self, trainer: Trainer) -> str:
        """One line of recalls and accuracy of the averaged weights."""
        model, tokenizer = trainer.average, trainer.tokenizer
        sizes = torch.full((len(self.scenes), 2), RENDER_PX)
        images = image_features(model, views(torch.from_numpy(self.pixels), sizes, INFERENCE))
        rng = np.random.default_rng(0)
        texts = text_features(model, tokenizer, [caption(scene, rng, full=True) for scene in self.scenes])
        similar = texts @ images.T
        rank = (similar > similar.diagonal()[:, None]).sum(1)
        words = f"of {len(self.scenes)}: recall@1 {(rank < 1).float().mean():.3f} @10 {(rank < 10).float().mean():.3f}"
        sentences = attribute_sentences(np.random.default_rng(0))
        found = [(images @ text_features(model, tokenizer, list(group)).T).argmax(1).numpy() for group in sentences]
        truth = np.array([shown_by(scene) for scene in self.scenes])
        right_kind, _, right_pattern, _ = (np.array(found) == truth.T).mean(1)
        named = f"kind {right_kind:.3f} pattern {right_pattern:.3f}"
        if self.photos is None:
            return f"{words}; {named}"
        seen = views(torch.from_numpy(self.photos.pixels), torch.from_numpy(self.photos.sizes), INFERENCE)
        classes = text_features(model, tokenizer, list(KIND_PROMPTS))
        right = (image_features(model, seen) @ classes.T).argmax(1).numpy() == self.photos.labels
        return f"{words}; {named}; photos {right.mean():.3f} of {len(right)}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished model")
    parser.add_argument(
        "--photos", type=Path, help="the clothing dataset's train folder; without it, rendered pictures only"
    )
    parser.add_argument("--cache", type=Path, default=Path("training-cache"), help="rendered arrays and checkpoints")
    parser.add_argument("--count", type=int, default=25_600, help="rendered pictures")
    parser.add_argument("--steps", type=int, default=4_500)
    parser.add_argument("--minutes", type=float, default=75.0, help="the schedule ends here even if steps are left")
    parser.add_argument("--teacher-epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    chosen = scenes(args.count, args.seed, held_out=False)
    pixels = rendered(chosen, RENDER_PX, args.cache / f"train-{args.count}-{RENDER_PX}-{args.seed}.npy")
    aside = len(chosen) // 50
    clothes = teacher = watched = None
    if args.photos is None:
        print("no --photos: training on rendered pictures alone; real photos will be recognised poorly", flush=True)
    else:
        clothes, watched = split_photos(photos(args.photos, RENDER_PX))
        teacher = train_teacher(clothes, watched, args.teacher_epochs, args.cache / "teacher.pt")
    torch.manual_seed(args.seed + 1)
    plan = Plan(args.steps, args.minutes)
    batches = Batches(
        chosen[aside:], pixels[aside:], clothes, plan.rendered, plan.photos, np.random.default_rng(args.seed)
    )
    watch = Watch(chosen[:aside], pixels[:aside], watched)
    started = time.monotonic()
    steps = Trainer(batches, plan, teacher).run(args.out, args.cache / "checkpoint.pt", watch)
    print(f"done: {steps} steps, {(time.monotonic() - started) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
