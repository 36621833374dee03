"""Cases that only this project's service is put to: models that do harm, workers that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx2

from tests.faults.models import Stage
from tests.faults.service.harness import Act, Case
from tests.faults.service.server import KINDS, harmful_picture, harmful_text
from tests.faults.service.stream import DEADLINE_S, Stream, data_uri
from tests.faults.service.target import Target
from tests.pictures import noise

_numbers = count()


def _harm(harm: str, stage: Stage, modality: str) -> Act:
    """Alone, and among 31 good ones."""

    async def act(target: Target, stream: Stream) -> str:
        alone = {"model": target.model, "input": [_input(harm, stage, modality, next(_numbers))]}
        among = {"model": target.model, "input": [_good(modality, n) for n in range(31)]}
        among["input"].insert(17, _input(harm, stage, modality, next(_numbers)))
        extra = {} if modality == "text" else {"modality": "image"}
        answers = await asyncio.gather(*(_ask(target, {**fields, **extra}) for fields in (alone, among)))
        await stream.more(8)
        return ", ".join(answers)

    return act


def _input(harm: str, stage: Stage, modality: str, number: int) -> str:
    make = harmful_text if modality == "text" else harmful_picture
    value = make(harm, stage, number)
    return value if isinstance(value, str) else data_uri(value)


def _good(modality: str, number: int) -> str:
    return f"a good text, number {number}" if modality == "text" else data_uri(noise(5_000 + number))


async def _ask(target: Target, fields: dict[str, object]) -> str:
    async with httpx2.AsyncClient(trust_env=False, timeout=DEADLINE_S + 1) as client:
        headers = {"X-Request-Timeout": str(DEADLINE_S), "Content-Type": "application/json"}
        with suppress(httpx2.TimeoutException):
            answer = await client.post(f"{target.base_url}/v1/embeddings", content=json.dumps(fields), headers=headers)
            return f"{answer.status_code} {answer.json().get('error', {}).get('message', '')}".strip()
        return "no answer"


def _signalled(number: int, *, which: str, times: int = 1) -> Act:
    """Send a signal to workers: to the newest, or to all of them."""

    async def act(target: Target, stream: Stream) -> str:
        sent = 0
        for _ in range(times):
            pids = await worker_pids(target)
            for pid in pids if which == "all" else pids[-1:] if which == "last" else pids[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                    sent += 1
            await stream.more(10)
        return f"{sent} signals"

    return act


async def worker_pids(target: Target) -> list[int]:
    """The workers that are there, as the service itself says."""
    async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
        workers = (await client.get(f"{target.base_url}/stats")).json()["workers"]
    return [worker["pid"] for worker in workers if worker["pid"]]


async def _kill_helper(target: Target, stream: Stream) -> str:
    """Kill what starts the workers, and then a worker, which it can no longer replace by itself."""
    workers = set(await worker_pids(target))
    helpers = [pid for pid in target.descendants() if pid not in workers and _is_python(pid)]
    for pid in [*helpers, *workers]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await stream.more(20)
    return f"{len(helpers)} helpers and {len(workers)} workers"


def _is_python(pid: int) -> bool:
    with suppress(OSError):
        return "python" in Path(f"/proc/{pid}/cmdline").read_text()
    return False


HARMFUL: list[Case] = [
    Case(f"model: {harm} at {stage}, {modality}", _harm(harm, stage, modality))
    for harm, stage in KINDS
    for modality in ("image", "text")
    if (harm, stage) != ("nan", "decode")
]
"""On the server with the harmful model."""

SIGNALS: list[Case] = [
    Case("kill -9 of the worker for queries", _signalled(signal.SIGKILL, which="first")),
    Case("kill -9 of a bulk worker", _signalled(signal.SIGKILL, which="last")),
    Case("kill -9 of all workers", _signalled(signal.SIGKILL, which="all")),
    Case("kill -9 of all workers, five times", _signalled(signal.SIGKILL, which="all", times=5)),
    Case("a worker stopped (SIGSTOP)", _signalled(signal.SIGSTOP, which="first")),
    Case("all workers stopped (SIGSTOP)", _signalled(signal.SIGSTOP, which="all")),
    Case("SIGTERM to all workers", _signalled(signal.SIGTERM, which="all")),
    Case("SIGSEGV to a worker", _signalled(signal.SIGSEGV, which="last")),
    Case("kill -9 of the process that starts workers", _kill_helper),
]
"""On either server."""
