"""Texts of any lengths as one batch without padding, and how many go into one. Pure numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.encoders.architecture import ClipText, TextArchitecture
from lookalike.errors import InputError
from lookalike.types import TokenIds

Feed = dict[str, NDArray[np.generic]]
"""The inputs of a graph, by name."""

MAX_BATCH_TOKENS = 512
"""In one run: enough to keep the cores busy, and few enough for the states to stay in the cache."""

MAX_WASTED_PAIRS = 12_000
"""Pairs of tokens that attention may look at in vain in one run, since it pads to the longest text. Beyond that, a
second run, which reads all weights again, costs less (measured on CLIP ViT-B/32, two cores)."""


def pooled_part(ids: TokenIds, text: TextArchitecture) -> TokenIds:
    """The tokens that decide a text's vector.

    For CLIP, those up to the one where it is pooled: attention is causal, so what follows changes nothing. That is
    the last one, unless the text spells the end token out. For a sentence model, all of them.

    Raises:
        InputError: There is none, too many, or an id that the model has no row for.
    """
    if not 0 < len(ids) <= text.max_tokens or not 0 <= ids.min() <= ids.max() < text.vocabulary:
        raise InputError(
            f"A text of {len(ids)} tokens with ids up to {max(ids, default=0)} does not fit a model of "
            f"{text.max_tokens} tokens and {text.vocabulary} ids: tokenise it with the encoder's own prepare_text."
        )
    if not isinstance(text, ClipText):
        return ids
    return ids[: 1 + int(np.argmax(ids if text.end_id is None else ids == text.end_id))]


def plan(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places of the texts that go into one run each, similar lengths together."""
    batch: list[int] = []
    n_tokens = n_pairs = 0
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[place]
        n_wasted = len(batch) * length**2 - n_pairs
        if batch and (n_tokens + length > MAX_BATCH_TOKENS or n_wasted > MAX_WASTED_PAIRS):
            yield batch
            batch, n_tokens, n_pairs = [], 0, 0
        batch.append(place)
        n_tokens += length
        n_pairs += length**2
    if batch:
        yield batch


def text_feed(texts: Sequence[TokenIds], text: TextArchitecture) -> Feed:
    """The inputs of a text tower's graph for these texts.

    Returns:
        "ids", "positions": (tokens,) int64: all tokens, one text behind the other, and their places in their texts.
        "spread": (n, length) int64: where the tokens of each text stand in `ids`; any place behind its end.
        "gather": (tokens,) int64: where each token stands in `spread`.
        "mask": (n, length) int32: 1 for a token, 0 behind the end.
        "last": (n,) int64: where each text's last token stands (CLIP).
        "shares": (n, tokens) float32: 1 / length at a text's own tokens, else 0 (sentence models).
    """
    lengths = np.array([len(ids) for ids in texts])
    ends = np.cumsum(lengths)
    places = np.arange(lengths.max())
    mask = places < lengths[:, None]
    spread = np.where(mask, places + (ends - lengths)[:, None], 0)
    feed: Feed = {
        "ids": np.concatenate(texts),
        "positions": np.broadcast_to(places, mask.shape)[mask],
        "spread": spread,
        "gather": np.flatnonzero(mask),
        "mask": mask.astype(np.int32),
    }
    if isinstance(text, ClipText):
        return {**feed, "last": ends - 1}
    owner = np.repeat(np.arange(len(texts)), lengths)
    shares = (owner == np.arange(len(texts))[:, None]) / lengths[:, None]
    return {**feed, "shares": shares.astype(np.float32)}
