"""What a job would take with each hosted model, and on this machine: money, time, bytes on the way, room for vectors.

Every figure is an estimate from a price table and a few rules, which are the constants here; what cannot be known from
them is None, never a guess.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lookalike.embed import Embedder
from lookalike.usage import Offer, Rates

CHARS_PER_TOKEN = 4
"""Of English (OpenAI's rule of thumb, help.openai.com/en/articles/4936856); other scripts have more tokens."""

SENT_BYTES_PER_PIXEL = 0.25
"""Of a JPEG, which mostly goes as it is: 150 small photos had 0.21, and 0.36 written anew at quality 95."""

BASE64 = 4 / 3
"""What a picture weighs within JSON (RFC 4648)."""

STORED_BYTES_PER_VALUE = 2
"""Of a vector in the index: 16 bits, embedded or as pgvector's halfvec."""

TIMED_TEXTS, TIMED_ROUNDS = 64, 3
"""How many texts are timed together, and how often; pictures as many as are handed in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be embedded.

    Attributes:
        images: Pictures, once.
        texts: Texts, once.
        queries_per_month: Texts that are searched for, every month.
        text_chars: Characters of an average text.
        query_chars: Characters of an average query.
        image_side_px: The longer side of an average picture as it is sent; the other is three quarters of it.
    """

    images: int = 0
    texts: int = 0
    queries_per_month: int = 0
    text_chars: int = 200
    query_chars: int = 40
    image_side_px: int = 1024

    @property
    def image_pixels(self) -> int:
        """Pixels of an average picture as it is sent."""
        return self.image_side_px * self.image_side_px * 3 // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSpeed:
    """How fast a model in this process was just now.

    Attributes:
        model: Its name.
        dim: Length of its vectors.
        images_per_s: Pictures; None if it embeds none.
        texts_per_s: Texts.
    """

    model: str
    dim: int
    images_per_s: float | None
    texts_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the job would take with one model; None is what is not known, or cannot be had.

    Attributes:
        model: Its name.
        embeds_images: Whether it embeds pictures; without, the figures are of the texts alone.
        images_usd: For the pictures, in US dollars.
        texts_usd: For the texts.
        month_usd: For a month's queries.
        batch_usd: For pictures and texts together where the provider's slower batches are cheaper.
        seconds: At the provider's published limits of one key, or as measured here; not less.
        sent_bytes: What goes over the network.
        stored_bytes: What the vectors weigh in the index.
        notes: Sentences: what is not known, and why.
        source: Where the price is from; empty for this machine.
        dated: When it was looked up (ISO 8601); empty for this machine.
    """

    model: str
    embeds_images: bool | None
    images_usd: float | None
    texts_usd: float | None
    month_usd: float | None
    batch_usd: float | None = None
    seconds: float | None
    sent_bytes: int
    stored_bytes: int | None
    notes: tuple[str, ...] = ()
    source: str = ""
    dated: str = ""


def estimate(job: Job, offers: Iterable[Offer], local: LocalSpeed | None = None) -> list[Estimate]:
    """What the job takes: first here, then with models that embed pictures, then with those that do not.

    Args:
        job: What is to be embedded.
        offers: The hosted models.
        local: How fast this machine is, if that was measured.
    """
    hosted = sorted((_hosted(job, offer) for offer in offers), key=_order)
    return [*([_here(job, local)] if local else []), *hosted]


def measure(
    embedder: Embedder, pictures: Sequence[bytes], *, clock: Callable[[], float] = time.perf_counter
) -> LocalSpeed:
    """How fast an opened model is on this machine now: the best of a few rounds, after one to warm up.

    Args:
        embedder: The model.
        pictures: Bytes of a few pictures of usual size, that are decoded and embedded.
        clock: A clock in seconds that only moves forward.
    """
    texts = [f"a photo of {number} red dresses on a beach" for number in range(TIMED_TEXTS)]
    embeds_images = "image" in embedder.space.modalities
    return LocalSpeed(
        model=embedder.space.model,
        dim=embedder.space.dim,
        images_per_s=_per_s(len(pictures), lambda: embedder.embed_images(pictures), clock) if embeds_images else None,
        texts_per_s=_per_s(len(texts), lambda: embedder.embed_texts(texts), clock),
    )


def tokens_of(n_chars: int) -> int:
    """How many tokens a text of so many characters has, about; one at least."""
    return max(1, math.ceil(n_chars / CHARS_PER_TOKEN))


def _per_s(n: int, work: Callable[[], object], clock: Callable[[], float]) -> float:
    work()
    took_s = []
    for _ in range(TIMED_ROUNDS):
        began_s = clock()
        work()
        took_s.append(clock() - began_s)
    return n / max(min(took_s), 1e-9)


def _here(job: Job, local: LocalSpeed) -> Estimate:
    embeds_images = local.images_per_s is not None
    n_images = job.images if embeds_images else 0
    return Estimate(
        model=local.model,
        embeds_images=embeds_images,
        images_usd=0.0 if embeds_images else None,
        texts_usd=0.0,
        month_usd=0.0,
        seconds=n_images / (local.images_per_s or 1.0) + job.texts / local.texts_per_s,
        sent_bytes=0,
        stored_bytes=_stored(n_images + job.texts, local.dim),
        notes=() if embeds_images else ("It embeds no pictures.",),
    )


def _hosted(job: Job, offer: Offer) -> Estimate:
    n_images = job.images if offer.embeds_images else 0
    images_usd, images_note = _images_usd(job, offer)
    texts_usd = _texts_usd(offer, job.texts, job.text_chars)
    seconds, seconds_note = _seconds(n_images, job, offer.rates)
    notes = [
        images_note,
        "" if texts_usd is not None else f"The price is not known: {offer.source}.",
        seconds_note,
    ]
    return Estimate(
        model=offer.model,
        embeds_images=offer.embeds_images,
        images_usd=images_usd,
        texts_usd=texts_usd,
        month_usd=_texts_usd(offer, job.queries_per_month, job.query_chars),
        batch_usd=_batch_usd(n_images, job, offer),
        seconds=seconds,
        sent_bytes=round(n_images * job.image_pixels * SENT_BYTES_PER_PIXEL * BASE64) + job.texts * job.text_chars,
        stored_bytes=None if offer.dim is None else _stored(n_images + job.texts, offer.dim),
        notes=tuple(filter(None, notes)),
        source=offer.source,
        dated=offer.dated.isoformat(),
    )


def _images_usd(job: Job, offer: Offer) -> tuple[float | None, str]:
    """What the pictures cost; or why that is not known."""
    if offer.embeds_images is None:
        return None, "Whether it embeds pictures is not known here."
    if not offer.embeds_images:
        return None, "It embeds no pictures."
    if offer.pixels is not None:
        return job.images * offer.pixels.image_usd(job.image_pixels), ""
    if offer.price is None:
        return None, ""
    if offer.price.image_usd:
        return job.images * offer.price.image_usd, ""
    if not offer.price.covers_images:
        return None, "What its pictures cost is not known here."
    million = offer.price.million_image_tokens_usd
    return None, f"Pictures are billed by tokens (${million:g} a million); how many one has is not known here."


def _texts_usd(offer: Offer, n: int, chars: int) -> float | None:
    return None if offer.price is None else offer.price.cost_usd(tokens=n * tokens_of(chars))


def _batch_usd(n_images: int, job: Job, offer: Offer) -> float | None:
    """Of texts alone, or of pictures too where each has a price in batches."""
    if offer.batch is None or (n_images and not offer.batch.image_usd):
        return None
    return offer.batch.cost_usd(tokens=job.texts * tokens_of(job.text_chars), images=n_images)


def _seconds(n_images: int, job: Job, rates: Rates) -> tuple[float | None, str]:
    """The least time at the published limits, pictures after texts; or why that is not known."""
    texts = _minutes(job.texts, (1, rates.texts_per_minute), (tokens_of(job.text_chars), rates.tokens_per_minute))
    images = _minutes(n_images, (1, rates.images_per_minute), (job.image_pixels, rates.pixels_per_minute))
    if texts is None or images is None:
        return None, "The time is not known: the table does not have how much a key may send in a minute."
    return 60 * (texts + images), ""


def _minutes(n: int, *limits: tuple[int, int]) -> float | None:
    """How long n inputs take, by (units of an input, units a minute); None if no limit is known."""
    known = [n * units / limit for units, limit in limits if limit]
    return max(known) if known else (None if n else 0.0)


def _stored(n: int, dim: int) -> int:
    return n * dim * STORED_BYTES_PER_VALUE


def _order(row: Estimate) -> tuple[bool, bool, float, str]:
    """Those that embed pictures first; known prices by money, before those that are not known."""
    needed = (row.images_usd, row.texts_usd) if row.embeds_images else (row.texts_usd,)
    known = [money for money in needed if money is not None]
    return not row.embeds_images, len(known) < len(needed), sum(known), row.model
