"""Random views of a batch of pictures: crop, turn, flip, brightness; never hue, for captions name colours.

May import: model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from training.model import IMAGE_PX, MEAN, STD


@dataclass(frozen=True, slots=True)
class Strength:
    """`least_area` of a crop, `turn_deg` of rotation, `light` as a share of brightness, contrast and saturation."""

    least_area: float
    turn_deg: float
    light: float
    plain: float = 0.25


RENDERED = Strength(least_area=0.72, turn_deg=5, light=0.10)
PHOTO = Strength(least_area=0.35, turn_deg=15, light=0.25)
INFERENCE = Strength(least_area=1.0, turn_deg=0, light=0.0, plain=1.0)


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels [batch, 3, h, w] in 0..1 -> CLIP's normalisation."""
    return (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def views(pixels: torch.Tensor, sizes: torch.Tensor, strength: Strength) -> torch.Tensor:
    """uint8 [batch, side, side, 3] with pictures of `sizes` [batch, 2] top left -> normalised [batch, 3, 112, 112].

    A share `strength.plain` of the batch gets the inference view: the whole middle square, upright.
    """
    batch, side = pixels.shape[0], pixels.shape[1]
    high, wide = sizes[:, 0].float(), sizes[:, 1].float()
    plain = torch.rand(batch) < strength.plain
    area = torch.empty(batch).uniform_(strength.least_area, 1.0)
    shape = torch.exp(torch.empty(batch).uniform_(-1, 1) * math.log(4 / 3) * (strength.least_area < 0.6))
    short = torch.minimum(high, wide)
    crop_w = torch.minimum(torch.where(plain, short, (area * high * wide * shape).sqrt()), wide)
    crop_h = torch.minimum(torch.where(plain, short, (area * high * wide / shape).sqrt()), high)
    centre_x = torch.where(plain, wide / 2, crop_w / 2 + torch.rand(batch) * (wide - crop_w))
    centre_y = torch.where(plain, high / 2, crop_h / 2 + torch.rand(batch) * (high - crop_h))
    angle = torch.where(plain, 0.0, torch.empty(batch).uniform_(-1, 1) * math.radians(strength.turn_deg))
    flip = torch.where((torch.rand(batch) < 0.5) & ~(plain & (strength.light == 0)), -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack(
        [
            torch.stack([flip * cos * crop_w / side, -sin * crop_w / side, 2 * centre_x / side - 1], dim=1),
            torch.stack([flip * sin * crop_h / side, cos * crop_h / side, 2 * centre_y / side - 1], dim=1),
        ],
        dim=1,
    )
    grid = torch.nn.functional.affine_grid(matrix, [batch, 3, IMAGE_PX, IMAGE_PX], align_corners=False)
    picture = pixels.permute(0, 3, 1, 2).float() / 255
    seen = torch.nn.functional.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return normalised(_relit(seen, strength.light) if strength.light else seen)


def _relit(pixels: torch.Tensor, light: float) -> torch.Tensor:
    batch = pixels.shape[0]
    brightness, contrast, saturation = (
        1 + torch.empty(batch, 1, 1, 1).uniform_(-1, 1) * share for share in (light, light, light)
    )
    pixels = pixels * brightness
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = (pixels - mean) * contrast + mean
    luma = pixels.mean(dim=1, keepdim=True)
    return ((pixels - luma) * saturation + luma).clamp(0, 1)
