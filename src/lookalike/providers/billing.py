"""What requests use and cost: allowed before each, counted after it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lookalike.ports import Meter
from lookalike.providers.adapter import Reading
from lookalike.providers.splitting import Batch
from lookalike.usage import Price, Usage

PICTURE_TOKENS = 1000
"""Tokens of a picture where pictures are billed by tokens and the provider does not tell how many: a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """The price of a model, and who counts.

    Attributes:
        price: What it costs; None if that is not known.
        meter: Counts, and says when it is enough; None if nobody does.
    """

    price: Price | None = None
    meter: Meter | None = None

    def require(self, batch: Batch) -> None:
        """Raise BudgetExceeded if a request for this would cost more than is left; see `ports.Meter`."""
        if self.meter:
            is_known = batch.modality == "text" or self.price is None or self.price.covers_images
            self.meter.require(self._cost_usd(batch, Reading(())) if is_known else math.inf)

    def of(self, batch: Batch, reading: Reading) -> Usage:
        """What an answered request used; what the answer does not tell is estimated, for the cost alone."""
        n = len(batch.entries)
        return Usage(
            requests=1,
            texts=n if batch.modality == "text" else 0,
            images=n if batch.modality == "image" else 0,
            tokens=reading.tokens,
            image_tokens=reading.image_tokens,
            cost_usd=self._cost_usd(batch, reading),
        )

    def record(self, usage: Usage) -> Usage:
        """Count it."""
        if self.meter:
            self.meter.record(usage)
        return usage

    def _cost_usd(self, batch: Batch, reading: Reading) -> float:
        if self.price is None:
            return 0.0
        n_images = len(batch.entries) if batch.modality == "image" else 0
        told = reading.tokens or reading.image_tokens
        return self.price.cost_usd(
            tokens=reading.tokens if told else batch.tokens,
            image_tokens=reading.image_tokens if told else n_images * PICTURE_TOKENS,
            images=n_images,
        )
