"""Model files on this machine: which folder holds a model, and whether its files are the right ones. No network.

A model is named in one of three ways: a name or alias of the table in `spaces`, the path of a folder, or a repository
of the hub ("owner/name" or "owner/name@revision"). Hub repositories are read from the Hugging Face hub cache, so what
transformers has downloaded is found:

    models--owner--name/blobs/<digest>
    models--owner--name/refs/<branch>                  the commit that the branch was at
    models--owner--name/snapshots/<commit>/<file>  ->  ../../blobs/<digest>
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lookalike.errors import CorruptModel, ModelError, ModelNotFound, UnsupportedModel
from lookalike.known import KNOWN_MODELS, PinnedFile, known_model
from lookalike.weights.digests import DigestCache, digest_like, is_sha1, is_sha256

WEIGHTS_FILE = "model.safetensors"

_OTHER_WEIGHTS = ("pytorch_model.bin", "model.safetensors.index.json", "open_clip_pytorch_model.bin")

BUILT_IN = Path(__file__).resolve().parents[1] / "models"
"""Where the package keeps the models that it carries."""

_REINSTALL = "Install lookalike again"

# What a repository outside the table may hold that lookalike reads; the weights come last (see `hub.fetch`).
UNKNOWN_MODEL_FILES = (
    PinnedFile("config.json"),
    PinnedFile("tokenizer.json"),
    *(
        PinnedFile(name, optional=True)
        for name in (
            "preprocessor_config.json",
            "processor_config.json",
            "modules.json",
            "config_sentence_transformers.json",
            "sentence_bert_config.json",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "vocab.json",
            "vocab.txt",
        )
    ),
    PinnedFile(WEIGHTS_FILE),
)

_HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([A-Za-z0-9][\w./-]*))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """Where models are kept and where they come from.

    Attributes:
        endpoint: The hub, or a mirror of it.
        hub_cache: Folder with the Hugging Face hub cache.
        digest_cache: JSON file that remembers the digests of unchanged files.
        offline: If True, nothing is ever fetched.
        token: Access token for private and gated repositories; never shown.
        timeout_s: A connection that is silent for so many seconds has failed.
    """

    endpoint: str = "https://huggingface.co"
    hub_cache: Path
    digest_cache: Path
    offline: bool = False
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A folder that holds a usable model.

    Attributes:
        name: The model's name; the folder's own name for a local folder.
        path: Where config.json, model.safetensors and the rest are.
        revision: Commit of the hub repository; empty for local folders and the built-in model.
        weights_sha256: sha256 (hex) of model.safetensors.
    """

    name: str
    path: Path
    revision: str
    weights_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """A repository on the hub at one revision.

    Attributes:
        name: "owner/name".
        revision: A commit, branch or tag.
        files: What lookalike needs of it.
        is_pinned: True if the revision is the commit of the table and `files` carry its digests.
    """

    name: str
    revision: str
    files: tuple[PinnedFile, ...]
    is_pinned: bool

    def folder(self, settings: HubSettings) -> Path:
        """Its folder in the hub cache."""
        return settings.hub_cache / f"models--{self.name.replace('/', '--')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What `verify` found out about one file.

    Attributes:
        name: Path within the folder.
        status: "ok", "wrong digest", "missing", or "unpinned": readable, but there is no digest to hold it against.
        expected: The digest (hex) that it should have: sha256, or git's sha1 for small files of unpinned
            repositories; empty if none is known.
        actual: The digest of the same kind that it has; empty if it is missing.
    """

    name: str
    status: Literal["ok", "wrong digest", "missing", "unpinned"]
    expected: str
    actual: str


def hub_model(model: str) -> HubModel:
    """The repository that a name stands for.

    Raises:
        ModelNotFound: It is neither in the table nor of the form "owner/name[@revision]".
    """
    base, _, revision = model.partition("@")
    known = known_model(base)
    if known is not None and known.revision and revision in ("", known.revision):
        return HubModel(name=known.name, revision=known.revision, files=known.files, is_pinned=True)
    match = _HUB_NAME.fullmatch(f"{known.name}@{revision}" if known is not None else model)
    if match is None or ".." in model:
        raise ModelNotFound(_no_such_name(model), model=model)
    return HubModel(name=match[1], revision=match[2] or "main", files=UNKNOWN_MODEL_FILES, is_pinned=False)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise ModelError(
            f"{error.filename} may not be read by this user: change its permissions, or set HF_HUB_CACHE to a folder "
            "of your own."
        ) from error


@_readable()
def locate(model: str, settings: HubSettings) -> ModelFolder | None:
    """Like `find`, but reads no file's content: `weights_sha256` is empty and damage goes unnoticed."""
    known = known_model(model)
    if known is not None and not known.revision:
        return _local_folder(BUILT_IN / known.name, name=known.name, model=model)
    # A name of the table means the pinned files, whatever folders happen to be around.
    path = Path(model)
    if known is None and model and _is_folder(path):
        return _local_folder(path, name=path.resolve().name, model=model)
    repository = hub_model(model)
    commit = commit_of(repository, settings)
    snapshot = repository.folder(settings) / "snapshots" / commit
    if not commit or unusable_files(snapshot, repository.files):
        return None
    return ModelFolder(name=repository.name, path=snapshot, revision=commit, weights_sha256="")


@_readable()
def find(model: str, settings: HubSettings) -> ModelFolder | None:
    """The folder of a model that is on this machine, without any network.

    Args:
        model: A name or alias of the table, the path of a folder, or "owner/name[@revision]".
        settings: Where to look.

    Returns:
        The folder, or None if the name is one that could be fetched but is not here, or not whole.

    Raises:
        ModelNotFound: The name can stand for no model, or the folder holds none.
        UnsupportedModel: The folder's weights are of a kind that is not read.
        CorruptModel: A file is not the pinned one.
        ModelError: The folder may not be read.
    """
    folder = locate(model, settings)
    if folder is None:
        return None
    digests = DigestCache(settings.digest_cache)
    for file in _pins(folder):
        path = folder.path / file.name
        if file.sha256 is not None and path.is_file():
            _require_digest(file, digests.sha256_of(path), folder)
    weights_sha256 = digests.sha256_of(folder.path / WEIGHTS_FILE)
    return ModelFolder(name=folder.name, path=folder.path, revision=folder.revision, weights_sha256=weights_sha256)


def verify(folder: ModelFolder) -> tuple[FileCheck, ...]:
    """Hash every file of a model again, trusting nothing that was remembered.

    A file is held against its pinned digest, or else against the name of its blob in the hub cache, which is the
    digest that the hub gave when it was fetched.
    """
    pins = {file.name: file for file in _pins(folder)}
    present = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()}
    required = {name for name, file in pins.items() if not file.optional} or {WEIGHTS_FILE, "config.json"}
    return tuple(
        _check(folder.path / name, name, pins.get(name, PinnedFile(name))) for name in sorted(present | required)
    )


def unusable_files(snapshot: Path, files: tuple[PinnedFile, ...]) -> tuple[str, ...]:
    """The names of required files that are missing from a snapshot, or not of the pinned size."""
    return tuple(file.name for file in files if not file.optional and not _is_whole(snapshot / file.name, file))


def commit_of(repository: HubModel, settings: HubSettings) -> str:
    """The commit that a revision stands for in the hub cache; empty if the cache does not know."""
    folder = repository.folder(settings)
    reference = folder / "refs" / repository.revision
    if reference.is_file():
        commit = reference.read_text(encoding="ascii", errors="replace").strip()
        return commit if is_sha1(commit) else ""
    return repository.revision if (folder / "snapshots" / repository.revision).is_dir() else ""


def _require_digest(file: PinnedFile, actual: str, folder: ModelFolder) -> None:
    if actual == file.sha256:
        return
    remedy = f"Run `lookalike models pull {folder.name}` to fetch it again" if folder.revision else _REINSTALL
    raise CorruptModel(
        f"{folder.path / file.name} is not the file that {folder.name} was published with: sha256 {actual}, expected "
        f"{file.sha256}. {remedy}.",
        model=folder.name,
        file=file.name,
    )


def _pins(folder: ModelFolder) -> tuple[PinnedFile, ...]:
    known = known_model(folder.name)
    # Any folder may be called "tiny": without a revision, only the package's own is what the table means.
    is_known = known is not None and folder.revision == known.revision
    is_published = bool(folder.revision) or folder.path.parent == BUILT_IN
    return known.files if known is not None and is_known and is_published else ()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # too long for a path, or in a folder that may not be entered
        return False


def _local_folder(path: Path, *, name: str, model: str) -> ModelFolder:
    absent = [wanted for wanted in ("config.json", WEIGHTS_FILE) if not (path / wanted).is_file()]
    if not absent:
        return ModelFolder(name=name, path=path, revision="", weights_sha256="")
    if WEIGHTS_FILE in absent and any((path / other).exists() for other in _OTHER_WEIGHTS):
        raise UnsupportedModel(
            f"{path} has its weights in another form than {WEIGHTS_FILE}: save them as one safetensors file "
            "(transformers: model.save_pretrained(folder, max_shard_size='100GB')).",
            model=model,
            file=WEIGHTS_FILE,
        )
    if path.parent == BUILT_IN:
        reason = f"The built-in model {name} is missing from this installation ({path}). {_REINSTALL}."
    else:
        reason = f"{path} is not a model's folder: it has no {' and no '.join(absent)}."
    raise ModelNotFound(reason, model=model, file=absent[0])


def _is_whole(path: Path, file: PinnedFile) -> bool:
    return path.is_file() and (file.n_bytes is None or path.stat().st_size == file.n_bytes)


def _check(path: Path, name: str, file: PinnedFile) -> FileCheck:
    expected = file.sha256 or _digest_in_blob_name(path)
    if not path.is_file():
        return FileCheck(name=name, status="missing", expected=expected, actual="")
    actual = digest_like(expected, path)
    if not expected:
        return FileCheck(name=name, status="unpinned", expected="", actual=actual)
    return FileCheck(name=name, status="ok" if actual == expected else "wrong digest", expected=expected, actual=actual)


def _digest_in_blob_name(path: Path) -> str:
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" and (is_sha256(blob.name) or is_sha1(blob.name)) else ""


def _no_such_name(model: str) -> str:
    names = [spelling for known in KNOWN_MODELS for spelling in (known.name, *known.aliases)]
    import difflib  # only a typo needs it

    near = difflib.get_close_matches(model.lower(), names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return (
        f"There is no model {model!r}: it is no name of `lookalike models list`, no folder on this machine, and not of "
        f"the form owner/name or owner/name@revision.{hint}"
    )
