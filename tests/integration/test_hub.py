"""The download against a hub on loopback that misbehaves: real sockets, real files, real processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from lookalike.encoders.hub import Progress, fetch
from lookalike.encoders.retry import RetryPolicy
from lookalike.encoders.weights import HubSettings, find, verify
from lookalike.errors import (
    CorruptModel,
    RateLimited,
    Unavailable,
)
from tests.integration.hub_server import COMMIT, Fault, Hub

WEIGHTS = bytes(range(256)) * 1200  # 307 KB: several chunks, and over the hub's limit for LFS
FILES = {
    "config.json": b'{"model_type": "clip"}',
    "preprocessor_config.json": b"{}",
    "tokenizer.json": b'{"version": "1.0"}',
    "model.safetensors": WEIGHTS,
    "README.md": b"not for us",
}
NAME = "acme/clip"


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one model."""
    with Hub({NAME: FILES}) as hub:
        yield hub


@pytest.fixture
def settings(hub: Hub, tmp_path: Path) -> HubSettings:
    """Settings that point to it, with an empty cache."""
    return HubSettings(
        endpoint=hub.endpoint, hub_cache=tmp_path / "hub", digest_cache=tmp_path / "digests.json", timeout_s=5
    )


class Pauses(list[float]):
    """Records pauses instead of sleeping."""

    def policy(self, tries: int = 6) -> RetryPolicy:
        return RetryPolicy(tries=tries, sleep=self.append, wall_clock=lambda: 1_000_000.0, jitter=lambda: 0.5)


def partials(settings: HubSettings) -> list[Path]:
    """Unfinished files in the cache."""
    return list(settings.hub_cache.rglob("*.incomplete"))


def test_a_model_is_fetched_whole_into_the_hub_layout(hub: Hub, settings: HubSettings) -> None:
    """A fetched model is a snapshot of links to blobs named by digest, with a ref, and nothing that was not needed."""
    folder = fetch(NAME, settings)
    assert folder.path == settings.hub_cache / "models--acme--clip" / "snapshots" / COMMIT
    assert folder.revision == COMMIT
    assert folder.weights_sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert {path.name for path in folder.path.iterdir()} == set(FILES) - {"README.md"}
    weights = folder.path / "model.safetensors"
    assert weights.is_symlink() and not weights.readlink().is_absolute()
    assert weights.resolve().name == folder.weights_sha256
    assert (settings.hub_cache / "models--acme--clip/refs/main").read_text() == COMMIT
    assert all(check.status == "ok" for check in verify(folder))
    assert not partials(settings)


def test_a_second_fetch_asks_nobody(hub: Hub, settings: HubSettings) -> None:
    """What is here is not asked for again, not even for its revision."""
    first = fetch(NAME, settings)
    hub.seen.clear()
    assert fetch(NAME, settings) == first
    assert find(f"{NAME}@{COMMIT}", settings) == first
    assert hub.seen == []


def test_huggingface_hub_finds_what_was_fetched(hub: Hub, settings: HubSettings) -> None:
    """The reference implementation of the cache reads ours."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    folder = fetch(NAME, settings)
    found = huggingface_hub.try_to_load_from_cache(NAME, "model.safetensors", cache_dir=settings.hub_cache)
    assert Path(found) == folder.path / "model.safetensors"
    scanned = huggingface_hub.scan_cache_dir(settings.hub_cache)
    assert not scanned.warnings
    assert {repo.repo_id for repo in scanned.repos} == {NAME}


def test_what_huggingface_hub_fetched_is_found(
    hub: Hub, settings: HubSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that the reference implementation downloaded needs no second download."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    for name in FILES:
        huggingface_hub.hf_hub_download(NAME, name, cache_dir=settings.hub_cache, endpoint=hub.endpoint)
    hub.seen.clear()
    folder = fetch(NAME, settings)
    assert folder.weights_sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert hub.seen == []


def test_progress_tells_bytes_and_totals(hub: Hub, settings: HubSettings) -> None:
    """Progress rises to the file's size, and the weights come last, so that a cut run never looks complete."""
    seen: list[Progress] = []
    fetch(NAME, settings, seen.append)
    weights = [step for step in seen if step.file == "model.safetensors"]
    done = [step.done_bytes for step in weights]
    assert done == sorted(done) and done[-1] == len(WEIGHTS)
    assert {step.total_bytes for step in weights} == {len(WEIGHTS)}
    assert seen[-1].file == "model.safetensors"


@pytest.mark.parametrize("kind", ["truncate", "stall"])
def test_a_broken_transfer_goes_on_where_it_stopped(hub: Hub, settings: HubSettings, kind: str) -> None:
    """After a cut or a silence, only the rest is asked for."""
    hub.faults["model.safetensors"] = [Fault(kind=kind, at=100_000)]
    folder = fetch(NAME, replace(settings, timeout_s=0.2), policy=Pauses().policy())
    assert (folder.path / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [seen.headers.get("range") for seen in hub.requests_for("model.safetensors")]
    assert ranges[0] is None
    assert ranges[1] is not None and 0 < int(ranges[1].removeprefix("bytes=").rstrip("-")) <= 100_000


def test_a_server_that_ignores_range_starts_over(hub: Hub, settings: HubSettings) -> None:
    """A 200 where 206 was asked for replaces what was there instead of being appended."""
    hub.faults["model.safetensors"] = [Fault(kind="truncate", at=100_000), Fault(kind="whole")]
    folder = fetch(NAME, settings, policy=Pauses().policy())
    assert (folder.path / "model.safetensors").read_bytes() == WEIGHTS
    assert len(hub.requests_for("model.safetensors")) == 2


def test_damage_on_the_way_is_repaired_once(hub: Hub, settings: HubSettings) -> None:
    """A wrong digest throws the bytes away and fetches the whole file again."""
    hub.faults["model.safetensors"] = [Fault(kind="corrupt", at=5)]
    folder = fetch(NAME, settings)
    assert (folder.path / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_lasting_damage_is_an_error_that_names_both_digests(hub: Hub, settings: HubSettings, file: str) -> None:
    """The second wrong digest ends it: nothing is kept, and the message says what was expected and what came."""
    hub.faults[file] = [Fault(kind="corrupt", at=5)] * 2
    with pytest.raises(CorruptModel, match="arrived damaged twice") as caught:
        fetch(NAME, settings)
    damaged = bytearray(FILES[file])
    damaged[5] ^= 0xFF
    if file == "model.safetensors":
        assert hashlib.sha256(damaged).hexdigest() in str(caught.value)
        assert hashlib.sha256(WEIGHTS).hexdigest() in str(caught.value)
    assert caught.value.file == file
    assert not partials(settings)
    assert find(NAME, settings) is None


def test_a_damaged_part_of_an_earlier_run_is_thrown_away(hub: Hub, settings: HubSettings) -> None:
    """A resumed file is hashed from its first byte: a bad beginning costs a second transfer, not a bad model."""
    blobs = settings.hub_cache / "models--acme--clip/blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hashlib.sha256(WEIGHTS).hexdigest()}.incomplete").write_bytes(b"\xee" * 5000)
    folder = fetch(NAME, settings)
    assert (folder.path / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [seen.headers.get("range") for seen in hub.requests_for("model.safetensors")]
    assert ranges == ["bytes=5000-", None]


@pytest.mark.parametrize(
    ("retry_after", "pause_s"), [("7", 7.5), (formatdate(1_000_011, usegmt=True), 11.5), ("soon", 0.5)]
)
def test_retry_after_is_honoured_in_both_forms(
    hub: Hub, settings: HubSettings, retry_after: str, pause_s: float
) -> None:
    """429 waits at least as long as asked, in seconds or until a date; nonsense falls back to jitter."""
    hub.faults["model.safetensors"] = [Fault(kind="status", status=429, headers={"Retry-After": retry_after})]
    pauses = Pauses()
    fetch(NAME, settings, policy=pauses.policy())
    assert pauses == [pause_s]


def test_503_is_tried_again_with_growing_pauses_and_then_given_up(hub: Hub, settings: HubSettings) -> None:
    """The number of tries is bounded, and each try's upper bound of the pause doubles."""
    hub.faults["listing"] = [Fault(kind="status", status=503)] * 9
    pauses = Pauses()
    with pytest.raises(Unavailable, match="HTTP 503"):
        fetch(NAME, settings, policy=pauses.policy(tries=4))
    assert pauses == [0.5, 1.0, 2.0]
    assert len(hub.seen) == 4


def test_a_pause_that_is_too_long_is_not_waited_for(hub: Hub, settings: HubSettings) -> None:
    """An hour's Retry-After becomes an error at once, with the number in it."""
    hub.faults["listing"] = [Fault(kind="status", status=503, headers={"Retry-After": "3600"})]
    with pytest.raises(RateLimited, match="3600 s") as caught:
        fetch(NAME, settings, policy=Pauses().policy())
    assert caught.value.retry_after_s == 3600


def test_the_deadline_ends_a_download(hub: Hub, settings: HubSettings) -> None:
    """Past the deadline nothing is tried again, and what has arrived is kept."""
    ticks = iter(range(1000))
    policy = RetryPolicy(deadline_s=2, clock=lambda: float(next(ticks)), sleep=lambda _: None)
    with pytest.raises(Unavailable, match="within 2 s"):
        fetch(NAME, settings, policy=policy)
    assert find(NAME, settings) is None
