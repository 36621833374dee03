"""Outlines of what is not worn on the body: hats, shoes, bags, mugs, furniture, bottles.

May import: outlines.
"""

from __future__ import annotations

from training.outlines import Part, both, box, disc, mirrored, path, seam


def hat(variant: int) -> tuple[Part, ...]:
    if variant % 3 == 1:
        crown = path((0.22, 0.60), (0.20, 0.26, 0.50, 0.25), (0.79, 0.25, 0.80, 0.58), (0.5, 0.64, 0.22, 0.60))
        peak = path(
            (0.50, 0.595),
            (0.72, 0.54, 0.80, 0.555),
            (1.0, 0.60, 0.98, 0.68),
            (0.96, 0.72, 0.88, 0.69),
            (0.70, 0.62, 0.50, 0.625),
        )
        ribs = (seam((0.5, 0.25), (0.40, 0.40, 0.43, 0.615)), seam((0.5, 0.25), (0.66, 0.36, 0.66, 0.60)))
        return (Part(crown, "fabric"), *ribs, Part(peak, "trim"), Part(disc(0.5, 0.245, 0.024, 0.016), "trim"))
    wide = 0.47 if variant % 3 == 0 else 0.40
    brim = path(
        (0.5 - wide, 0.64), (0.5 - wide, 0.58, 0.30, 0.58), (0.70, 0.58), (0.5 + wide, 0.58, 0.5 + wide, 0.64),
        (0.48 + wide, 0.76, 0.5, 0.76), (0.52 - wide, 0.76, 0.5 - wide, 0.64),
    )  # fmt: skip
    crown = path(
        (0.25, 0.62),
        (0.27, 0.27, 0.37, 0.25),
        (0.45, 0.23, 0.5, 0.27),
        (0.55, 0.23, 0.63, 0.25),
        (0.73, 0.27, 0.75, 0.62),
        (0.5, 0.71, 0.25, 0.62),
    )
    band = path((0.255, 0.545), (0.5, 0.63, 0.745, 0.545), (0.75, 0.62), (0.5, 0.71, 0.25, 0.62))
    return (Part(brim, "body"), Part(crown, "fabric"), Part(band, "band"))


def shoe(variant: int) -> tuple[Part, ...]:
    top = 0.24 if variant % 3 == 1 else 0.36
    upper = path(
        (0.10, top), (0.18, top + 0.06, 0.28, top + 0.01), (0.37, top - 0.05), (0.43, top - 0.02),
        (0.50, 0.46, 0.66, 0.52),
        (0.93, 0.54, 0.94, 0.70), (0.09, 0.70), (0.06, 0.58, 0.10, top),
    )  # fmt: skip
    inside = path((0.10, top), (0.20, top - 0.045, 0.37, top - 0.05), (0.28, top + 0.02), (0.18, top + 0.07, 0.10, top))
    sole = path((0.065, 0.68), (0.955, 0.68), (0.985, 0.77, 0.92, 0.785), (0.11, 0.785), (0.045, 0.77, 0.065, 0.68))
    toe = path((0.74, 0.535), (0.94, 0.56, 0.94, 0.70), (0.72, 0.70), (0.70, 0.60, 0.74, 0.535))
    heel = path((0.10, top), (0.15, top + 0.035), (0.19, 0.58, 0.20, 0.70), (0.09, 0.70), (0.06, 0.58, 0.10, top))
    stretch = (0.46 - top) / 4
    laces = tuple(
        Part(
            path((0.385 + 0.045 * i, top + 0.05 + stretch * i), (0.46 + 0.05 * i, top + 0.02 + stretch * i * 1.02)),
            "lace",
            0.017,
        )
        for i in range(4)
    )
    groove = Part(path((0.07, 0.735), (0.965, 0.735)), "groove", 0.008)
    return (
        Part(inside, "inside"),
        Part(upper, "fabric"),
        Part(toe, "trim"),
        Part(heel, "trim"),
        *laces,
        Part(sole, "rubber"),
        groove,
    )


def handbag(variant: int) -> tuple[Part, ...]:
    reach = (0.10, 0.20, 0.16)[variant % 3]
    handle = Part(path((0.31, 0.42), (0.30, reach, 0.5, reach), (0.70, reach, 0.69, 0.42)), "leather", 0.036)
    body = mirrored(
        (0.5, 0.40), (0.77, 0.40), (0.80, 0.41, 0.81, 0.45), (0.88, 0.80), (0.89, 0.88, 0.81, 0.88), (0.5, 0.885)
    )
    flap = mirrored((0.5, 0.395), (0.77, 0.395), (0.80, 0.40, 0.81, 0.45), (0.80, 0.61, 0.66, 0.62), (0.5, 0.63))
    rings = both(Part(disc(0.69, 0.425, 0.026), "metal"))
    clasp = Part(box(0.455, 0.575, 0.545, 0.665, 0.02), "metal")
    base = seam((0.155, 0.80), (0.5, 0.815, 0.845, 0.80))
    front: tuple[Part, ...] = (Part(flap, "trim"), clasp) if variant % 3 != 2 else (seam((0.2, 0.45), (0.8, 0.45)),)
    return (handle, Part(body, "fabric"), base, *front, *rings)


def backpack(variant: int) -> tuple[Part, ...]:
    straps = both(Part(path((0.70, 0.24), (0.90, 0.40, 0.80, 0.82)), "leather", 0.055))
    loop = Part(path((0.42, 0.14), (0.42, 0.045, 0.5, 0.045), (0.58, 0.045, 0.58, 0.14)), "leather", 0.03)
    body = mirrored((0.5, 0.10), (0.74, 0.10, 0.76, 0.33), (0.79, 0.83), (0.79, 0.92, 0.70, 0.92), (0.5, 0.925))
    pocket = box(0.30, 0.56, 0.70, 0.85, 0.06)
    zips = (
        Part(path((0.27, 0.42), (0.29, 0.18, 0.5, 0.18), (0.71, 0.18, 0.73, 0.42)), "zip", 0.014),
        Part(path((0.33, 0.62), (0.67, 0.62)), "zip", 0.014),
    )
    tag = Part(box(0.45, 0.32, 0.55, 0.40, 0.015), "leather")
    pull = Part(box(0.655, 0.615, 0.68, 0.68, 0.01), "metal")
    sides = both(Part(path((0.765, 0.58), (0.83, 0.60, 0.825, 0.85), (0.785, 0.86)), "trim"))
    return (
        *straps,
        loop,
        *sides,
        Part(body, "fabric"),
        Part(pocket, "trim" if variant % 2 else "fabric"),
        *zips,
        pull,
        tag,
    )


def mug(variant: int) -> tuple[Part, ...]:
    side = (0.70, 0.66, 0.74)[variant % 3]
    left, low = 0.18, 0.86 if variant % 3 else 0.82
    handle = Part(path((side - 0.02, 0.36), (0.95, 0.30, 0.94, 0.53), (0.93, 0.73, side - 0.03, 0.70)), "body", 0.062)
    middle = (left + side) / 2
    taper = 0.02 if variant % 3 else 0.045
    body = path(
        (left, 0.24),
        (side, 0.24),
        (side - taper, low - 0.06),
        (side - taper - 0.01, low + 0.03, middle, low + 0.03),
        (left + taper + 0.01, low + 0.03, left + taper, low - 0.06),
    )
    rim = disc(middle, 0.24, (side - left) / 2, 0.072)
    return (
        handle,
        Part(body, "fabric"),
        Part(rim, "rim"),
        Part(disc(middle, 0.247, (side - left) / 2 - 0.028, 0.052), "drink"),
    )


def chair(variant: int) -> tuple[Part, ...]:
    spread = (0.0, 0.03, 0.05)[variant % 3]
    back_legs = both(Part(path((0.69, 0.60), (0.73 + spread, 0.86), (0.70 + spread, 0.86), (0.65, 0.60)), "wood"))
    legs = both(Part(path((0.78, 0.66), (0.82 + spread, 0.95), (0.785 + spread, 0.95), (0.72, 0.66)), "wood"))
    back = path((0.25, 0.60), (0.20, 0.10, 0.30, 0.07), (0.5, 0.03, 0.70, 0.07), (0.80, 0.10, 0.75, 0.60))
    seat = path(
        (0.16, 0.66),
        (0.16, 0.53, 0.28, 0.52),
        (0.72, 0.52),
        (0.84, 0.53, 0.84, 0.66),
        (0.83, 0.70, 0.76, 0.70),
        (0.24, 0.70),
        (0.17, 0.70, 0.16, 0.66),
    )
    arms = both(Part(path((0.79, 0.36), (0.88, 0.34, 0.88, 0.42), (0.87, 0.66), (0.80, 0.68), (0.78, 0.44)), "fabric"))
    welt = seam((0.17, 0.65), (0.5, 0.66, 0.83, 0.65))
    extra: tuple[Part, ...] = arms if variant % 3 == 2 else ()
    return (*back_legs, *legs, Part(back, "fabric"), Part(seat, "fabric"), welt, *extra)


def lamp(variant: int) -> tuple[Part, ...]:
    top, low = ((0.15, 0.34), (0.22, 0.30), (0.08, 0.33))[variant % 3]
    shade = path((0.5 - top, 0.08), (0.5, 0.06, 0.5 + top, 0.08), (0.5 + low, 0.50), (0.5, 0.55, 0.5 - low, 0.50))
    stem = Part(box(0.482, 0.48, 0.518, 0.90), "metal")
    base = Part(
        path((0.34, 0.93), (0.34, 0.88, 0.5, 0.875), (0.66, 0.88, 0.66, 0.93), (0.5, 0.955, 0.34, 0.93)), "metal"
    )
    vase = Part(
        mirrored((0.5, 0.55), (0.53, 0.55), (0.62, 0.66, 0.60, 0.76), (0.58, 0.84, 0.55, 0.89), (0.5, 0.89)), "body"
    )
    bulb = Part(path((0.5 - low, 0.50), (0.5, 0.55, 0.5 + low, 0.50), (0.5, 0.47, 0.5 - low, 0.50)), "glow")
    return (stem, base, *((vase,) if variant % 2 == 0 else ()), Part(shade, "fabric"), bulb)


def bottle(variant: int) -> tuple[Part, ...]:
    wide = (0.17, 0.15, 0.19)[variant % 3]
    shoulder = (0.36, 0.42, 0.30)[variant % 3]
    body = mirrored(
        (0.5, 0.17), (0.555, 0.17), (0.555, 0.22), (0.56, 0.27, 0.5 + wide * 0.85, shoulder - 0.03),
        (0.5 + wide, shoulder, 0.5 + wide, shoulder + 0.05),
        (0.5 + wide, 0.90), (0.5 + wide, 0.95, 0.47 + wide, 0.95), (0.5, 0.96),
    )  # fmt: skip
    cap = Part(box(0.435, 0.06, 0.565, 0.18, 0.02), "metal")
    ring = Part(path((0.44, 0.20), (0.56, 0.20)), "metal", 0.014)
    foot = Part(
        path(
            (0.5 - wide, 0.90),
            (0.5, 0.915, 0.5 + wide, 0.90),
            (0.5 + wide, 0.95, 0.47 + wide, 0.95),
            (0.5, 0.965, 0.53 - wide, 0.95),
            (0.5 - wide, 0.95, 0.5 - wide, 0.90),
        ),
        "trim",
    )
    loop = (
        (Part(path((0.46, 0.075), (0.45, 0.01, 0.5, 0.015), (0.55, 0.01, 0.54, 0.075)), "metal", 0.018),)
        if variant % 3 == 1
        else ()
    )
    return (*loop, Part(body, "fabric"), foot, cap, ring)
