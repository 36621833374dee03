"""What hosted models cost: `prices.json`, with the source and the date of every row. What is not known is absent."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from datetime import date
from importlib.resources import files
from typing import Any

from lookalike.usage import Offer, PixelPrice, Price, Rates

STALE_DAYS = 180
"""A price that was looked up longer ago is shown with a warning."""

PRICES = ("million_tokens_usd", "million_image_tokens_usd", "image_usd")
PIXEL_PRICES = {
    "billion_pixels_usd": "billion_pixels_usd",
    "image_least_usd": "least_usd",
    "image_most_usd": "most_usd",
}


def price_of(provider: str, model: str) -> Price | None:
    """What a hosted model costs; None if that is not known.

    Where the pixels of pictures are billed, a picture counts as the dearest: a budget must hold whatever is sent.

    Args:
        provider: As in a model's name: "openai".
        model: The provider's name for it, without options: "text-embedding-3-small".
    """
    offer = offer_of(provider, model)
    return offer.price if offer else None


def offer_of(provider: str, model: str) -> Offer | None:
    """The row of a hosted model; None if there is none. See `price_of` for the names."""
    return next((offer for offer in offers() if offer.model == f"{provider}:{model}"), None)


@functools.cache
def offers() -> tuple[Offer, ...]:
    """Every hosted model of the table."""
    table = json.loads(files(__package__).joinpath("prices.json").read_text(encoding="utf-8"))
    return tuple(_offer(row, table["rates"]) for row in table["models"])


def stale(rows: Iterable[Offer], *, today: date) -> tuple[str, ...]:
    """A warning, if rows are older than STALE_DAYS; else nothing."""
    old = [offer for offer in rows if (today - offer.dated).days > STALE_DAYS]
    if not old:
        return ()
    providers = ", ".join(sorted({offer.model.partition(":")[0] for offer in old}))
    oldest = min(offer.dated for offer in old)
    return (
        f"The prices of {providers} are more than {STALE_DAYS} days old (the oldest of {oldest}): upgrade lookalike, "
        "or look them up at their sources, which --json names.",
    )


def _offer(row: Mapping[str, Any], rates: Mapping[str, Any]) -> Offer:
    of_provider = rates.get(row["model"].partition(":")[0], {})
    pixels = {name: row[given] for given, name in PIXEL_PRICES.items() if given in row}
    most = {"image_usd": pixels["most_usd"]} if pixels else {}
    return Offer(
        model=row["model"],
        dim=row.get("dim"),
        embeds_images=row.get("images"),
        price=_price({**row, **most}),
        batch=_price(row.get("batch", {})),
        pixels=PixelPrice(**pixels) if pixels else None,
        rates=Rates(**{name: value for name, value in of_provider.items() if name.endswith("_per_minute")}),
        source=row["source"],
        dated=date.fromisoformat(row["date"]),
    )


def _price(row: Mapping[str, Any]) -> Price | None:
    known = {name: row[name] for name in PRICES if name in row}
    return Price(**known) if known else None
