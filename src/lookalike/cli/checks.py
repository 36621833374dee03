"""What `lookalike doctor` finds out about the machine: each check is a function that returns what it found."""

from __future__ import annotations

import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lookalike.cli.output import amount
from lookalike.cli.thumbnails import Protocol, detect
from lookalike.config import HUB_ENDPOINT
from lookalike.errors import LookalikeError, MissingDependency, ModelNotFound, StoreNotFound
from lookalike.weights.local import HubSettings

Verdict = Literal["ok", "slow", "warning", "wrong", "missing"]

LOCAL_LIBRARIES = ("onnxruntime", "onnx", "tokenizers", "safetensors")
"""What runs a model; numkong, the fifth of the extra `local`, is judged with the search."""

WORKING_BYTES = 300 * 10**6
"""What an encoder needs besides its weights: the interpreter, a batch of pictures, activations."""

LOW_DISK_BYTES = 10**9

SCAN_ROWS, SCAN_DIM = 100_000, 128
SLOW_SCAN_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check found.

    Attributes:
        name: What was looked at.
        verdict: "ok"; "slow" and "warning": works, could be better; "wrong" and "missing": does not work.
        facts: What was found, measured values with their units.
        remedy: A sentence that says what to do; empty if there is nothing to do.
    """

    name: str
    verdict: Verdict
    facts: str
    remedy: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether something does not work."""
        return self.verdict in ("wrong", "missing")


def guarded(name: str, checks: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """Run checks; what one of them raises is what it found, under the given name."""
    try:
        yield from checks()
    except (MissingDependency, ModelNotFound, StoreNotFound) as error:
        yield Check(name=name, verdict="missing", facts=str(error))
    except LookalikeError as error:
        yield Check(name=name, verdict="wrong", facts=str(error))
    except Exception as error:  # a defect in one check must not hide what the others found
        remedy = "This is a defect of lookalike: please report it with the output of `lookalike doctor --json`."
        yield Check(name=name, verdict="wrong", facts=f"{type(error).__name__}: {error}", remedy=remedy)


def check_python() -> Check:
    """The interpreter and the machine that it runs on."""
    facts = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check(name="Python", verdict="ok", facts=facts)


def check_memory(available_bytes: int | None, limit_bytes: int | None, weights_bytes: int) -> Check:
    """Whether the model fits.

    Args:
        available_bytes: What the machine has to spare; None if it does not say.
        limit_bytes: What the container may still use; None if there is no limit.
        weights_bytes: Size of the model's weights.
    """
    known = [n for n in (available_bytes, limit_bytes) if n is not None]
    needed = weights_bytes + WORKING_BYTES
    if not known:
        return Check(name="memory", verdict="ok", facts=f"this system does not say; {amount(needed)} needed")
    facts = f"{amount(min(known))} available"
    facts += " within the container's limit" if limit_bytes == min(known) else ""
    facts += f"; the model needs about {amount(needed)}"
    if min(known) >= needed:
        return Check(name="memory", verdict="ok", facts=facts)
    remedy = "Close other programs or raise the container's memory limit; a smaller model helps too (--model tiny)."
    return Check(name="memory", verdict="warning", facts=facts, remedy=remedy)


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that programs can still have, as the kernel estimates it; None where there is no such estimate."""
    with suppress(OSError):
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def memory_limit(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that the container (cgroup v2 or v1) may still take; None without a limit."""
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # "max" is no number: there is no limit
            limit = int((root / limit_name).read_text(encoding="ascii"))
            # v1 says "no limit" with a number near 2**63.
            return max(0, limit - int((root / used_name).read_text(encoding="ascii"))) if limit < 2**60 else None
    return None


def check_cores(*, host: int, allowed: int, used: int) -> Check:
    """How many cores the machine has, the container allows, and lookalike uses."""
    facts = f"{used} used of {host}" + (f"; this process may use {allowed}" if allowed < host else "")
    if used > allowed:
        remedy = f"More threads than cores slow each other down: set at most {allowed}, or leave --threads out."
        return Check(name="cores", verdict="slow", facts=facts, remedy=remedy)
    if used < allowed:
        remedy = f"Leave --threads and LOOKALIKE_THREADS out to use all {allowed}."
        return Check(name="cores", verdict="slow", facts=facts, remedy=remedy)
    return Check(name="cores", verdict="ok", facts=facts)


def version_of(library: str) -> str:
    """The installed version of a distribution; empty if it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def check_libraries(version: Callable[[str], str] = version_of) -> Check:
    """Whether what runs a model is installed."""
    versions = {library: version(library) for library in LOCAL_LIBRARIES}
    absent = [library for library, found in versions.items() if not found]
    facts = ", ".join(f"{library} {found or '(not installed)'}" for library, found in versions.items())
    if absent:
        return Check(
            name="libraries", verdict="missing", facts=facts, remedy="Install them: pip install 'lookalike[local]'"
        )
    return Check(name="libraries", verdict="ok", facts=facts)


def check_search_speed() -> Check:
    """Whether the store's dot products use SIMD instructions, and how fast they are here."""
    import numpy as np

    from lookalike.store.scan import dots_int8, is_accelerated

    codes = np.random.default_rng(0).integers(-127, 128, (SCAN_ROWS, SCAN_DIM), np.int8)
    dots_int8(codes[:1000], codes[0])  # the first call loads the library
    began_s = time.perf_counter()
    dots_int8(codes, codes[0])
    taken_s = time.perf_counter() - began_s
    library = f"numkong {version_of('numkong')}" if is_accelerated() else "numpy, without SIMD kernels"
    facts = f"{library}: {SCAN_ROWS:,} vectors in {taken_s * 1000:.1f} ms"
    if not is_accelerated():
        remedy = "pip install 'lookalike[local]' makes searching large indexes several times faster."
        return Check(name="search kernels", verdict="slow", facts=facts, remedy=remedy)
    if taken_s > SLOW_SCAN_S:
        remedy = "The processor is busy or old; searches of large indexes will take longer than they should."
        return Check(name="search kernels", verdict="slow", facts=facts, remedy=remedy)
    return Check(name="search kernels", verdict="ok", facts=facts)


def check_folder(name: str, folder: Path, *, is_index: bool = False) -> Check:
    """Whether a folder, or the one that it will be made in, can be written and has room; an index can do without."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        probe = existing / f".{uuid.uuid4().hex}.probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        if is_index:
            remedy = "It can be searched as it is; to change it, copy it to a folder of your own: lookalike copy."
            return Check(name=name, verdict="ok", facts=f"{folder}: {error.strerror}", remedy=remedy)
        remedy = f"Make {existing} a folder that this user may write, or set another place."
        return Check(name=name, verdict="wrong", facts=f"{folder}: {error.strerror}", remedy=remedy)
    free = shutil.disk_usage(existing).free
    facts = f"{folder}; {amount(free)} free"
    if free < LOW_DISK_BYTES:
        return Check(name=name, verdict="warning", facts=facts, remedy="Free some disk space.")
    return Check(name=name, verdict="ok", facts=facts)


def check_heic(version: Callable[[str], str] = version_of) -> Check:
    """Whether pictures of iPhones can be read."""
    found = version("pillow-heif")
    if not found:
        remedy = "To read the pictures that iPhones take: pip install 'lookalike[heic]'"
        return Check(name="HEIC pictures", verdict="warning", facts="pillow-heif is not installed", remedy=remedy)
    return Check(name="HEIC pictures", verdict="ok", facts=f"pillow-heif {found}")


def check_network(hub: HubSettings, proxies: Mapping[str, str]) -> Check:
    """What decides whether models can be fetched. Nothing is contacted."""
    facts = ["offline: nothing is fetched" if hub.offline else f"models come from {_without_secrets(hub.endpoint)}"]
    if hub.endpoint != HUB_ENDPOINT and hub.offline:
        facts.append(f"HF_ENDPOINT is {_without_secrets(hub.endpoint)}")
    facts += [f"{scheme} proxy {_without_secrets(url)}" for scheme, url in sorted(proxies.items()) if scheme != "no"]
    facts += [f"no proxy for {proxies['no']}"] if proxies.get("no") else []
    facts += ["HF_TOKEN is set"] if hub.token else []
    remedy = "Unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE to fetch models." if hub.offline else ""
    return Check(name="downloads", verdict="ok", facts="; ".join(facts), remedy=remedy)


def _without_secrets(url: str) -> str:
    """A URL without its user name and password."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme else parts.netloc.rpartition("@")[2]


def check_terminal(variables: Mapping[str, str], *, is_terminal: bool) -> Check:
    """Whether `search` can show pictures right here."""
    if not is_terminal:
        return Check(name="terminal", verdict="ok", facts="not a terminal: no pictures are shown")
    protocol = detect(variables, is_terminal)
    if protocol is Protocol.NONE:
        remedy = "`lookalike search ... --open` shows them in the browser; kitty, Ghostty, iTerm2 and WezTerm in place."
        return Check(name="terminal", verdict="ok", facts="pictures are not shown", remedy=remedy)
    return Check(name="terminal", verdict="ok", facts=f"pictures are shown with {protocol.value}")
