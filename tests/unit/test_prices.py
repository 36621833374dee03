"""The price table: complete, sourced, dated, and honest about what is not in it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from lookalike.providers.prices import STALE_DAYS, offers, price_of, stale
from lookalike.providers.reference import ModelRef


def test_every_row_has_a_source_and_a_date_and_can_be_opened() -> None:
    """A row says where it is from and when, and its model's name is one that a configuration takes."""
    assert len(offers()) >= 10
    for offer in offers():
        assert offer.source
        assert offer.dated <= date(2100, 1, 1)
        assert str(ModelRef.parse(offer.model)) == offer.model
    assert len({offer.model for offer in offers()}) == len(offers())


def test_a_price_is_found_by_provider_and_model() -> None:
    """A million tokens of OpenAI's small model cost two cents; of its batches, one."""
    price = price_of("openai", "text-embedding-3-small")
    assert price is not None
    assert price.cost_usd(tokens=1_000_000) == pytest.approx(0.02)
    batch = next(offer.batch for offer in offers() if offer.model == "openai:text-embedding-3-small")
    assert batch is not None
    assert batch.cost_usd(tokens=1_000_000) == pytest.approx(0.01)


@pytest.mark.parametrize(("provider", "model"), [("jina", "jina-clip-v2"), ("openai", "bge-m3"), ("nobody", "x")])
def test_what_is_not_known_is_none(provider: str, model: str) -> None:
    """A model without a known price has none, rather than costing nothing."""
    assert price_of(provider, model) is None


def test_pixels_are_billed_within_their_limits_and_budgeted_at_the_most() -> None:
    """A picture costs by its pixels, at least the least and at most the most, which is what a budget counts."""
    offer = next(offer for offer in offers() if offer.model == "voyage:voyage-multimodal-3.5")
    assert offer.pixels is not None
    assert offer.pixels.image_usd(1) == pytest.approx(0.00003)
    assert offer.pixels.image_usd(1_000_000) == pytest.approx(0.0006)
    assert offer.pixels.image_usd(100_000_000) == pytest.approx(0.0012)
    price = price_of("voyage", "voyage-multimodal-3.5")
    assert price is not None
    assert price.cost_usd(images=1) == pytest.approx(0.0012)


def test_old_prices_are_said_once() -> None:
    """Nothing is said on the last good day; a day later, one sentence names the providers and the date."""
    openai = [offer for offer in offers() if offer.model.startswith("openai:")]
    last_good = min(offer.dated for offer in openai) + timedelta(days=STALE_DAYS)
    assert stale(openai, today=last_good) == ()
    (warning,) = stale(openai, today=last_good + timedelta(days=1))
    assert "openai" in warning
    assert str(openai[0].dated) in warning
