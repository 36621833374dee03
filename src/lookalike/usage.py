"""What embedding used (requests, tokens, money) and what it costs, as providers say it or as it was counted here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one call, or many together, used. Values add up with "+".

    Attributes:
        requests: Requests that were sent, those that failed included.
        texts: Texts that were embedded anew.
        images: Pictures that were embedded anew.
        tokens: Tokens of text that the provider says it read; 0 where it does not tell.
        image_tokens: The same of pictures, where pictures are billed by tokens.
        cost_usd: What that costs by the price table, in US dollars; 0 where the price is not known.
        cached: Inputs whose vectors came from a cache and used nothing.
        saved_usd: What those would have cost, as far as it is known.
    """

    requests: int = 0
    texts: int = 0
    images: int = 0
    tokens: int = 0
    image_tokens: int = 0
    cost_usd: float = 0.0
    cached: int = 0
    saved_usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a hosted model costs, in US dollars.

    Attributes:
        million_tokens_usd: A million tokens of text.
        million_image_tokens_usd: A million tokens of pictures, where pictures are billed by tokens.
        image_usd: One picture, where pictures are billed one by one.
    """

    million_tokens_usd: float = 0.0
    million_image_tokens_usd: float = 0.0
    image_usd: float = 0.0

    @property
    def covers_images(self) -> bool:
        """Whether it says what pictures cost."""
        return self.image_usd > 0 or self.million_image_tokens_usd > 0

    def cost_usd(self, *, tokens: int = 0, image_tokens: int = 0, images: int = 0) -> float:
        """What this much costs."""
        by_token = tokens * self.million_tokens_usd + image_tokens * self.million_image_tokens_usd
        return by_token / 1e6 + images * self.image_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelPrice:
    """What a picture costs where its pixels are billed, in US dollars.

    Attributes:
        billion_pixels_usd: A billion pixels.
        least_usd: What the smallest picture costs.
        most_usd: What the largest picture costs.
    """

    billion_pixels_usd: float
    least_usd: float
    most_usd: float

    def image_usd(self, pixels: int) -> float:
        """What a picture of so many pixels costs."""
        return min(max(pixels * self.billion_pixels_usd / 1e9, self.least_usd), self.most_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How fast one key may go, a minute; 0 where that is not known. Pixels are those of pictures."""

    texts_per_minute: int = 0
    images_per_minute: int = 0
    pixels_per_minute: int = 0
    tokens_per_minute: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A hosted model, as its provider sells it; None is what is not known.

    Attributes:
        model: Its name ("openai:text-embedding-3-small").
        dim: Length of its vectors.
        embeds_images: Whether it embeds pictures.
        price: What it costs at once.
        batch: What it costs in the provider's batches, which may take a day.
        pixels: What pictures cost where their pixels are billed; `price` has the most then.
        rates: How fast one key may go.
        source: Where that is from.
        dated: When it was looked up.
    """

    model: str
    dim: int | None = None
    embeds_images: bool | None = None
    price: Price | None = None
    batch: Price | None = None
    pixels: PixelPrice | None = None
    rates: Rates = field(default_factory=Rates)
    source: str
    dated: date
