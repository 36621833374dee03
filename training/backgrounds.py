"""The eight backgrounds, as float32 [size, size, 3] arrays in 0..255.

May import: nothing of the project.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.float32]


def smooth_noise(rng: np.random.Generator, size_px: int, cells: tuple[int, int]) -> Pixels:
    """Cloudy noise [size, size], mean 0, about -1..1; `cells` are (rows, columns) of the coarse grid."""
    coarse = rng.normal(0, 0.5, cells).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size_px, size_px), Image.Resampling.BICUBIC), np.float32)


def axes(size_px: int) -> tuple[Pixels, Pixels]:
    """(x, y) in 0..1, shapes [1, size] and [size, 1], to be broadcast."""
    t = ((np.arange(size_px) + 0.5) / size_px).astype(np.float32)
    return t[None, :], t[:, None]


def _rgb(*values: float) -> Pixels:
    return np.array(values, np.float32)


def _mix(a: Pixels, b: Pixels, share: Pixels) -> Pixels:
    """`a` where share is 0, `b` where it is 1; share [size, size] or broadcastable."""
    return np.asarray(a + (b - a) * share[..., None], np.float32)


def _step(edge: float, value: Pixels, soft: float) -> Pixels:
    return np.asarray(np.clip((value - edge) / soft + 0.5, 0, 1), np.float32)


def studio(rng: np.random.Generator, size_px: int, level: float) -> Pixels:
    """A seamless paper sweep: brighter in the middle, a soft horizon."""
    x, y = axes(size_px)
    glow = 1 - ((x - 0.5) ** 2 + (y - 0.42) ** 2) * 0.28
    floor = _step(float(rng.uniform(0.72, 0.82)), y, 0.25) * -0.035
    tint = _rgb(*(level + rng.uniform(-3, 3, 3)))
    return np.asarray((glow + floor)[..., None] * tint, np.float32)


def wood(rng: np.random.Generator, size_px: int) -> Pixels:
    x, y = axes(size_px)
    count = int(rng.integers(5, 8))
    base = (_rgb(196, 152, 104), _rgb(168, 120, 78), _rgb(214, 178, 134))[int(rng.integers(3))]
    plank = np.floor(y * count).astype(int)[:, 0]
    tone = rng.uniform(-14, 10, count + 1).astype(np.float32)[plank][:, None]
    grain = smooth_noise(rng, size_px, (90, 5)) * 9 + smooth_noise(rng, size_px, (24, 3)) * 12
    line = np.abs(y * count - np.round(y * count)) / count
    groove = (1 - _step(0.004, np.asarray(line, np.float32), 0.006)) * -55
    joint = rng.uniform(0.1, 0.9, count + 1).astype(np.float32)[plank][:, None]
    seam = (1 - _step(0.003, np.abs(x - joint), 0.004)) * -45
    return np.asarray(base + (tone + grain + np.minimum(groove, seam))[..., None] * _rgb(1, 0.9, 0.75), np.float32)


def beach(rng: np.random.Generator, size_px: int) -> Pixels:
    x, y = axes(size_px)
    horizon, shore = float(rng.uniform(0.26, 0.36)), float(rng.uniform(0.5, 0.6))
    sky = _mix(_rgb(126, 186, 232), _rgb(222, 240, 248), np.clip(y / horizon, 0, 1) + 0 * x)
    clouds = np.clip(smooth_noise(rng, size_px, (14, 5)), 0, 1) * 0.8
    sky = _mix(sky, _rgb(255, 255, 255), np.asarray(clouds, np.float32))
    sea_share = np.clip((y - horizon) / (shore - horizon), 0, 1) + 0 * x
    sea = (
        _mix(_rgb(38, 122, 168), _rgb(112, 204, 206), sea_share) + (smooth_noise(rng, size_px, (70, 7)) * 12)[..., None]
    )
    sand = (
        _rgb(236, 214, 168) + (smooth_noise(rng, size_px, (9, 9)) * 9 + rng.normal(0, 4, (size_px, size_px)))[..., None]
    )
    wave = shore + 0.018 * np.sin(x * 9 + float(rng.uniform(0, 6))) + 0.01 * np.sin(x * 23)
    scene = _mix(sky, sea, _step(horizon, y + 0 * x, 0.006))
    scene = _mix(scene, np.asarray(sand, np.float32), _step(0, np.asarray(y - wave, np.float32), 0.012))
    foam = np.exp(-(((y - wave) / 0.013) ** 2)) * 0.85
    return _mix(scene, _rgb(255, 255, 255), np.asarray(foam, np.float32))


def grass(rng: np.random.Generator, size_px: int) -> Pixels:
    canvas = Image.new("RGB", (size_px, size_px), (92, 142, 58))
    draw = ImageDraw.Draw(canvas)
    count = 1500
    at = rng.uniform(-0.05, 1.05, (count, 2)) * size_px
    lean = rng.normal(0, 0.022, count) * size_px
    tall = rng.uniform(0.03, 0.075, count) * size_px
    tone = rng.uniform(-1, 1, count)
    for i in np.argsort(at[:, 1]):
        x, y, t = float(at[i, 0]), float(at[i, 1]), float(tone[i])
        fill = (int(96 + 34 * t), int(150 + 34 * t), int(60 + 22 * t))
        draw.line((x, y, x + float(lean[i]), y - float(tall[i])), fill=fill, width=max(1, size_px // 130))
    if rng.random() < 0.5:
        for x, y in rng.uniform(0, 1, (6, 2)) * size_px:
            r = size_px * 0.008
            draw.ellipse((x - 2 * r, y - 2 * r, x + 2 * r, y + 2 * r), fill=(250, 250, 244))
            draw.ellipse((x - r, y - r, x + r, y + r), fill=(244, 204, 70))
    soft = canvas.filter(ImageFilter.GaussianBlur(size_px / 400))
    return np.asarray(soft, np.float32) + (smooth_noise(rng, size_px, (5, 5)) * 14)[..., None]


def brick(rng: np.random.Generator, size_px: int) -> Pixels:
    x, y = axes(size_px)
    rows = int(rng.integers(9, 13))
    row = np.floor(y * rows).astype(int)
    along = x * rows / 2.4 + (row % 2) * 0.5
    column = np.floor(along).astype(int)
    tone = rng.uniform(-1, 1, (rows + 1, rows + 3)).astype(np.float32)[row, column]
    base = (_rgb(172, 86, 66), _rgb(150, 78, 62), _rgb(186, 110, 84))[int(rng.integers(3))]
    bricks = base + tone[..., None] * _rgb(22, 16, 14) + (smooth_noise(rng, size_px, (60, 60)) * 9)[..., None]
    fx, fy = along - column, y * rows - row
    edge = np.minimum(np.minimum(fx, 1 - fx) * 2.4, np.minimum(fy, 1 - fy))
    share = 1 - _step(0.07, np.asarray(edge, np.float32), 0.05)
    mortar = _rgb(206, 196, 184) + (smooth_noise(rng, size_px, (40, 40)) * 6)[..., None]
    return _mix(np.asarray(bricks, np.float32), np.asarray(mortar, np.float32), share)


def room(rng: np.random.Generator, size_px: int) -> Pixels:
    """A pastel wall with a framed print or a window, a skirting board and a wooden floor."""
    x, y = axes(size_px)
    wall = (_rgb(222, 228, 218), _rgb(232, 220, 206), _rgb(208, 220, 230), _rgb(236, 226, 228))[int(rng.integers(4))]
    floor_y = float(rng.uniform(0.70, 0.78))
    light = 1.03 - 0.12 * np.abs(x - float(rng.uniform(0, 1))) - 0.05 * y
    scene = np.asarray(light[..., None] * wall, np.float32)
    floor = wood(rng, size_px)
    scene = _mix(scene, floor, _step(floor_y, y + 0 * x, 0.004))
    skirting = _step(floor_y - 0.045, y, 0.004) * (1 - _step(floor_y, y, 0.004)) + 0 * x
    scene = _mix(scene, _rgb(250, 248, 244), np.asarray(skirting, np.float32))
    canvas = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    left = float(rng.choice((0.05, 0.64))) + float(rng.uniform(-0.02, 0.02))
    top, wide, tall = float(rng.uniform(0.05, 0.10)), float(rng.uniform(0.24, 0.30)), float(rng.uniform(0.30, 0.4))
    frame = [int(v * size_px) for v in (left, top, left + wide, top + tall)]
    pad = max(2, size_px // 50)
    if rng.random() < 0.5:
        draw.rectangle(frame, fill=(250, 249, 246))
        draw.rectangle([frame[0] + pad, frame[1] + pad, frame[2] - pad, frame[3] - pad], fill=(186, 216, 236))
        middle = (frame[0] + frame[2]) // 2
        draw.rectangle([middle - pad // 2, frame[1], middle + pad // 2, frame[3]], fill=(250, 249, 246))
    else:
        draw.rectangle(frame, fill=(82, 66, 54))
        draw.rectangle([frame[0] + pad, frame[1] + pad, frame[2] - pad, frame[3] - pad], fill=(246, 242, 232))
        hue = tuple(int(v) for v in rng.uniform(120, 215, 3))
        draw.ellipse([frame[0] + 3 * pad, frame[1] + 4 * pad, frame[2] - 3 * pad, frame[3] - 4 * pad], fill=hue)
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(size_px / 350)), np.float32)


def tiles(rng: np.random.Generator, size_px: int) -> Pixels:
    x, y = axes(size_px)
    count = int(rng.integers(6, 9))
    base = (_rgb(196, 222, 226), _rgb(214, 226, 232), _rgb(190, 214, 204))[int(rng.integers(3))]
    column, row = np.floor(x * count).astype(int), np.floor(y * count).astype(int)
    tone = rng.uniform(-1, 1, (count + 1, count + 1)).astype(np.float32)[row, column]
    fx, fy = x * count - column, y * count - row
    gloss = 7 * (1 - fx - fy)
    edge = np.minimum(np.minimum(fx, 1 - fx), np.minimum(fy, 1 - fy))
    share = 1 - _step(0.035, np.asarray(edge, np.float32), 0.03)
    face = base + (tone * 7 + gloss)[..., None]
    return _mix(np.asarray(face, np.float32), _rgb(250, 250, 248), share)


def background(name: str, rng: np.random.Generator, size_px: int) -> Pixels:
    """The named background, float32 [size, size, 3], clipped to 0..255."""
    match name:
        case "white":
            pixels = studio(rng, size_px, 250)
        case "grey":
            pixels = studio(rng, size_px, float(rng.uniform(140, 175)))
        case "wood":
            pixels = wood(rng, size_px)
        case "beach":
            pixels = beach(rng, size_px)
        case "grass":
            pixels = grass(rng, size_px)
        case "brick":
            pixels = brick(rng, size_px)
        case "room":
            pixels = room(rng, size_px)
        case "tiles":
            pixels = tiles(rng, size_px)
        case _:
            raise ValueError(f"unknown background {name!r}")
    return np.asarray(np.clip(pixels, 0, 255), np.float32)
