"""What a Hugging Face hub says, read: listings, digests in headers, and refusals turned into sentences. No network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lookalike.errors import (
    LookalikeError,
    ModelNotFound,
    ProviderError,
    RateLimited,
    Refused,
    Unavailable,
    UnsupportedModel,
)
from lookalike.retry import retry_after_s
from lookalike.weights.digests import is_sha1, is_sha256
from lookalike.weights.local import WEIGHTS_FILE, HubModel, HubSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file to fetch.

    Attributes:
        name: Path within the repository.
        digest: What it must have: sha256 (64 hex digits), git's sha1 (40), or "" if not known beforehand.
        n_bytes: Its size; None if not known beforehand.
        optional: True if the repository may lack it.
    """

    name: str
    digest: str
    n_bytes: int | None
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is to be fetched of a repository: at which commit, and which files, in this order."""

    commit: str
    files: tuple[RemoteFile, ...]


def pinned_listing(repository: HubModel) -> Listing:
    """The listing of a model of the table: nobody has to be asked."""
    return Listing(
        commit=repository.revision,
        files=_weights_last(
            RemoteFile(name=file.name, digest=file.sha256 or "", n_bytes=file.n_bytes, optional=file.optional)
            for file in repository.files
        ),
    )


def listing_of(answer: object, repository: HubModel, *, host: str) -> Listing:
    """Read the answer of /api/models/{name}/revision/{revision}?blobs=true.

    Args:
        answer: The parsed JSON.
        repository: What was asked for.
        host: Who answered.

    Raises:
        Refused: The answer is not one of a hub.
        UnsupportedModel: The repository lacks a file that lookalike needs.
    """
    commit = answer.get("sha") if isinstance(answer, dict) else None
    siblings = answer.get("siblings") if isinstance(answer, dict) else None
    if not isinstance(commit, str) or not is_sha1(commit) or not isinstance(siblings, list):
        raise Refused(
            f"{host} does not answer like a Hugging Face hub (no commit and file list for {repository.name}): "
            "check HF_ENDPOINT.",
            provider=host,
        )
    entries = [entry for entry in siblings if isinstance(entry, dict)]
    offered = {name: entry for entry in entries if isinstance(name := entry.get("rfilename"), str)}
    absent = [file.name for file in repository.files if not file.optional and file.name not in offered]
    if absent:
        raise UnsupportedModel(_lacking(repository, absent), model=repository.name, file=absent[0])
    wanted = (file for file in repository.files if file.name in offered)
    return Listing(
        commit=commit,
        files=_weights_last(_remote_file(file.name, offered[file.name], file.optional) for file in wanted),
    )


def stated_digest(headers: Iterable[Mapping[str, str]]) -> str:
    """The digest that a chain of answers (redirects first) gives for the file; "" if it gives none."""
    for answer in headers:
        # Behind a redirect, the ETag is the storage's own and says nothing about the content.
        tag = (answer.get("x-linked-etag") or answer.get("etag") or "").removeprefix("W/").strip('"').lower()
        if is_sha256(tag) or is_sha1(tag):
            return tag
    return ""


def content_range(header: str | None) -> tuple[int, int | None] | None:
    """(first byte, total bytes or None) of a Content-Range header; None if it is not of that form."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header or "", re.ASCII)
    if match is None:
        return None
    return int(match[1]), None if match[2] == "*" else int(match[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked of whom.

    Attributes:
        repository: The model.
        file: The file; empty for the listing.
        host: Whose answer it is.
        with_token: True if a token was sent.
        now_s: Seconds since the epoch.
    """

    repository: HubModel
    file: str
    host: str
    with_token: bool
    now_s: float


def refusal(status: int, headers: Mapping[str, str], asked: Asked) -> LookalikeError:
    """The error that an answer stands for which is neither a success nor a redirect."""
    if status == 429 or (status == 503 and "retry-after" in headers):
        pause_s = retry_after_s(headers.get("retry-after"), asked.now_s)
        wish = f"{pause_s:.0f} s" if pause_s is not None else "a while"
        more = "" if asked.with_token else " With HF_TOKEN set, the hub allows more."
        return RateLimited(
            f"{asked.host} asks to be left alone for {wish} (HTTP {status}): run the same command again after that, "
            f"it goes on where it stopped.{more}",
            provider=asked.host,
            status=status,
            retry_after_s=pause_s,
        )
    if status >= 500 or status == 408:
        return Unavailable(
            f"{asked.host} failed (HTTP {status}). Run the same command again later: it goes on where it stopped.",
            provider=asked.host,
            status=status,
        )
    return _lasting_refusal(status, headers.get("x-error-code", ""), asked)


def absence(repository: HubModel, settings: HubSettings) -> str:
    """What to do about a model that is not here when nothing may be fetched."""
    spelling = repository.name if repository.is_pinned else f"{repository.name}@{repository.revision}"
    return (
        f"{spelling} is not on this machine, and downloads are switched off (HF_HUB_OFFLINE). On a machine with a "
        f"connection run `lookalike models pull {spelling}` and copy {repository.folder(settings).name} from its hub "
        f"cache into {settings.hub_cache}; or give the path of a folder with config.json, tokenizer.json and "
        "model.safetensors in place of the name."
    )


def pause_note(error: LookalikeError, pause_s: float, *, host: str) -> str:
    """What to tell somebody who watches a download that pauses before its next try."""
    if isinstance(error, RateLimited):
        reason = "asks for a pause"
    elif isinstance(error, ProviderError) and error.status is not None:
        reason = f"failed (HTTP {error.status})"
    else:
        reason = "cannot be reached, or the connection broke"
    return f"{host} {reason}: trying again in {pause_s:.0f} s."


def _lasting_refusal(status: int, code: str, asked: Asked) -> LookalikeError:
    name, revision = asked.repository.name, asked.repository.revision
    token = "the HF_TOKEN that was sent may not read it" if asked.with_token else "set HF_TOKEN to read it"
    if code == "GatedRepo" or (status == 403 and not code):
        message = f"{name} is gated: accept its conditions on its page at {asked.host}; then {token}."
        return Refused(message, provider=asked.host, status=status)
    if status == 404 and code == "RevisionNotFound":
        message = f"{name} has no revision {revision!r}: see its branches and commits at {asked.host}."
        return ModelNotFound(message, model=name)
    if status == 404 and asked.file:
        message = f"{asked.host} has no {asked.file} for {name} at {revision}."
        return ModelNotFound(message, model=name, file=asked.file)
    # To those who may not see it, the hub says 401 for a private repository and for none at all.
    if status in (401, 404):
        message = f"{asked.host} knows no model {name}: check the spelling (owner/name). If it is private, {token}."
        return ModelNotFound(message, model=name)
    return Refused(f"{asked.host} refuses {name} (HTTP {status}).", provider=asked.host, status=status)


def _remote_file(name: str, entry: Mapping[str, object], optional: bool) -> RemoteFile:
    lfs = entry.get("lfs")
    stated = lfs.get("sha256") if isinstance(lfs, dict) else entry.get("blobId")
    size = entry.get("size")
    digest = stated.lower() if isinstance(stated, str) else ""
    return RemoteFile(
        name=name,
        digest=digest if is_sha256(digest) or is_sha1(digest) else "",
        n_bytes=size if isinstance(size, int) and size >= 0 else None,
        optional=optional,
    )


def _weights_last(files: Iterable[RemoteFile]) -> tuple[RemoteFile, ...]:
    # A model counts as present once its required files are: were the weights not the last, a run that is cut short
    # could leave a model behind that lacks an optional file, such as its pooling.
    return tuple(sorted(files, key=lambda file: file.name == WEIGHTS_FILE))


def _lacking(repository: HubModel, absent: list[str]) -> str:
    reason = f"{repository.name} has no {' and no '.join(absent)} at {repository.revision}, which lookalike needs."
    if WEIGHTS_FILE not in absent:
        return reason
    return (
        f"{reason} A conversion to safetensors often waits as a pull request: look there, and name it as "
        f"{repository.name}@refs/pr/NUMBER."
    )
