"""Parts and paths that the catalogue's kinds are drawn from, in a unit square (x to the right, y down).

May import: nothing of the project.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]
Curve = tuple[float, float, float, float]
Outline = tuple[Point, ...]

CURVE_STEPS = 12


@dataclass(frozen=True, slots=True)
class Part:
    """One painted outline; `stroke` > 0 draws it as a line of that width (unit square), else it is filled."""

    outline: Outline
    paint: str
    stroke: float = 0.0


def path(*steps: Point | Curve) -> Outline:
    """Points of a path: a pair is a straight step, four numbers are a quadratic curve (control, end)."""
    points: list[Point] = []
    for step in steps:
        if len(step) == 2:
            points.append((step[0], step[1]))
            continue
        (x0, y0), (cx, cy, x1, y1) = points[-1], step
        for i in range(1, CURVE_STEPS + 1):
            t = i / CURVE_STEPS
            a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
            points.append((a * x0 + b * cx + c * x1, a * y0 + b * cy + c * y1))
    return tuple(points)


def mirrored(*steps: Point | Curve) -> Outline:
    """The right half (top middle to bottom middle) and its reflection, as one closed outline."""
    half = path(*steps)
    return half + tuple((1 - x, y) for x, y in reversed(half))


def reflect(part: Part) -> Part:
    return Part(tuple((1 - x, y) for x, y in part.outline), part.paint, part.stroke)


def both(part: Part) -> tuple[Part, Part]:
    return part, reflect(part)


def disc(x: float, y: float, rx: float, ry: float | None = None) -> Outline:
    k, ry = 1.0, rx if ry is None else ry
    return path(
        (x + rx, y), (x + rx * k, y + ry * 0.41, x + rx * 0.707, y + ry * 0.707), (x + rx * 0.41, y + ry, x, y + ry),
        (x - rx * 0.41, y + ry, x - rx * 0.707, y + ry * 0.707), (x - rx, y + ry * 0.41, x - rx, y),
        (x - rx, y - ry * 0.41, x - rx * 0.707, y - ry * 0.707), (x - rx * 0.41, y - ry, x, y - ry),
        (x + rx * 0.41, y - ry, x + rx * 0.707, y - ry * 0.707), (x + rx, y - ry * 0.41, x + rx, y),
    )  # fmt: skip


def box(x0: float, y0: float, x1: float, y1: float, r: float = 0.0) -> Outline:
    """A rectangle with corners rounded by `r`."""
    return path(
        (x0 + r, y0), (x1 - r, y0), (x1, y0, x1, y0 + r), (x1, y1 - r), (x1, y1, x1 - r, y1),
        (x0 + r, y1), (x0, y1, x0, y1 - r), (x0, y0 + r), (x0, y0, x0 + r, y0),
    )  # fmt: skip


def seam(*steps: Point | Curve) -> Part:
    return Part(path(*steps), "seam", 0.006)
