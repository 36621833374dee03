"""Every case that needs nothing but HTTP: hostile pictures, odd bodies, misbehaving clients, too much work."""

from __future__ import annotations

import asyncio
import json
import time

import httpx2

from tests.faults.service.harness import Act, Case, posting
from tests.faults.service.hostile import PICTURES
from tests.faults.service.payloads import BODIES
from tests.faults.service.stream import DEADLINE_S, Stream, data_uri
from tests.faults.service.target import Target
from tests.faults.service.wire import ATTACKS, Attack
from tests.pictures import noise

OVERLOAD_S = 30.0
"""How long ten times too much is asked for."""


def _hostile(name: str) -> Act:
    def body() -> bytes:
        return json.dumps({"model": "tiny", "input": [data_uri(PICTURES[name]())], "modality": "image"}).encode()

    return posting(body)


def _attack(attack: Attack) -> Act:
    async def act(target: Target, stream: Stream) -> str:
        await attack(target.base_url, stream)
        return ""

    return act


def overload(seconds: float = OVERLOAD_S) -> Act:
    """Sixty clients that ask for 16 pictures or 64 texts as fast as they can: ten times what two cores can do."""

    async def act(target: Target, _: Stream) -> str:
        return await burst(target, seconds)

    return act


async def burst(target: Target, seconds: float = 2.0) -> str:
    """Those clients for so long; says what they were answered."""
    pictures = [data_uri(noise(1_000 + n, size=(640, 480), kind="JPEG"), "jpeg") for n in range(16)]
    texts = [f"a text that is asked for too often, number {n}" for n in range(64)]
    bodies = [
        json.dumps({"model": target.model, "input": pictures, "modality": "image"}).encode(),
        json.dumps({"model": target.model, "input": texts}).encode(),
    ]
    end = time.monotonic() + seconds
    answers = await asyncio.gather(*(_flood(target, bodies[n % 2], end) for n in range(60)))
    return ", ".join(f"{sum(a.get(code, 0) for a in answers)} x {code}" for code in sorted(set().union(*answers)))


async def _flood(target: Target, body: bytes, end: float) -> dict[str, int]:
    answers: dict[str, int] = {}
    headers = {"Content-Type": "application/json", "X-Request-Timeout": str(DEADLINE_S)}
    async with httpx2.AsyncClient(trust_env=False, timeout=DEADLINE_S + 1) as client:
        while time.monotonic() < end:
            try:
                response = await client.post(f"{target.base_url}/v1/embeddings", content=body, headers=headers)
                answer = str(response.status_code)
                # What a well-behaved client does with a refusal; without it this measures refusals alone.
                await asyncio.sleep(min(1.0, float(response.headers.get("Retry-After", 0))))
            except httpx2.TimeoutException:
                answer = "no answer"
            except httpx2.HTTPError:
                answer = "connection lost"
            answers[answer] = answers.get(answer, 0) + 1
    return answers


ANYWHERE: list[Case] = [
    *(Case(f"picture: {name}", _hostile(name), fits_all=True) for name in PICTURES),
    *(Case(f"body: {name}", posting(make), fits_all=True) for name, make in BODIES.items()),
    *(Case(f"wire: {name}", _attack(attack), fits_all=True) for name, attack in ATTACKS.items()),
    Case("load: ten times too much", overload(), fits_all=True),
]
"""By what they need, these run against any server that speaks the protocol."""
