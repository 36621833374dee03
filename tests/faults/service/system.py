"""Cases in which the system around the service fails: descriptors, disk, clock, index. Each has a server of its own."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.faults.service.harness import Act
from tests.faults.service.stream import Stream
from tests.faults.service.target import Target
from tests.faults.service.wire import idle_connections

FAKE_CLOCK = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
"""A library that lies about the time of day; Debian's package "faketime"."""


@dataclass(frozen=True, slots=True)
class SystemCase:
    """A fault of the system.

    Attributes:
        name: What happens.
        prepare: Changes the server, and its folder, before it is started.
        act: Makes it happen.
        lacks: What this machine lacks for it, if anything; empty if it can be run.
    """

    name: str
    act: Act
    prepare: Callable[[Target, Path], None] = field(default=lambda *_: None)
    lacks: Callable[[], str] = str


def small(folder: Path) -> Target:
    """`lookalike serve` with an index of a few pictures, in a folder."""
    environ = {"LOOKALIKE_CACHE_DIR": str(folder / "cache"), "LOOKALIKE_INDEX": str(folder / "photos.lookalike")}
    command = [sys.executable, "-m", "lookalike", "serve", "--model", "tiny"]
    return Target("lookalike", command, folder / "server.log", environ=environ)


async def ask(target: Target, path: str) -> httpx2.Response:
    """The answer to a GET."""
    async with httpx2.AsyncClient(trust_env=False, timeout=11) as client:
        return await client.get(target.base_url + path)


async def _descriptors(target: Target, stream: Stream) -> str:
    await idle_connections(target.base_url, stream)
    return "400 connections, 128 descriptors"


def _few_descriptors(target: Target, _: Path) -> None:
    target.limits = "ulimit -n 128"


def _full_disk(target: Target, folder: Path) -> None:
    """A cache folder on a disk of 64 KiB, in a name space of its own."""
    cache = folder / "full"
    cache.mkdir()
    mount = f"mount -t tmpfs -o size=64k none {shlex.quote(str(cache))}"
    target.command = ["unshare", "--mount", "bash", "-c", f'{mount} && exec "$@"', "full", *target.command]
    target.environ = {**target.environ, "LOOKALIKE_CACHE_DIR": str(cache)}


def _no_name_spaces() -> str:
    allowed = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    return "" if allowed else "only root can give a process a small disk of its own"


def _no_fake_clock() -> str:
    return "" if FAKE_CLOCK else "the library that lies about the time is not here (Debian: faketime)"


def _no_cache(target: Target, _: Path) -> None:
    target.environ = {**target.environ, "LOOKALIKE_CACHE_DIR": "/proc/nowhere"}


async def _search_and_thumbnails(target: Target, stream: Stream) -> str:
    hits = (await ask(target, "/search/images?q=red")).json()["hits"]
    answers = [await ask(target, hit["item"]["thumbnail"]) for hit in hits[:3]]
    await stream.more(10)
    return ", ".join(str(answer.status_code) for answer in answers)


async def _index_deleted(target: Target, stream: Stream) -> str:
    index = Path(target.environ["LOOKALIKE_INDEX"])
    kept = index.with_name("kept")
    before = await ask(target, "/search/images?q=red")
    index.rename(kept)
    gone = await ask(target, "/search/images?q=red")
    await stream.more(10)
    kept.rename(index)
    after = await ask(target, "/search/images?q=red")
    assert (before.status_code, after.status_code) == (200, 200), (before.text, after.text)
    assert gone.status_code in {404, 503}, gone.text
    assert gone.json()["error"]["message"]
    return f"{before.status_code}, {gone.status_code}, {after.status_code}"


def _fake_clock(target: Target, folder: Path) -> None:
    offset = folder / "offset"
    offset.write_text("+0")
    target.environ = {
        **target.environ,
        "LD_PRELOAD": str(FAKE_CLOCK),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


async def _clock_jumps(target: Target, stream: Stream) -> str:
    offset = Path(target.environ["FAKETIME_TIMESTAMP_FILE"])
    for jump in ("+400d", "-400d", "+0"):
        offset.write_text(jump)
        await stream.more(10)
    return "400 days forward, 800 back, 400 forward"


SYSTEM: list[SystemCase] = [
    SystemCase("file descriptors used up", _descriptors, _few_descriptors),
    SystemCase("full disk for the cache", _search_and_thumbnails, _full_disk, _no_name_spaces),
    SystemCase("cache folder that cannot be made", _search_and_thumbnails, _no_cache),
    SystemCase("index deleted underneath, and back again", _index_deleted),
    SystemCase("clock jumps by 400 days", _clock_jumps, _fake_clock, _no_fake_clock),
]


async def stopped_under_load(target: Target, requests: int) -> tuple[list[int], int, float]:
    """Statuses of requests that were under way at a SIGTERM, the exit status, and the seconds until the end."""
    asked: list[Awaitable[httpx2.Response]] = []
    async with httpx2.AsyncClient(
        trust_env=False, timeout=30, limits=httpx2.Limits(max_connections=requests)
    ) as client:
        for number in range(requests):
            texts = [f"text {number} of {n}" for n in range(64)]
            asked.append(asyncio.ensure_future(client.post(f"{target.base_url}/embed/text", json={"texts": texts})))
        while (await ask(target, "/stats")).json()["queue"]["bulk"] < 64:
            await asyncio.sleep(0)
        began = time.monotonic()
        assert target.process is not None
        target.process.terminate()
        statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
    code = await asyncio.to_thread(target.process.wait, 30)
    return statuses, code, time.monotonic() - began
