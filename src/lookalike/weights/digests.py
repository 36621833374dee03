"""Digests of files, remembered: hashing 600 MB at every start would take longer than the start."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """The sha256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha1s_of(path: Path) -> tuple[str, str]:
    """A file's sha1 as git stores it ("blob <length>\\0" before the content) and its plain sha1, both hex.

    The hub's ETag of a file outside LFS is the former; repository managers that mirror it send the latter.
    """
    git = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    plain = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            git.update(chunk)
            plain.update(chunk)
    return git.hexdigest(), plain.hexdigest()


def digest_like(expected: str, path: Path) -> str:
    """A file's digest (hex), of the kind that `expected` is: sha1 if it has 40 digits, else sha256."""
    if not is_sha1(expected):
        return sha256_of(path)
    sha1s = _sha1s_of(path)
    return expected if expected in sha1s else sha1s[0]


def is_sha256(text: str) -> bool:
    """True for 64 lower-case hex digits."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def is_sha1(text: str) -> bool:
    """True for 40 lower-case hex digits."""
    return re.fullmatch(r"[0-9a-f]{40}", text) is not None


@dataclass(frozen=True, slots=True)
class DigestCache:
    """Remembers the sha256 of files that have not changed since: same real path, size, modification time and inode.

    Attributes:
        path: A JSON file. Losing, damaging or not being able to write it costs time only.
    """

    path: Path

    def sha256_of(self, path: Path) -> str:
        """The sha256 (hex) of a file's content, from memory where the file is unchanged."""
        key, stamp = _stamp(path)
        remembered = self._read().get(key)
        if remembered is not None and remembered[:-1] == stamp:
            return remembered[-1]
        digest = sha256_of(path)
        self.remember(path, digest)
        return digest

    def remember(self, path: Path, digest: str) -> None:
        """Store a digest that was just computed from this very file."""
        key, stamp = _stamp(path)
        entries = {known: entry for known, entry in self._read().items() if Path(known).exists()}
        entries[key] = [*stamp, digest]
        with suppress(OSError):  # a read-only home: hash again next time
            self._write(entries)

    def _read(self) -> dict[str, list[str]]:
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(entries, dict):
            return {}
        return {key: entry for key, entry in entries.items() if _is_entry(entry)}

    def _write(self, entries: dict[str, list[str]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            temporary.write_text(json.dumps(entries, indent=1), encoding="utf-8")
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


def _stamp(path: Path) -> tuple[str, list[str]]:
    real = path.resolve()
    stat = real.stat()
    return str(real), [str(stat.st_size), str(stat.st_mtime_ns), str(stat.st_ino)]


def _is_entry(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 4 and all(isinstance(field, str) for field in entry)
