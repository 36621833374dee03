"""Fetching models from a Hugging Face hub or a mirror of it: resumed, verified, moved in whole.

Every file is held against a digest before it gets its final name: the pinned one, or else the one that the hub states
(the sha256 of an LFS file, git's sha1 of a small one). A file without either is taken as it first comes; the name of
its blob, which is its sha256, is the record that `weights.verify` reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx2

from lookalike.errors import CorruptModel, LookalikeError, ModelNotFound, Unavailable
from lookalike.retry import RetryPolicy
from lookalike.weights.digests import DigestCache, digest_like, is_sha1, sha256_of
from lookalike.weights.hub_answers import (
    Asked,
    Listing,
    RemoteFile,
    absence,
    content_range,
    listing_of,
    pause_note,
    pinned_listing,
    refusal,
    stated_digest,
)
from lookalike.weights.hub_cache import (
    disk_errors,
    keep_validator,
    link,
    locked,
    publish,
    require_space,
    resume_point,
    write_reference,
)
from lookalike.weights.hub_client import host_of, open_client, translated, unavailable
from lookalike.weights.local import HubModel, HubSettings, ModelFolder, find, hub_model

T = TypeVar("T")

MAX_LISTING_BYTES = 2**24
"""Of a listing of files; those of the largest repositories take a few million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a download is.

    Attributes:
        file: The file's name within the repository; empty while there is none yet.
        done_bytes: How much of it is here, earlier runs included.
        total_bytes: Its size; None if not known.
        note: A sentence when there is something to tell, such as why nothing moves; else empty.
    """

    file: str
    done_bytes: int = 0
    total_bytes: int | None = None
    note: str = ""


Report = Callable[[Progress], None]


def fetch(
    model: str, settings: HubSettings, progress: Report | None = None, *, policy: RetryPolicy | None = None
) -> ModelFolder:
    """The folder of a model: found on this machine, or else downloaded.

    Args:
        model: A name or alias of the table, the path of a folder, or "owner/name[@revision]".
        settings: Where to look and from where to fetch.
        progress: Told of every chunk that arrives, and why nothing arrives.
        policy: When to try again; None for the defaults.

    Returns:
        The folder. Another process that fetches the same model at the same time downloads nothing.

    Raises:
        ModelNotFound: No such model; or it is not here and downloads are off.
        UnsupportedModel: Its repository lacks a file that lookalike needs.
        CorruptModel: What arrived is not what was published, twice.
        ModelError: It cannot be stored: no room, no right.
        Refused: The hub will not serve it.
        RateLimited, Unavailable: The hub could not be reached, failed or asked for a pause, more often than tried.
        ConfigError: The endpoint or the token cannot be used.
    """
    folder = _find_whole(model, settings)
    if folder is not None:
        return folder
    repository = hub_model(model)
    if settings.offline:
        raise ModelNotFound(absence(repository, settings), model=model)
    report = progress or _silent
    waiting = Progress(file="", note=f"Another process is fetching {repository.name}: waiting for it.")
    with (
        disk_errors(repository.name, settings.hub_cache),
        locked(repository.folder(settings), lambda: report(waiting)),
    ):
        if _find_whole(model, settings) is None:
            with open_client(settings) as client:
                _Download(client, repository, settings, report, policy or RetryPolicy()).run()
    folder = find(model, settings)
    if folder is None:
        raise CorruptModel(
            f"{repository.folder(settings)} does not hold {model} although it was just fetched: another program may "
            "have changed it. Run the same command again.",
            model=model,
        )
    return folder


class _Download:
    """One model on its way from the hub into the hub cache."""

    def __init__(
        self, client: httpx2.Client, repository: HubModel, settings: HubSettings, report: Report, policy: RetryPolicy
    ) -> None:
        self._client = client
        self._repository = repository
        self._endpoint = settings.endpoint.rstrip("/")
        self._host = host_of(settings.endpoint)
        self._with_token = settings.token is not None
        self._report = report
        self._policy = policy
        self._until = policy.deadline()
        self._folder = repository.folder(settings)
        self._blobs = self._folder / "blobs"
        self._digests = DigestCache(settings.digest_cache)

    def run(self) -> None:
        """Fetch what is missing or damaged."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        listing = pinned_listing(self._repository) if self._repository.is_pinned else self._listing()
        snapshot = self._folder / "snapshots" / listing.commit
        wanted = [file for file in listing.files if not self._is_right(snapshot / file.name, file)]
        require_space(
            self._blobs, sum(self._missing_bytes(file, listing.commit) for file in wanted), model=self._repository.name
        )
        for file in wanted:
            try:
                link(self._blob(file, listing.commit), snapshot / file.name)
            except ModelNotFound:
                if not file.optional:
                    raise
        write_reference(self._folder, self._repository.revision, listing.commit)

    def _listing(self) -> Listing:
        revision = quote(self._repository.revision, safe="")
        url = f"{self._endpoint}/api/models/{self._repository.name}/revision/{revision}?blobs=true"
        return self._retried("", lambda: self._ask_for_listing(url))

    def _ask_for_listing(self, url: str) -> Listing:
        with self._answer(url, file="") as response:
            text = bytearray()
            for chunk in response.iter_bytes():
                text += chunk
                if len(text) > MAX_LISTING_BYTES:
                    break
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None  # a login page, or worse: listing_of says so
        return listing_of(answer, self._repository, host=self._host)

    def _blob(self, file: RemoteFile, commit: str) -> Path:
        """The file's blob, whole and right, whatever it takes."""
        if file.digest and self._is_right(self._blobs / file.digest, file):
            return self._blobs / file.digest
        partial = self._partial(file, commit)
        expected = actual = ""
        # Damage in a part that an earlier run left cannot be told from damage on the way: start afresh once.
        for _ in range(2):
            sha256, stated = self._retried(file.name, lambda: self._receive(file, commit, partial))
            expected = file.digest or stated
            actual = digest_like(expected, partial) if is_sha1(expected) else sha256
            if actual == (expected or actual):
                blob = self._blobs / actual
                publish(partial, blob)
                self._digests.remember(blob, sha256)
                return blob
            partial.unlink()
        raise CorruptModel(
            f"{file.name} of {self._repository.name} arrived damaged twice from {self._host}: digest {actual}, "
            f"expected {expected}. Try again later or from another network; if it stays so, the file there is not the "
            "one that was published: do not use it.",
            model=self._repository.name,
            file=file.name,
        )

    def _receive(self, file: RemoteFile, commit: str, partial: Path) -> tuple[str, str]:
        """One attempt to complete `partial`: its sha256, and the digest that the hub states or ""."""
        done_bytes, resume = resume_point(partial, file.n_bytes, has_digest=bool(file.digest))
        if file.digest and done_bytes == file.n_bytes:
            return sha256_of(partial), file.digest
        url = f"{self._endpoint}/{self._repository.name}/resolve/{commit}/{quote(file.name)}"
        with self._answer(url, file=file.name, headers=resume) as response:
            done_bytes, total_bytes = self._place(response, done_bytes, partial)
            self._require_size(file, total_bytes)
            total_bytes = total_bytes if total_bytes is not None else file.n_bytes
            require_space(self._blobs, (total_bytes or 0) - done_bytes, model=self._repository.name)
            if not done_bytes:
                keep_validator(partial, response.headers.get("etag"))
            start = Progress(file=file.name, done_bytes=done_bytes, total_bytes=total_bytes)
            sha256 = self._write(response, partial, start)
            return sha256, stated_digest(answer.headers for answer in (*response.history, response))

    def _write(self, response: httpx2.Response, partial: Path, start: Progress) -> str:
        sha256 = hashlib.sha256()
        if start.done_bytes:
            with partial.open("rb") as file:
                while chunk := file.read(1 << 20):
                    sha256.update(chunk)
        done_bytes = start.done_bytes
        with partial.open("ab" if done_bytes else "wb") as file:
            for chunk in response.iter_bytes():
                done_bytes += len(chunk)
                if start.total_bytes is not None and done_bytes > start.total_bytes:
                    raise self._unavailable(f"sends more than the {start.total_bytes} bytes of {start.file}")
                file.write(chunk)
                sha256.update(chunk)
                self._report(Progress(file=start.file, done_bytes=done_bytes, total_bytes=start.total_bytes))
                self._require_time()
        if start.total_bytes is not None and done_bytes < start.total_bytes:
            raise self._unavailable(f"sent {done_bytes} of the {start.total_bytes} bytes of {start.file}")
        return sha256.hexdigest()

    def _place(self, response: httpx2.Response, asked_from: int, partial: Path) -> tuple[int, int | None]:
        """(first byte of what the answer carries, size of the whole file or None)."""
        if response.status_code == 206:
            place = content_range(response.headers.get("content-range"))
            if place is not None and place[0] == asked_from:
                return place
        elif response.status_code == 200:
            is_plain = "content-encoding" not in response.headers
            length = response.headers.get("content-length", "") if is_plain else ""
            return 0, int(length) if length.isdecimal() else None
        partial.unlink(missing_ok=True)
        raise self._unavailable(f"cannot continue at byte {asked_from} (HTTP {response.status_code})")

    def _require_size(self, file: RemoteFile, total_bytes: int | None) -> None:
        # Before a byte is written, so that the login page of some network does not overwrite half a gigabyte.
        if None not in (file.n_bytes, total_bytes) and file.n_bytes != total_bytes:
            raise self._unavailable(
                f"offers {total_bytes} bytes as {file.name}, which has {file.n_bytes}: perhaps the page of a proxy"
            )

    @contextmanager
    def _answer(self, url: str, *, file: str, headers: dict[str, str] | None = None) -> Iterator[httpx2.Response]:
        """A successful answer (or 416), redirects followed; httpx2 keeps the token from other hosts."""
        asked = Asked(
            repository=self._repository,
            file=file,
            host=self._host,
            with_token=self._with_token,
            now_s=self._policy.wall_clock(),
        )
        with translated(self._host), self._client.stream("GET", url, headers=headers) as response:
            if not response.is_success and response.status_code != 416:
                raise refusal(response.status_code, response.headers, asked)
            yield response

    def _retried(self, file: str, action: Callable[[], T]) -> T:
        def tell(error: LookalikeError, pause_s: float) -> None:
            self._report(Progress(file=file, note=pause_note(error, pause_s, host=self._host)))

        return self._policy.run(action, until=self._until, on_pause=tell)

    def _unavailable(self, what: str) -> Unavailable:
        return unavailable(what, host=self._host)

    def _require_time(self) -> None:
        if self._policy.clock() > self._until:
            raise self._unavailable(f"did not finish within {self._policy.deadline_s} s")

    def _is_right(self, path: Path, file: RemoteFile) -> bool:
        if not path.is_file():
            return False
        if is_sha1(file.digest):
            return digest_like(file.digest, path) == file.digest
        return not file.digest or self._digests.sha256_of(path) == file.digest

    def _partial(self, file: RemoteFile, commit: str) -> Path:
        return self._blobs / f"{file.digest or commit + '-' + file.name.replace('/', '-')}.incomplete"

    def _missing_bytes(self, file: RemoteFile, commit: str) -> int:
        partial = self._partial(file, commit)
        return max(0, (file.n_bytes or 0) - (partial.stat().st_size if partial.exists() else 0))


def _find_whole(model: str, settings: HubSettings) -> ModelFolder | None:
    try:
        return find(model, settings)
    except CorruptModel:
        if settings.offline:
            raise
        return None  # a damaged file is fetched again


def _silent(_: Progress) -> None:
    """For callers who do not want to know."""
