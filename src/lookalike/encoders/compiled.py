"""Graphs that are ready to run, kept on disk: built once, whole or not at all, shared by all processes.

    <cache>/<model>-<tower>-<precision>-<key>/manifest.json     stamps and facts; written last
                                              graph.onnx
                                              weights.bin       packed for this processor, memory-mapped

The key is a digest of everything that decides the content, so nothing here is ever updated, and everything may be
deleted at any time.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.errors import ModelError

MANIFEST = "manifest.json"

Facts = Mapping[str, Any]
"""JSON-able facts about a build."""

Build = Callable[[Path], Facts]
"""Fills an empty folder and says what there is to know about it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A whole build.

    Attributes:
        folder: Where its files are.
        facts: What its builder said about it.
        temporary: True if the cache could not be written: the folder has to be removed after use.
        touched: True if a file was copied or written to since it was built: it has to be tested before it is used.
    """

    folder: Path
    facts: Facts
    temporary: bool = False
    touched: bool = False

    def release(self) -> None:
        """Remove the files of a temporary build. What has been mapped from them stays usable."""
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


def find(folder: Path) -> Compiled | None:
    """The build in a folder, if there is one and every file has its size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        pairs = [(_stamp(folder / name), tuple(stamp)) for name, stamp in manifest["files"].items()]
        if all(found[0] == built[0] for found, built in pairs):
            touched = any(found != built for found, built in pairs)
            return Compiled(folder, dict(manifest["facts"]), touched=touched)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return None


def build_once(folder: Path, build: Build, *, replacing: Compiled | None = None) -> Compiled:
    """The build in a folder, made if need be; another process that wants the same one waits for it.

    Args:
        folder: Where it belongs.
        build: Makes it.
        replacing: A build of this folder that turned out to be damaged.

    Returns:
        The build; a temporary one, with a warning in the log, where the folder cannot be written.

    Raises:
        ModelError: There is no room for it, not even among the temporary files.
    """
    try:
        with _locked(folder):
            found = find(folder)
            if found is not None and (replacing is None or _is_newer(found, replacing)):
                return found
            return _build(folder, build)
    except OSError as error:
        reason = error.strerror or str(error)
        _log.warning(
            "The compiled model cannot be kept in %s (%s), so it is built again for every process: make room or "
            "set LOOKALIKE_CACHE_DIR to a folder that can be written.",
            folder.parent,
            reason,
        )
        return _build_temporarily(folder, build)


def processor() -> str:
    """What decides which kernels, and so which packing of weights, suit this machine."""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        # The first core stands for all; on a server with hundreds of them the whole file is long.
        wanted = ("vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU part")
        core = [line.split(":", 1) for line in iter(file.readline, "\n") if ":" in line]
        return " ".join([platform.machine(), *(value.strip() for key, value in core if key.strip() in wanted)])
    return f"{platform.machine()} {platform.processor()}"


def _build(folder: Path, build: Build) -> Compiled:
    _remove_partials(folder)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    partial.mkdir()
    try:
        facts = build(partial)
        files = {path.name: _stamp(path) for path in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(json.dumps({"files": files, "facts": facts}), encoding="utf-8")
        for path in partial.iterdir():
            _sync(path)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Compiled(folder, facts)


def _remove_partials(folder: Path) -> None:
    """Remove what killed builds of a folder left; whoever holds its lock knows that nobody else is at one."""
    for path in folder.parent.iterdir():
        if path.name.startswith(f".{folder.name}.") and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def _build_temporarily(folder: Path, build: Build) -> Compiled:
    try:
        partial = Path(tempfile.mkdtemp(prefix="lookalike-"))
        try:
            return Compiled(partial, build(partial), temporary=True)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise ModelError(
            f"There is no room to compile the model, neither in {folder.parent} nor among the temporary files "
            f"({error.strerror or error}): make room there, or set LOOKALIKE_CACHE_DIR to a folder on another disk.",
            file=str(folder),
        ) from error


def _stamp(path: Path) -> tuple[int, int]:
    """A file's size in bytes and the time of its last change in ns, which moving it does not alter."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _is_newer(found: Compiled, replaced: Compiled) -> bool:
    """Whether somebody else has rebuilt it in the meantime; every build has a random mark."""
    return bool(found.facts != replaced.facts)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's name against other processes and threads; the kernel's lock, so it ends with its holder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    """Bring a file to the disk: after a power cut, a size that is right must not stand for content that is not."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
