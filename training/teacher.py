"""A small convolutional network for the ten photo classes, trained on train/ alone.

Convolutions learn from three thousand photos what a transformer does not; the tiny CLIP then learns from its opinions.
May import: dataset, views.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from training.dataset import PHOTO_CLASSES, Photos
from training.views import INFERENCE, PHOTO, views


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside),
        )  # fmt: skip
        self.skip = (
            nn.Identity()
            if inside == outside and stride == 1
            else nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, inside, h, w] -> [batch, outside, h / stride, w / stride]."""
        return torch.relu(self.body(x) + self.skip(x))


TEACHER_WIDTH = 144


def build_teacher() -> nn.Sequential:
    """Normalised pixels [batch, 3, 112, 112] -> class logits [batch, 10]."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True),
        Residual(24, 40, 2), Residual(40, 72, 2), Residual(72, 72, 1), Residual(72, 144, 2), Residual(144, 144, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, len(PHOTO_CLASSES)),
    ).to(memory_format=torch.channels_last)  # fmt: skip


def train_teacher(photos: Photos, monitor: Photos, epochs: int, weights: Path) -> nn.Sequential:
    """Train, or read `weights` where they exist already, so that a stopped run resumes without this step."""
    teacher = build_teacher()
    if weights.exists():
        teacher.load_state_dict(torch.load(weights))
        return teacher.eval()
    batch, count = 64, len(photos.labels)
    steps = epochs * (count // batch)
    pixels, sizes, labels = (torch.from_numpy(v) for v in (photos.pixels, photos.sizes, photos.labels))
    optimiser = torch.optim.AdamW(teacher.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.15)
    started = time.monotonic()
    for step in range(steps):
        if step % (count // batch) == 0:
            order = torch.randperm(count)
        rows = order[(step % (count // batch)) * batch :][:batch]
        seen = views(pixels[rows], sizes[rows], PHOTO).to(memory_format=torch.channels_last)
        loss = nn.functional.cross_entropy(teacher(seen), labels[rows], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % (5 * (count // batch)) == 0 or step + 1 == steps:
            right = teacher_accuracy(teacher, monitor)
            print(
                f"teacher {step + 1}/{steps} loss {loss.item():.3f} watched {right:.3f}",
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
    weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save(teacher.state_dict(), weights)
    return teacher.eval()


@torch.no_grad()
def opinions(teacher: nn.Sequential, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(class logits [batch, 10], what it sees at each of 7 x 7 places [batch, 49, 144], each place standardised).

    Its last grid has one place per patch of the CLIP, so that every patch can be told what to see there.
    """
    grid = teacher[:-4](pixels.to(memory_format=torch.channels_last))
    places = grid.flatten(2).transpose(1, 2)
    return teacher[-4:](grid), nn.functional.layer_norm(places, places.shape[-1:])


@torch.no_grad()
def teacher_accuracy(teacher: nn.Sequential, photos: Photos) -> float:
    teacher.eval()
    seen = views(torch.from_numpy(photos.pixels), torch.from_numpy(photos.sizes), INFERENCE)
    right = (teacher(seen).argmax(1).numpy() == photos.labels).mean()
    teacher.train()
    return float(right)
