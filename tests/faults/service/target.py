"""A server under test, as a process: started, watched, and started again where a fault was too much for it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

START_S = 120.0
"""How long a server may take until it is ready."""

CALM_LOOKS = 20
"""A server that looks the same so often, a tenth of a second apart, has come to rest: memory is given back by then."""


@dataclass(slots=True)
class Target:
    """A server that speaks `/v1/embeddings`.

    Attributes:
        name: What to call it.
        command: How it is started, without its port.
        port_option: The option that names its port.
        ready_path: What answers 200 when it is ready.
        model: Its name for the model.
        log: Where its output goes.
        environ: Variables on top of this process's own.
        limits: Shell commands, such as "ulimit -n 128", that run before it in the same process.
        port: Where it listens, once started.
        processes: How many there are below its first one when it is at rest.
        calm_bytes: Its memory at rest: a worker that has just been replaced has less.
        process: Its first process.
    """

    name: str
    command: Sequence[str]
    log: Path
    port_option: str = "--port"
    ready_path: str = "/readyz"
    model: str = "tiny"
    environ: Mapping[str, str] = field(default_factory=dict)
    limits: str = ""
    port: int = 0
    processes: int = 0
    calm_bytes: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_alive(self) -> bool:
        """Whether its first process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it on a free port; `until_ready` waits for it."""
        self.port = _free_port()
        command = [*self.command, self.port_option, str(self.port)]
        if self.limits:
            command = ["bash", "-c", f'{self.limits}; exec "$@"', "limited", *command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.environ}
            )

    def stop(self) -> None:
        """End it and all that it started."""
        if self.process is None:
            return
        pids = [self.process.pid, *self.descendants()]
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def is_ready(self) -> bool:
        """Whether it says, within two seconds, that it is ready."""
        with suppress(httpx2.HTTPError, TimeoutError):
            async with httpx2.AsyncClient(trust_env=False) as client, asyncio.timeout(2):
                return (await client.get(self.base_url + self.ready_path)).status_code == 200
        return False

    async def until_ready(self, timeout_s: float = START_S) -> float:
        """The seconds until it was ready; TimeoutError if that took longer than allowed or it ended."""
        started = time.monotonic()
        while not await self.is_ready():
            if not self.is_alive or time.monotonic() - started > timeout_s:
                raise TimeoutError(f"{self.name} is not ready after {timeout_s:.0f} s: {self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.05)
        return time.monotonic() - started

    async def until_settled(self, timeout_s: float = START_S) -> None:
        """Return when it is ready for the first time, and neither its processes nor their memory change any more."""
        await self.until_ready(timeout_s)
        seen: list[tuple[int, int]] = []
        end = time.monotonic() + timeout_s
        while len(seen) < CALM_LOOKS or max(seen[-CALM_LOOKS:]) != min(seen[-CALM_LOOKS:]):
            if time.monotonic() > end:
                raise TimeoutError(f"{self.name} does not come to rest.")
            await asyncio.sleep(0.1)
            seen.append((len(self.descendants()), self.memory_bytes() >> 22))
        self.processes = len(self.descendants())
        self.calm_bytes = self.memory_bytes()

    async def until_whole(self, timeout_s: float) -> None:
        """Return when it is ready and as many of its processes are there as when it had settled."""
        await self.until_ready(timeout_s)
        end = time.monotonic() + timeout_s
        while len(self.descendants()) < self.processes:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.name} has only {len(self.descendants())} processes again.")
            await asyncio.sleep(0.05)

    def descendants(self) -> list[int]:
        """Every process below its first one."""
        parents = dict(_parents())
        found: list[int] = []
        generation = {self.process.pid} if self.process else set()
        while generation:
            generation = {pid for pid, parent in parents.items() if parent in generation}
            found += generation
        return found

    def memory_bytes(self) -> int:
        """Memory of the whole tree, shared pages divided among those who share them (PSS), without mapped files."""
        pids = [self.process.pid, *self.descendants()] if self.process else []
        return sum(map(_anonymous_bytes, pids))


def _parents() -> list[tuple[int, int]]:
    pairs = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                after_name = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                pairs.append((int(folder.name), int(after_name[1])))
    return pairs


def _anonymous_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    return 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
