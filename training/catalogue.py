"""Renders a small product catalogue: a picture is a pure function of its Scene.

May import: scene, outlines, shapes, backgrounds, captions; numpy and Pillow only, for the demo runs it without torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from training.backgrounds import background
from training.captions import caption
from training.outlines import Part
from training.scene import BACKGROUNDS, COLOURS, KINDS, PATTERNS, Scene, sample_scene
from training.shapes import parts_of

__all__ = [
    "BACKGROUNDS", "COLOURS", "KINDS", "PATTERNS", "Scene", "caption", "render", "sample_scene", "write_catalogue",
]  # fmt: skip

Pixels = NDArray[np.float32]

# Outlines are drawn this many times larger and averaged down: Pillow's polygons have hard edges.
SUPERSAMPLE = 3
RGB = {
    "red": (204, 38, 42), "orange": (240, 128, 28), "yellow": (246, 208, 52), "green": (46, 140, 74),
    "blue": (58, 132, 214), "navy": (28, 42, 92), "purple": (124, 66, 164), "pink": (244, 148, 182),
    "brown": (118, 74, 44), "black": (34, 34, 38), "white": (246, 245, 241), "grey": (140, 143, 148),
}  # fmt: skip
# The second colour of a pattern: cream on strong colours, ink on light ones, so that every pattern can be seen.
INK_ON = frozenset({"yellow", "white", "pink", "orange"})
PAINTS = {
    "wood": (150, 104, 66), "metal": (186, 184, 178), "rubber": (240, 238, 232), "leather": (112, 72, 46),
    "button": (228, 222, 210), "lace": (250, 250, 248), "zip": (214, 206, 186), "glow": (255, 240, 196),
    "drink": (84, 52, 34), "band": (52, 44, 42), "groove": (196, 192, 186),
}  # fmt: skip


def _smooth(value: Pixels, edge: float, soft: float) -> Pixels:
    return np.asarray(np.clip((edge - value) / soft + 0.5, 0, 1), np.float32)


def _object_axes(scene: Scene, size_px: int) -> tuple[Pixels, Pixels]:
    """(u, v) of every pixel in the object's own square, each [size, size]: patterns turn and grow with the object."""
    t = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px
    x, y = t[None, :] - 0.5 - scene.dx, t[:, None] - 0.5 - scene.dy
    a = math.radians(scene.angle_deg)
    u = (x * math.cos(a) + y * math.sin(a)) / scene.scale
    v = (-x * math.sin(a) + y * math.cos(a)) / scene.scale
    return np.asarray((-u if scene.flipped else u) + 0.5, np.float32), np.asarray(v + 0.5, np.float32)


def _to_picture(part: Part, scene: Scene, size_px: int) -> list[tuple[float, float]]:
    a = math.radians(scene.angle_deg)
    points = []
    for px, py in part.outline:
        u, v = (0.5 - px if scene.flipped else px - 0.5) * scene.scale, (py - 0.5) * scene.scale
        x = u * math.cos(a) - v * math.sin(a) + 0.5 + scene.dx
        y = u * math.sin(a) + v * math.cos(a) + 0.5 + scene.dy
        points.append((x * size_px, y * size_px))
    return points


@dataclass(frozen=True, slots=True)
class Layer:
    """A part's coverage 0..1 on the rectangle it touches: `mask` is [rows, columns] of the picture at `at`."""

    at: tuple[slice, slice]
    mask: Pixels


def _layer(part: Part, scene: Scene, size_px: int, pad_px: int = 0) -> Layer:
    """`pad_px` widens the rectangle, for what will be blurred beyond the outline."""
    points = _to_picture(part, scene, size_px)
    pad = pad_px + part.stroke * size_px + 2
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, top = (int(np.clip(min(v) - pad, 0, size_px - 1)) for v in (xs, ys))
    right, bottom = (int(np.clip(max(v) + pad + 1, low + 1, size_px)) for v, low in ((xs, left), (ys, top)))
    big = Image.new("L", ((right - left) * SUPERSAMPLE, (bottom - top) * SUPERSAMPLE), 0)
    draw = ImageDraw.Draw(big)
    points = [((x - left) * SUPERSAMPLE, (y - top) * SUPERSAMPLE) for x, y in points]
    if part.stroke:
        width = max(2, round(part.stroke * scene.scale * size_px * SUPERSAMPLE))
        draw.line(points, fill=255, width=width, joint="curve")
        r = width / 2
        for x, y in (points[0], points[-1]):
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    else:
        draw.polygon(points, fill=255)
    mask = np.asarray(big.reduce(SUPERSAMPLE), np.float32) / np.float32(255)
    return Layer((slice(top, bottom), slice(left, right)), mask)


def _blur(mask: Pixels, radius_px: float) -> Pixels:
    # Box blur twice: close to a Gaussian and a few times cheaper at large radii.
    image = Image.fromarray(np.asarray(mask * 255, np.uint8))
    blurred = image.filter(ImageFilter.BoxBlur(radius_px)).filter(ImageFilter.BoxBlur(radius_px))
    return np.asarray(blurred, np.float32) / np.float32(255)


def _flowers(u: Pixels, v: Pixels, rng: np.random.Generator, rows: float) -> tuple[Pixels, Pixels]:
    """(petals, hearts) coverage: one flower per cell, turned, shifted and sized at random."""
    row = np.floor(v * rows).astype(int)
    along = u * rows + (row % 2) * 0.5
    column = np.floor(along).astype(int)
    table = rng.uniform(-1, 1, (3, 32, 32)).astype(np.float32)
    jx, jy, turn = (table[i][row % 32, column % 32] for i in range(3))
    x, y = along - column - 0.5 - 0.10 * jx, v * rows - row - 0.5 - 0.10 * jy
    r = np.sqrt(x * x + y * y)
    reach = (0.33 + 0.05 * turn) * (0.72 + 0.28 * np.cos(5 * np.arctan2(y, x) + 3 * turn))
    return _smooth(np.asarray(r - reach, np.float32), 0, 0.06), _smooth(np.asarray(r, np.float32), 0.10, 0.06)


def _pattern(scene: Scene, u: Pixels, v: Pixels, rng: np.random.Generator) -> Pixels:
    """The cloth's colour at every pixel, float32 [size, size, 3]."""
    base = np.clip(np.array(RGB[scene.colour], np.float32) + rng.uniform(-8, 8) + rng.uniform(-4, 4, 3), 0, 255).astype(
        np.float32
    )
    second = np.array((54, 56, 66) if scene.colour in INK_ON else (246, 240, 226), np.float32)
    rows = float(rng.uniform(7, 10))
    soft = 0.09
    match scene.pattern:
        case "striped":
            along = (v, v, u, (u + v) * 0.75)[int(rng.integers(4))] * rows
            share = _smooth(np.abs(along - np.floor(along) - 0.5), 0.19, soft)
        case "dotted":
            row = np.floor(v * rows)
            x, y = u * rows + (row % 2) * 0.5, v * rows - row - 0.5
            r = np.sqrt((x - np.floor(x) - 0.5) ** 2 + y * y)
            share = _smooth(np.asarray(r, np.float32), float(rng.uniform(0.22, 0.30)), soft)
        case "checked":
            rows *= 0.8
            across = _smooth(np.abs(u * rows - np.floor(u * rows) - 0.5), 0.25, soft)
            down = _smooth(np.abs(v * rows - np.floor(v * rows) - 0.5), 0.25, soft)
            share = np.asarray((across + down) * 0.45, np.float32)
        case "floral":
            petals, hearts = _flowers(u, v, rng, rows * 0.72)
            cloth = base + (second - base) * petals[..., None]
            heart = np.array((214, 74, 88) if scene.colour in {"yellow", "orange"} else (238, 178, 52), np.float32)
            return np.asarray(cloth + (heart - cloth) * hearts[..., None], np.float32)
        case _:
            share = np.zeros_like(u)
    return np.asarray(base + (second - base) * share[..., None], np.float32)


def _paint(name: str, cloth: Pixels, base: Pixels) -> Pixels:
    """The unshaded colour of a part: [size, size, 3] for cloth, [3] for the rest."""
    dark = float(base.mean()) < 70
    match name:
        case "fabric":
            return cloth
        case "body":
            return base
        case "trim":
            return np.asarray(base * 0.86 + (22 if dark else 0), np.float32)
        case "inside":
            return np.asarray(base * 0.62 + (14 if dark else 0), np.float32)
        case "rim":
            return np.asarray(base * 0.8 + 51, np.float32)
        case "seam":
            return np.asarray(base * 0.6 + (46 if dark else 0), np.float32)
        case _:
            return np.array(PAINTS[name], np.float32)


def _relief(mask: Pixels, scene: Scene, size_px: int) -> Pixels:
    """Light on a padded surface: the blurred outline is its height, lit from `light_deg`; about 0.7..1.2."""
    height = _blur(mask, max(1.0, 0.028 * scene.scale * size_px))
    gy, gx = np.gradient(height)
    a = math.radians(scene.light_deg)
    slope = (gx * math.cos(a) + gy * math.sin(a)) * size_px * 0.045
    return np.asarray(np.clip(1 - slope, 0.66, 1.22) * (0.86 + 0.14 * height), np.float32)


def _draw_object(picture: Pixels, scene: Scene, rng: np.random.Generator) -> Pixels:
    size_px = picture.shape[0]
    u, v = _object_axes(scene, size_px)
    cloth = _pattern(scene, u, v, rng)
    base = np.clip(np.array(RGB[scene.colour], np.float32), 0, 255)
    phase, waves = float(rng.uniform(0, 6)), float(rng.uniform(9, 14))
    soft_goods = scene.kind not in {"mug", "bottle", "shoe", "chair"}
    folds = 1 + (0.035 if soft_goods else 0.0) * np.sin(u * waves + 1.8 * np.sin(v * 5 + phase) + phase)
    round_body = 1 - (0.0 if soft_goods or scene.kind in {"shoe", "chair"} else 0.9) * (u - 0.5) ** 2
    shade = np.asarray(folds * round_body, np.float32)
    picture = picture.copy()
    for part in parts_of(scene.kind, scene.variant):
        layer = _layer(part, scene, size_px, pad_px=round(size_px * 0.02))
        under, mask = picture[layer.at], layer.mask[..., None]
        if part.paint == "seam":
            under += (_paint(part.paint, cloth, base) - under) * mask * 0.55
            continue
        colour = _paint(part.paint, cloth[layer.at], base)
        light = _relief(layer.mask, scene, size_px)
        if part.paint in {"fabric", "body"}:
            light = light * shade[layer.at]
        if part.paint in {"trim", "band", "leather", "metal"}:
            ring = np.clip(_blur(layer.mask, max(1.0, size_px * 0.006)) - layer.mask, 0, 1)
            under *= 1 - 0.35 * ring[..., None]
        under += (np.clip(colour * light[..., None], 0, 255) - under) * mask
    return picture


def _silhouette(scene: Scene, size_px: int) -> Pixels:
    # Half size is enough: it is only ever seen blurred.
    small = max(8, size_px // 2)
    shape = np.zeros((small, small), np.float32)
    for part in parts_of(scene.kind, scene.variant):
        if part.paint != "seam":
            layer = _layer(part, scene, small)
            shape[layer.at] = np.maximum(shape[layer.at], layer.mask)
    union = Image.fromarray(np.asarray(shape * 255, np.uint8))
    return np.asarray(union.resize((size_px, size_px), Image.Resampling.BILINEAR), np.float32) / np.float32(255)


def _shadow(picture: Pixels, scene: Scene) -> Pixels:
    """A soft shadow away from the light, and a tight dark one where the object touches the ground."""
    size_px = picture.shape[0]
    shape = _silhouette(scene, size_px)
    a = math.radians(scene.light_deg)
    for reach, radius, strength in ((0.035, 0.03, 0.34), (0.008, 0.008, 0.25)):
        moved = np.roll(
            shape,
            (round(-math.sin(a) * reach * size_px), round(-math.cos(a) * reach * size_px)),
            (0, 1),
        )
        picture = picture * (1 - strength * _blur(moved, max(1.0, radius * size_px)))[..., None]
    return np.asarray(picture, np.float32)


def _clutter(picture: Pixels, scene: Scene, rng: np.random.Generator) -> Pixels:
    """Small things near the border: leaves, pebbles, coins, cards; never named in a caption."""
    size_px = picture.shape[0]
    picture = picture.copy()
    for _ in range(scene.clutter):
        side = float(rng.uniform(0.03, 0.055))
        along, near = float(rng.uniform(0.08, 0.92)), float(rng.uniform(0.05, 0.11))
        x, y = ((near, along), (1 - near, along), (along, near), (along, 1 - near))[int(rng.integers(4))]
        turn, tint = float(rng.uniform(0, math.tau)), rng.uniform(-18, 18, 3)
        shape, rgb = (
            ((1.0, 0.42), (112, 128, 62)),
            ((1.0, 0.78), (158, 150, 140)),
            ((0.62, 0.62), (206, 168, 92)),
            ((1.0, 0.55), (190, 122, 62)),
        )[int(rng.integers(4))]
        steps = np.linspace(0, math.tau, 28)
        ex, ey = np.cos(steps) * side * shape[0], np.sin(steps) * side * shape[1] * (0.75 + 0.25 * np.cos(steps))
        px, py = x + ex * math.cos(turn) - ey * math.sin(turn), y + ex * math.sin(turn) + ey * math.cos(turn)
        outline = tuple((float(a), float(b)) for a, b in zip(px, py, strict=True))
        view = Scene(scene.kind, scene.colour, "plain", scene.background, scale=1.0, light_deg=scene.light_deg)
        layer = _layer(Part(outline, "wood"), view, size_px, pad_px=round(size_px * 0.03))
        under = picture[layer.at]
        under *= 1 - 0.3 * _blur(layer.mask, max(1.0, size_px * 0.012))[..., None]
        colour = np.clip(np.array(rgb) + tint, 0, 255) * _relief(layer.mask, view, size_px)[..., None]
        under += (np.clip(colour, 0, 255) - under) * layer.mask[..., None]
    return picture


def _lighting(picture: Pixels, scene: Scene, rng: np.random.Generator) -> Pixels:
    size_px = picture.shape[0]
    t = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px - 0.5
    a = math.radians(scene.light_deg)
    fall = 1 + 0.14 * (t[None, :] * math.cos(a) + t[:, None] * math.sin(a))
    vignette = 1 - 0.16 * (t[None, :] ** 2 + t[:, None] ** 2)
    warmth = 1 + np.array((0.02, 0.0, -0.025)) * float(rng.uniform(-1, 1))
    exposure = float(rng.uniform(0.95, 1.05))
    return np.asarray(picture * ((fall * vignette * exposure)[..., None] * warmth), np.float32)


def render(scene: Scene, size_px: int) -> Image.Image:
    """The scene as an RGB picture of size_px x size_px; equal scenes give equal pixels."""
    rng = np.random.default_rng(scene.seed)
    picture = background(scene.background, rng, size_px)
    picture = _clutter(picture, scene, rng)
    picture = _shadow(picture, scene)
    picture = _draw_object(picture, scene, rng)
    picture = _lighting(picture, scene, rng)
    return Image.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8))


def file_name(index: int, scene: Scene) -> str:
    """Such as `0001-red-striped-dress.jpg`."""
    return f"{index:04d}-{scene.colour}-{scene.pattern}-{scene.kind.replace(' ', '-')}.jpg"


def write_catalogue(folder: Path, count: int, seed: int, size_px: int) -> tuple[Path, ...]:
    """Write `count` JPEGs, the same for the same seed; no EXIF, so no date or device differs between machines."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    written = []
    for index in range(1, count + 1):
        scene = sample_scene(rng)
        target = folder / file_name(index, scene)
        render(scene, size_px).save(target, "JPEG", quality=90)
        written.append(target)
    return tuple(written)
