"""Names, folders and digests of models: no network, no server."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from lookalike import known as known_models
from lookalike.errors import CorruptModel, ModelNotFound, UnsupportedModel
from lookalike.known import KnownModel, PinnedFile
from lookalike.weights import digests
from lookalike.weights import local as weights
from lookalike.weights.digests import DigestCache, digest_like, sha256_of
from lookalike.weights.local import UNKNOWN_MODEL_FILES, HubSettings, find, hub_model, locate, verify

WEIGHTS = b"weights" * 100
COMMIT = "a" * 40


@pytest.fixture
def settings(tmp_path: Path) -> HubSettings:
    """An empty hub cache."""
    return HubSettings(hub_cache=tmp_path / "hub", digest_cache=tmp_path / "cache" / "digests.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A local model's folder."""
    return write(tmp_path / "mine", {"config.json": b"{}", "model.safetensors": WEIGHTS})


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder with these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def cached(settings: HubSettings, name: str, files: dict[str, bytes], *, ref: str = "main") -> Path:
    """A snapshot in the hub cache, laid out as transformers does on a disk without links."""
    repository = settings.hub_cache / f"models--{name.replace('/', '--')}"
    write(repository / "refs", {ref: COMMIT.encode()})
    return write(repository / "snapshots" / COMMIT, files)


def sha256(content: bytes) -> str:
    """Its hex digest."""
    return hashlib.sha256(content).hexdigest()


def known(monkeypatch: pytest.MonkeyPatch, *files: PinnedFile) -> None:
    """Make "acme/known" the one model of the table."""
    model = KnownModel(
        name="acme/known",
        revision=COMMIT,
        files=files,
        aliases=("k",),
        dim=8,
        modalities=("text",),
        licence="MIT",
        note="",
    )
    monkeypatch.setattr(known_models, "KNOWN_MODELS", (model,))


class TestNames:
    @pytest.mark.parametrize("name", ["clip", "CLIP", "vit-b/32", "openai/clip-vit-base-patch32"])
    def test_a_known_name_is_pinned(self, name: str) -> None:
        """Names and aliases of the table, case aside, stand for the pinned commit and digests."""
        model = hub_model(name)
        assert model.name == "openai/clip-vit-base-patch32"
        assert model.is_pinned and len(model.revision) == 40
        assert all(file.sha256 for file in model.files)

    def test_the_pinned_revision_may_be_spelled_out(self) -> None:
        """Naming the pinned commit changes nothing; naming another one leaves the pins behind."""
        pinned = hub_model("clip")
        assert hub_model(f"openai/clip-vit-base-patch32@{pinned.revision}") == pinned
        other = hub_model("clip@refs/pr/15")
        assert (other.name, other.revision) == (pinned.name, "refs/pr/15")
        assert not other.is_pinned and other.files == UNKNOWN_MODEL_FILES

    def test_a_repository_defaults_to_main(self) -> None:
        """owner/name means what its main branch holds."""
        assert hub_model("acme/clip").revision == "main"

    @pytest.mark.parametrize(
        "name", ["", "nonsense", "a/b/c", "../etc", "a/..", "a/b@../../x", "a/b@", "a b/c", "-x/y", "/a/b", "a/b\n"]
    )
    def test_what_cannot_be_a_name_is_refused(self, name: str, settings: HubSettings) -> None:
        """No name leads out of the hub cache, and a wrong one is told at once."""
        with pytest.raises(ModelNotFound, match="There is no model"):
            find(name, settings)

    def test_a_typo_gets_a_suggestion(self, settings: HubSettings) -> None:
        """The nearest known name is offered."""
        with pytest.raises(ModelNotFound, match="Did you mean clip-vit-b-32"):
            find("clip-vit-b32", settings)

    def test_an_overlong_name_is_a_wrong_name(self, settings: HubSettings) -> None:
        """The file system's limit on names is no traceback."""
        with pytest.raises(ModelNotFound):
            find("x" * 5000, settings)

    def test_the_token_is_not_shown(self, tmp_path: Path) -> None:
        """Settings can be printed and logged."""
        settings = HubSettings(hub_cache=tmp_path, digest_cache=tmp_path, token="hf_secret")
        assert "secret" not in repr(settings)


class TestFolders:
    def test_a_folder_is_itself(self, folder: Path, settings: HubSettings) -> None:
        """A path needs no hub; its name is the folder's, its identity the digest of its weights."""
        found = find(str(folder), settings)
        assert found is not None
        assert (found.name, found.path, found.revision) == ("mine", folder, "")
        assert found.weights_sha256 == sha256(WEIGHTS)

    def test_a_folder_of_the_form_owner_name_wins_over_the_hub(
        self, folder: Path, settings: HubSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in transformers, what lies here under the very name is what is meant."""
        monkeypatch.chdir(folder.parents[1])
        found = find(f"{folder.parent.name}/mine", settings)
        assert found is not None and found.path.resolve() == folder

    def test_a_known_name_is_never_a_folder(
        self, folder: Path, settings: HubSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder that happens to be called "clip" does not replace the pinned model."""
        monkeypatch.chdir(folder.rename(folder.with_name("clip")).parent)
        assert find("clip", settings) is None

    def test_pins_of_the_built_in_model_bind_the_package_only(
        self, folder: Path, settings: HubSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The package's own files are held against the table; a folder of the user's may share the name."""
        pins = (PinnedFile("model.safetensors", sha256(b"published")),)
        model = KnownModel(
            name="mine", revision="", files=pins, aliases=(), dim=8, modalities=("text",), licence="MIT", note=""
        )
        monkeypatch.setattr(known_models, "KNOWN_MODELS", (model,))
        assert find(str(folder), settings) is not None
        monkeypatch.setattr(weights, "BUILT_IN", folder.parent)
        with pytest.raises(CorruptModel, match="Install lookalike again"):
            find("mine", settings)

    def test_a_folder_without_a_model_names_what_it_lacks(self, tmp_path: Path, settings: HubSettings) -> None:
        """The files that are missing are in the message."""
        with pytest.raises(ModelNotFound, match=r"no config\.json and no model\.safetensors"):
            find(str(tmp_path), settings)

    def test_a_pickle_is_told_from_nothing(self, tmp_path: Path, settings: HubSettings) -> None:
        """Weights that are there in a form that is not read get the way to convert them."""
        write(tmp_path, {"config.json": b"{}", "pytorch_model.bin": b""})
        with pytest.raises(UnsupportedModel, match="save_pretrained"):
            find(str(tmp_path), settings)


class TestHubCache:
    FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": WEIGHTS}  # noqa: RUF012  # constant

    def test_a_snapshot_is_found_by_branch_and_by_commit(self, settings: HubSettings) -> None:
        """refs translate a branch; a commit needs none."""
        snapshot = cached(settings, "acme/clip", self.FILES)
        for name in ("acme/clip", "acme/clip@main", f"acme/clip@{COMMIT}"):
            found = find(name, settings)
            assert found is not None and (found.path, found.revision) == (snapshot, COMMIT)
        assert find("acme/clip@v2", settings) is None
        assert find("acme/other", settings) is None

    @pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
    def test_a_snapshot_with_a_hole_is_absent(self, settings: HubSettings, missing: str) -> None:
        """A download that was cut short is not used."""
        snapshot = cached(settings, "acme/clip", self.FILES)
        (snapshot / missing).unlink()
        assert find("acme/clip", settings) is None

    def test_a_link_into_the_void_is_a_hole(self, settings: HubSettings) -> None:
        """A pruned blob does not pass for a file."""
        snapshot = cached(settings, "acme/clip", self.FILES)
        (snapshot / "model.safetensors").unlink()
        (snapshot / "model.safetensors").symlink_to("../../blobs/gone")
        assert find("acme/clip", settings) is None

    def test_a_nonsense_ref_leads_nowhere(self, settings: HubSettings) -> None:
        """A damaged ref cannot point out of the snapshots."""
        cached(settings, "acme/clip", self.FILES)
        (settings.hub_cache / "models--acme--clip/refs/main").write_text("../../..")
        assert find("acme/clip", settings) is None

    def test_a_file_of_the_wrong_size_is_a_hole(self, settings: HubSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the size is pinned, a truncated file is noticed without hashing."""
        known(monkeypatch, PinnedFile("config.json"), PinnedFile("model.safetensors", sha256(WEIGHTS), len(WEIGHTS)))
        snapshot = cached(settings, "acme/known", self.FILES)
        assert find("k", settings) is not None
        (snapshot / "model.safetensors").write_bytes(WEIGHTS[:-1])
        assert find("k", settings) is None

    @pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
    def test_a_file_other_than_the_pinned_one_is_an_error(
        self, settings: HubSettings, monkeypatch: pytest.MonkeyPatch, file: str
    ) -> None:
        """A wrong tokenizer would give wrong vectors as surely as wrong weights: all pins are checked."""
        known(monkeypatch, *(PinnedFile(name, sha256(content)) for name, content in self.FILES.items()))
        snapshot = cached(settings, "acme/known", self.FILES)
        (snapshot / file).write_bytes(b"another")
        with pytest.raises(CorruptModel, match=sha256(b"another")) as caught:
            find("k", settings)
        assert caught.value.file == file
        assert sha256(self.FILES[file]) in str(caught.value)

    def test_locate_reads_no_content(self, settings: HubSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        """Asking whether a model is here costs no hashing."""
        cached(settings, "acme/clip", self.FILES)
        monkeypatch.setattr(Path, "open", None)
        found = locate(f"acme/clip@{COMMIT}", settings)
        assert found is not None and found.weights_sha256 == ""


class TestVerify:
    def test_every_kind_of_verdict(self, settings: HubSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        """Right, wrong, missing, and nothing to hold it against."""
        known(
            monkeypatch,
            PinnedFile("model.safetensors", sha256(WEIGHTS)),
            PinnedFile("config.json", sha256(b"{}")),
            PinnedFile("tokenizer.json"),
            PinnedFile("vocab.txt", optional=True),
        )
        files = {"config.json": b"{ }", "tokenizer.json": b"{}", "model.safetensors": WEIGHTS, "README.md": b"hello"}
        snapshot = cached(settings, "acme/known", files)
        folder = locate("k", settings)
        assert folder is not None
        (snapshot / "tokenizer.json").unlink()
        checks = {check.name: check for check in verify(folder)}
        assert {name: check.status for name, check in checks.items()} == {
            "README.md": "unpinned",
            "config.json": "wrong digest",
            "model.safetensors": "ok",
            "tokenizer.json": "missing",
        }
        assert (checks["config.json"].expected, checks["config.json"].actual) == (sha256(b"{}"), sha256(b"{ }"))

    def test_a_blob_is_held_against_its_name(self, settings: HubSettings) -> None:
        """The hub's own digests, sha256 or git's sha1, are the record of what was fetched."""
        snapshot = cached(settings, "acme/clip", {})
        git = hashlib.sha1(b"blob 1\0x", usedforsecurity=False).hexdigest()
        blobs = write(snapshot.parents[1] / "blobs", {git: b"x", sha256(b"y"): b"y", sha256(b"z"): b"!"})
        for name, blob in (("config.json", git), ("model.safetensors", sha256(b"y")), ("tokenizer.json", sha256(b"z"))):
            snapshot.mkdir(parents=True, exist_ok=True)
            (snapshot / name).symlink_to(os.path.relpath(blobs / blob, snapshot))
        folder = locate("acme/clip", settings)
        assert folder is not None
        assert [check.status for check in verify(folder)] == ["ok", "ok", "wrong digest"]

    def test_what_is_remembered_is_not_trusted(
        self, folder: Path, settings: HubSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A change that hides behind an old size and date is found."""
        known(monkeypatch, PinnedFile("model.safetensors", sha256(WEIGHTS)), PinnedFile("config.json"))
        snapshot = cached(settings, "acme/known", {"config.json": b"{}", "model.safetensors": WEIGHTS})
        found = find("k", settings)
        assert found is not None
        weights = snapshot / "model.safetensors"
        stat = weights.stat()
        weights.write_bytes(WEIGHTS[::-1])
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert find("k", settings) == found
        assert {check.name: check.status for check in verify(found)}["model.safetensors"] == "wrong digest"


class TestDigestCache:
    @pytest.fixture
    def cache(self, tmp_path: Path) -> DigestCache:
        """An empty one, in a folder that does not exist yet."""
        return DigestCache(tmp_path / "deep" / "digests.json")

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """A file to hash."""
        path = tmp_path / "file"
        path.write_bytes(b"content")
        return path

    def test_an_unchanged_file_is_not_read_again(
        self, cache: DigestCache, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second look costs a stat, also through a link."""
        assert cache.sha256_of(file) == sha256(b"content")
        link = file.with_name("link")
        link.symlink_to(file)
        monkeypatch.setattr(digests, "sha256_of", None)
        assert cache.sha256_of(link) == sha256(b"content")

    @pytest.mark.parametrize("change", ["size", "date", "inode"])
    def test_any_sign_of_change_makes_it_read_again(self, cache: DigestCache, file: Path, change: str) -> None:
        """Size, modification time and inode must all be what they were."""
        cache.sha256_of(file)
        stat = file.stat()
        new = b"CONTENT!" if change == "size" else b"CONTENT"
        if change == "inode":
            other = file.with_name("other")
            other.write_bytes(new)
            other.replace(file)
        else:
            file.write_bytes(new)
        nudge_ns = 1 if change == "date" else 0
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + nudge_ns))
        assert cache.sha256_of(file) == sha256(new)

    @pytest.mark.parametrize("damage", ["", "not json", "[1]", '{"KEY": 5}', '{"KEY": [1, 2, 3, 4]}', "\ud800"])
    def test_a_damaged_cache_is_started_anew(self, cache: DigestCache, file: Path, damage: str) -> None:
        """Whatever is in the file, the digest is right and the cache works again."""
        cache.path.parent.mkdir()
        text = damage.replace("KEY", str(file))
        cache.path.write_bytes(text.encode("utf-8", "surrogatepass"))
        assert cache.sha256_of(file) == sha256(b"content")
        assert json.loads(cache.path.read_text())[str(file)][-1] == sha256(b"content")

    def test_files_that_are_gone_are_forgotten(self, cache: DigestCache, file: Path) -> None:
        """The cache does not grow for ever."""
        gone = file.with_name("gone")
        gone.write_bytes(b"")
        cache.sha256_of(gone)
        gone.unlink()
        cache.sha256_of(file)
        assert list(json.loads(cache.path.read_text())) == [str(file)]
        assert list(cache.path.parent.iterdir()) == [cache.path]

    def test_a_cache_that_cannot_be_written_costs_time_only(self, file: Path) -> None:
        """A file stands where the cache's folder should be."""
        assert DigestCache(file / "digests.json").sha256_of(file) == sha256(b"content")

    def test_sha1_is_known_in_both_spellings(self, file: Path) -> None:
        """git's sha1 covers a header; repository managers send the plain one; another is answered with git's."""
        git = hashlib.sha1(b"blob 7\0content", usedforsecurity=False).hexdigest()
        plain = hashlib.sha1(b"content", usedforsecurity=False).hexdigest()
        assert digest_like(git, file) == git
        assert digest_like(plain, file) == plain
        assert digest_like("0" * 40, file) == git
        assert digest_like("", file) == digest_like("0" * 64, file) == sha256_of(file)


def test_the_documentation_has_every_pin() -> None:
    """docs/models.md names each known model with its aliases, commit, digests and sizes."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    for model in known_models.KNOWN_MODELS:
        facts = [f"| `{model.name}` |", f"| {model.dim} |", model.licence, model.revision, *model.aliases]
        facts += [str(fact) for file in model.files for fact in (file.name, file.sha256, file.n_bytes) if fact]
        assert [fact for fact in facts if fact not in text] == []
