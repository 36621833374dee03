"""Outlines of the garments; `variant` picks a cut: neck, sleeve, length, width.

May import: outlines.
"""

from __future__ import annotations

from training.outlines import Outline, Part, both, disc, mirrored, path, seam


def _inner_neck(y: float, depth: float) -> Part:
    return Part(path((0.39, y), (0.5, y - 0.035, 0.61, y), (0.5, y + 2 * depth, 0.39, y)), "inside")


def t_shirt(variant: int) -> tuple[Part, ...]:
    depth = (0.075, 0.13, 0.05)[variant % 3]
    body = mirrored(
        (0.5, 0.13 + depth), (0.58, 0.13 + depth, 0.61, 0.13), (0.72, 0.165), (0.77, 0.18, 0.80, 0.23), (0.95, 0.42),
        (0.83, 0.505), (0.72, 0.385), (0.705, 0.62, 0.73, 0.89), (0.62, 0.905, 0.5, 0.905),
    )  # fmt: skip
    neck = Part(
        path((0.39, 0.13), (0.42, 0.13 + depth, 0.5, 0.13 + depth), (0.58, 0.13 + depth, 0.61, 0.13)), "trim", 0.022
    )
    hem = seam((0.275, 0.865), (0.5, 0.885, 0.725, 0.865))
    sleeve = both(seam((0.725, 0.17), (0.695, 0.27, 0.72, 0.385)))
    cuff = both(seam((0.93, 0.395), (0.81, 0.48)))
    return (_inner_neck(0.13, depth), Part(body, "fabric"), neck, hem, *sleeve, *cuff)


def _sleeved(depth: float, hem_y: float, flare: float) -> Outline:
    return mirrored(
        (0.5, 0.12 + depth), (0.58, 0.12 + depth, 0.61, 0.12), (0.71, 0.15), (0.785, 0.175, 0.81, 0.28), (0.925, 0.77),
        (0.825, 0.795), (0.715, 0.42), (0.70, 0.62, 0.72 + flare, hem_y), (0.6, hem_y + 0.02, 0.5, hem_y + 0.02),
    )  # fmt: skip


def long_sleeve(variant: int) -> tuple[Part, ...]:
    depth = (0.07, 0.11, 0.04)[variant % 3]
    neck = Part(
        path((0.39, 0.12), (0.42, 0.12 + depth, 0.5, 0.12 + depth), (0.58, 0.12 + depth, 0.61, 0.12)), "trim", 0.024
    )
    cuff = both(Part(path((0.912, 0.715), (0.925, 0.77), (0.825, 0.795), (0.808, 0.737)), "trim"))
    arm = both(seam((0.715, 0.155), (0.69, 0.28, 0.715, 0.42)))
    hem = Part(path((0.283, 0.845), (0.5, 0.865, 0.717, 0.845)), "trim", 0.03)
    return (_inner_neck(0.12, depth), Part(_sleeved(depth, 0.85, 0.0), "fabric"), *arm, neck, *cuff, hem)


def shirt(variant: int) -> tuple[Part, ...]:
    collar = both(Part(path((0.5, 0.225), (0.585, 0.095), (0.63, 0.125), (0.60, 0.235)), "trim"))
    buttons = tuple(Part(disc(0.5, y, 0.0105), "button") for y in (0.29, 0.40, 0.51, 0.62, 0.73))
    placket = both(seam((0.525, 0.225), (0.525, 0.885)))
    pocket = seam((0.57, 0.37), (0.67, 0.37), (0.67, 0.46), (0.62, 0.485), (0.57, 0.46), (0.57, 0.37))
    arm = both(seam((0.715, 0.155), (0.69, 0.28, 0.715, 0.42)))
    if variant % 3 == 1:
        body = mirrored(
            (0.5, 0.19), (0.6, 0.12), (0.72, 0.155), (0.77, 0.17, 0.80, 0.22), (0.94, 0.42), (0.82, 0.50),
            (0.715, 0.385), (0.70, 0.62, 0.72, 0.85), (0.66, 0.90, 0.5, 0.90),
        )  # fmt: skip
        cuffs: tuple[Part, ...] = both(seam((0.92, 0.395), (0.80, 0.475)))
    else:
        body = _sleeved(0.09, 0.87, 0.0)
        cuffs = both(Part(path((0.908, 0.70), (0.925, 0.77), (0.825, 0.795), (0.804, 0.722)), "trim"))
    return (_inner_neck(0.115, 0.08), Part(body, "fabric"), *arm, *cuffs, *placket, pocket, *buttons, *collar)


def coat(variant: int) -> tuple[Part, ...]:
    long = variant % 3 != 1
    hem_y = 0.95 if long else 0.76
    body = mirrored(
        (0.5, 0.15), (0.60, 0.075), (0.72, 0.11), (0.80, 0.14, 0.825, 0.25), (0.93, 0.72), (0.81, 0.75), (0.73, 0.42),
        (0.72, 0.6, 0.75 if long else 0.725, hem_y), (0.62, hem_y + 0.015, 0.5, hem_y + 0.015),
    )  # fmt: skip
    lining = Part(path((0.40, 0.075), (0.5, 0.045, 0.60, 0.075), (0.5, 0.34)), "inside")
    lapels = both(
        Part(path((0.5, 0.42), (0.535, 0.2), (0.60, 0.055), (0.665, 0.10), (0.69, 0.22), (0.635, 0.245)), "trim")
    )
    front = Part(path((0.5, 0.40), (0.5, hem_y + 0.01)), "seam", 0.01)
    buttons = tuple(
        Part(disc(x, y, 0.017), "button") for y in (0.48, 0.60, 0.72)[: 3 if long else 2] for x in (0.45, 0.55)
    )
    pockets = both(Part(path((0.60, 0.62), (0.69, 0.59)), "seam", 0.018))
    arm = both(seam((0.72, 0.115), (0.70, 0.26, 0.73, 0.42)))
    cuffs = both(Part(path((0.915, 0.655), (0.93, 0.72), (0.81, 0.75), (0.793, 0.685)), "trim"))
    return (lining, Part(body, "fabric"), *arm, front, *pockets, *cuffs, *buttons, *lapels)


def dress(variant: int) -> tuple[Part, ...]:
    flare = (0.83, 0.74, 0.88)[variant % 3]
    hem_y = (0.90, 0.95, 0.84)[variant % 3]
    body = mirrored(
        (0.5, 0.19), (0.575, 0.18, 0.585, 0.06), (0.635, 0.06), (0.635, 0.19, 0.685, 0.25), (0.645, 0.36, 0.615, 0.44),
        (0.69, 0.58, flare, hem_y), (0.66, hem_y + 0.05, 0.5, hem_y + 0.05),
    )  # fmt: skip
    belt = Part(path((0.38, 0.425), (0.5, 0.44, 0.62, 0.425), (0.618, 0.465), (0.5, 0.48, 0.382, 0.465)), "trim")
    drape = 0.5 + (flare - 0.5) * 0.62
    folds = both(Part(path((0.55, 0.49), (0.57, 0.65, drape, hem_y + 0.01)), "seam", 0.008))
    middle = Part(path((0.49, 0.5), (0.47, 0.7, 0.48, hem_y + 0.03)), "seam", 0.008)
    sleeves = both(
        Part(
            path((0.585, 0.06), (0.66, 0.06), (0.72, 0.09, 0.77, 0.20), (0.68, 0.26), (0.62, 0.2, 0.585, 0.06)),
            "fabric",
        )
    )
    inner = Part(
        path((0.415, 0.065), (0.5, 0.045, 0.585, 0.065), (0.575, 0.18, 0.5, 0.19), (0.425, 0.18, 0.415, 0.065)),
        "inside",
    )
    neck: tuple[Part, ...] = (*sleeves, inner) if variant % 2 else ()
    return (*neck, Part(body, "fabric"), *folds, middle, belt)


def skirt(variant: int) -> tuple[Part, ...]:
    flare, hem_y = ((0.86, 0.80), (0.70, 0.84), (0.80, 0.92))[variant % 3]
    body = mirrored((0.5, 0.17), (0.65, 0.16), (0.72, 0.35, flare, hem_y), (0.68, hem_y + 0.06, 0.5, hem_y + 0.06))
    band = Part(path((0.345, 0.125), (0.5, 0.14, 0.655, 0.125), (0.66, 0.19), (0.5, 0.205, 0.34, 0.19)), "trim")
    folds = [
        part
        for k in (0.2, 0.55, 0.85)
        for part in both(seam((0.5 + 0.13 * k, 0.21), (0.5 + 0.2 * k, 0.5, 0.5 + (flare - 0.5) * k, hem_y + 0.03)))
    ]
    return (Part(body, "fabric"), *folds, band)


def trousers(variant: int) -> tuple[Part, ...]:
    ankle = (0.685, 0.655, 0.745)[variant % 3]
    inner = (0.555, 0.565, 0.55)[variant % 3]
    body = mirrored(
        (0.5, 0.07), (0.655, 0.06), (0.715, 0.25, 0.70, 0.42), (ankle - 0.005, 0.6, ankle, 0.955), (inner, 0.955),
        (0.54, 0.6, 0.5, 0.375),
    )  # fmt: skip
    return (Part(body, "fabric"), *_waist(0.38), *both(seam((inner + 0.004, 0.925), (ankle - 0.003, 0.925))))


def _waist(crotch_y: float) -> tuple[Part, ...]:
    band = Part(path((0.34, 0.05), (0.5, 0.065, 0.66, 0.05), (0.672, 0.105), (0.5, 0.12, 0.328, 0.105)), "trim")
    fly = seam((0.5, 0.11), (0.5, crotch_y - 0.01))
    fly_curve = seam((0.535, 0.115), (0.54, 0.26, 0.502, 0.29))
    pockets = both(seam((0.605, 0.115), (0.62, 0.2, 0.692, 0.225)))
    return (band, fly, fly_curve, *pockets, Part(disc(0.5, 0.085, 0.014), "button"))


def shorts(variant: int) -> tuple[Part, ...]:
    hem_y, out = ((0.60, 0.79), (0.52, 0.82), (0.68, 0.755))[variant % 3]
    body = mirrored(
        (0.5, 0.07), (0.655, 0.06), (0.73, 0.25, out, hem_y), (0.665, hem_y + 0.04, 0.53, hem_y + 0.03), (0.5, 0.36)
    )
    cuffs = both(Part(path((0.53, hem_y), (0.67, hem_y + 0.01, out - 0.007, hem_y - 0.035)), "seam", 0.007))
    parts = (Part(body, "fabric"), *_waist(0.37), *cuffs)
    # Shorts fill the upper half of the square only: centre and enlarge them.
    return tuple(
        Part(tuple(((x - 0.5) * 1.25 + 0.5, (y - 0.35) * 1.25 + 0.5) for x, y in p.outline), p.paint, p.stroke)
        for p in parts
    )
