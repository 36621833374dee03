"""Writing into the Hugging Face hub cache: a lock, room on the disk, whole files only. The layout is in `weights`."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lookalike.errors import ModelError
from lookalike.weights.local import HubSettings, ModelFolder, verify

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def disk_errors(model: str, hub_cache: Path) -> Iterator[None]:
    """Turn the operating system's errors into a ModelError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            reason = "the disk is full, or a quota or size limit is reached. What has arrived is kept: free some space"
        elif error.errno in _READ_ONLY:
            reason = "it may not be written. Let a user who may write there do it"
        else:
            reason = f"{error.strerror or error} ({error.filename or 'no file named'}). Repair that"
        raise ModelError(
            f"{model} cannot be stored in {hub_cache}: {reason} and run the same command again, or set HF_HUB_CACHE to "
            "a folder elsewhere.",
            model=model,
        ) from error


@contextmanager
def locked(repository: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a repository's folder against other processes and threads; they wait.

    The lock is the kernel's (flock): it ends with the process that holds it, however that ends.

    Args:
        repository: The repository's folder in the hub cache.
        on_wait: Called once if somebody else holds the lock.
    """
    lock = repository.parent / ".locks" / repository.name / "lookalike.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def require_space(folder: Path, n_bytes: int, *, model: str) -> None:
    """Raise ModelError unless so many bytes are free on the disk of a folder that exists."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < n_bytes:
        raise ModelError(
            f"{model} needs {megabytes(n_bytes)} more in {folder}, and {megabytes(free_bytes)} are free: free some "
            "space, or set HF_HUB_CACHE to a folder on a larger disk.",
            model=model,
        )


def resume_point(partial: Path, n_bytes: int | None, *, has_digest: bool) -> tuple[int, dict[str, str]]:
    """How many bytes of an earlier attempt can be built upon, and the HTTP headers that ask for the rest.

    Args:
        partial: The unfinished file; it need not exist.
        n_bytes: The size of the whole file, or None.
        has_digest: True if the digest of the whole file is known beforehand.
    """
    done_bytes = partial.stat().st_size if partial.exists() else 0
    if not done_bytes or (n_bytes is not None and done_bytes > n_bytes):
        return 0, {}
    headers = {"Range": f"bytes={done_bytes}-"}
    if has_digest:
        # No If-Range: storage hosts differ in their ETags, and the digest of the whole finds a wrong joint.
        return done_bytes, headers
    validator = _validator(partial)
    if not validator.exists():
        return 0, {}
    return done_bytes, {**headers, "If-Range": validator.read_text(encoding="utf-8")}


def keep_validator(partial: Path, etag: str | None) -> None:
    """Remember the ETag of a file that is begun, for `resume_point`."""
    # Only a strong ETag promises the same bytes (RFC 9110, 13.1.5).
    if etag is not None and etag.startswith('"'):
        _validator(partial).write_text(etag, encoding="utf-8")
    else:
        _validator(partial).unlink(missing_ok=True)


def publish(partial: Path, blob: Path) -> None:
    """Give a whole file its final name, so that a crash leaves either the old state or the new one."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(blob)
    _validator(partial).unlink(missing_ok=True)


def link(blob: Path, pointer: Path) -> None:
    """Let `pointer`, a file of a snapshot, point to a blob, whatever was there before."""
    pointer.parent.mkdir(parents=True, exist_ok=True)
    # Relative, so that the cache can be moved or mounted elsewhere.
    target = os.path.relpath(blob, pointer.parent)
    fresh = pointer.with_name(f"{pointer.name}.{uuid.uuid4().hex}")
    fresh.symlink_to(target)
    fresh.replace(pointer)


def drop_damaged(folder: ModelFolder, settings: HubSettings) -> None:
    """Hash every file of a model of the hub cache, and unlink the damaged ones, so that `hub.fetch` gets them again."""
    with disk_errors(folder.name, settings.hub_cache):
        for check in verify(folder):
            if check.status == "wrong digest":
                (folder.path / check.name).unlink()


def write_reference(repository: Path, revision: str, commit: str) -> None:
    """Note which commit a branch or tag was at."""
    if revision == commit:
        return
    reference = repository / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    fresh = reference.with_name(f"{reference.name}.{uuid.uuid4().hex}")
    fresh.write_text(commit, encoding="utf-8")
    fresh.replace(reference)


def megabytes(n_bytes: int) -> str:
    """A size for people, in millions of bytes: "605.2 MB"."""
    return f"{n_bytes / 1e6:,.1f} MB"


def _validator(partial: Path) -> Path:
    return partial.with_suffix(".etag")
