"""A steady stream of good requests, and what became of each: answered right, refused clearly, or not.

It speaks OpenAI's `/v1/embeddings`, pictures as data URIs with `modality`, so that the same stream runs against any
server that does.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

from tests.pictures import noise

DEADLINE_S = 10.0
"""What every good request allows; one second more is the rule's tolerance."""

SENDERS_OF_EACH = 2
RIGHT_COSINE = 0.9999
WORDS = ("red", "green", "blue", "black", "white", "yellow")


class Fate(StrEnum):
    """What became of a good request."""

    RIGHT = "right"
    REFUSED = "refused"
    """An error status with a sentence, in time."""
    WRONG = "wrong"
    """A vector that is not the input's."""
    HUNG = "hung"
    """No answer within the deadline and a second."""
    BROKEN = "broken"
    """A connection that ended without an answer, or an error without a sentence."""


@dataclass(frozen=True, slots=True)
class Good:
    """A request that deserves an answer."""

    modality: str
    value: str

    def body(self, model: str) -> dict[str, Any]:
        """The JSON that asks for its vector."""
        fields = {"input": [self.value], "model": model, "encoding_format": "float"}
        return fields if self.modality == "text" else {**fields, "modality": "image"}


def data_uri(data: bytes, kind: str = "png") -> str:
    """Bytes as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


GOOD_TEXTS = tuple(Good("text", f"a {word} dress number {n}") for n in range(4) for word in WORDS)
GOOD_PICTURES = tuple(Good("image", data_uri(noise(seed, size=(64, 48)))) for seed in range(12))


@dataclass(slots=True)
class Tally:
    """How the stream fared.

    Attributes:
        fates: How many requests ended how.
        slowest_s: The longest that one took, in seconds.
        examples: The first few that did not end well, in words.
    """

    fates: Counter[Fate] = field(default_factory=Counter)
    slowest_s: float = 0.0
    examples: list[str] = field(default_factory=list)

    def note(self, fate: Fate, took_s: float, detail: str) -> None:
        """Count one request."""
        self.fates[fate] += 1
        self.slowest_s = max(self.slowest_s, took_s)
        if fate is not Fate.RIGHT and len(self.examples) < 5:
            self.examples.append(f"{fate} after {took_s:.1f} s: {detail}"[:300])

    @property
    def is_clean(self) -> bool:
        """True if every request was answered right or refused clearly, in time, and at least one was answered."""
        bad = self.fates[Fate.WRONG] + self.fates[Fate.HUNG] + self.fates[Fate.BROKEN]
        return not bad and self.fates[Fate.RIGHT] > 0


class Deaf(Exception):
    """The server has answered nobody for a whole deadline."""


class Stream:
    """Good requests, several at a time, from `__aenter__` to `__aexit__`.

    Args:
        base_url: Where `/v1/embeddings` is, without a slash at the end.
        model: Its name for the model.
        expected: The vector of each good request, from a calm moment; see `calm_vectors`.
    """

    def __init__(self, base_url: str, model: str, expected: dict[Good, NDArray[np.float32]]) -> None:
        self._url = f"{base_url}/v1/embeddings"
        self._model = model
        self._expected = expected
        self._ending = asyncio.Event()
        self._answered = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self.tally = Tally()

    async def __aenter__(self) -> Stream:
        for goods in (GOOD_TEXTS, GOOD_PICTURES):
            for n in range(SENDERS_OF_EACH):
                self._tasks.append(asyncio.create_task(self._send(goods[n::SENDERS_OF_EACH])))
        await self.more(len(self._tasks))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        await asyncio.gather(*self._tasks)

    async def more(self, n: int) -> None:
        """Return when `n` more requests have ended, however they did; Deaf if every sender was left without answer."""
        async with self._answered:
            goal = self.tally.fates.total() + n
            await self._answered.wait_for(lambda: self.tally.fates.total() >= goal or self.is_deaf)
            if self.is_deaf:
                raise Deaf

    @property
    def is_deaf(self) -> bool:
        """Whether as many requests hung as there are senders: going on would only take time."""
        return self.tally.fates[Fate.HUNG] >= 2 * SENDERS_OF_EACH

    async def _send(self, goods: Sequence[Good]) -> None:
        # A connection for each request: one that a fault has broken must not spoil the next.
        async with httpx2.AsyncClient(trust_env=False, timeout=DEADLINE_S + 1) as client:
            for good in cycle(goods):
                if self._ending.is_set():
                    return
                started = time.monotonic()
                fate, detail = await self._one(client, good)
                took_s = time.monotonic() - started
                async with self._answered:
                    self.tally.note(fate, took_s, detail)
                    self._answered.notify_all()

    async def _one(self, client: httpx2.AsyncClient, good: Good) -> tuple[Fate, str]:
        headers = {"X-Request-Timeout": str(DEADLINE_S), "Connection": "close"}
        try:
            async with asyncio.timeout(DEADLINE_S + 1):
                response = await client.post(self._url, json=good.body(self._model), headers=headers)
        except (TimeoutError, httpx2.TimeoutException) as error:
            return Fate.HUNG, f"{good.modality}: {type(error).__name__}"
        except httpx2.HTTPError as error:
            return Fate.BROKEN, f"{good.modality}: {type(error).__name__}: {error}"
        return judge(response, self._expected[good])


def judge(response: httpx2.Response, expected: NDArray[np.float32]) -> tuple[Fate, str]:
    """What an answer to a good request is worth."""
    try:
        body = response.json()
        if response.status_code >= 400:
            sentence = body["error"]["message"]
            return (Fate.REFUSED if sentence else Fate.BROKEN), f"{response.status_code} {sentence}"
        found = np.array(body["data"][0]["embedding"], np.float32)
        return (Fate.RIGHT if _cosine(found, expected) >= RIGHT_COSINE else Fate.WRONG), "a vector that is another's"
    except (ValueError, LookupError, TypeError) as error:
        return Fate.BROKEN, f"{response.status_code} {response.text[:100]!r}: {error}"


async def calm_vectors(base_url: str, model: str) -> dict[Good, NDArray[np.float32]]:
    """The vector of every good request, asked for one at a time while nothing else happens."""
    expected = {}
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        for good in (*GOOD_TEXTS, *GOOD_PICTURES):
            response = await client.post(f"{base_url}/v1/embeddings", json=good.body(model))
            response.raise_for_status()
            expected[good] = np.array(response.json()["data"][0]["embedding"], np.float32)
    return expected


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
