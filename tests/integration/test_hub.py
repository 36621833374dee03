"""The download against a hub on loopback that misbehaves: real sockets, real files, real processes."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from lookalike import known as known_models
from lookalike.errors import (
    ConfigError,
    CorruptModel,
    LookalikeError,
    ModelError,
    ModelNotFound,
    RateLimited,
    Refused,
    Unavailable,
    UnsupportedModel,
)
from lookalike.known import KnownModel, PinnedFile
from lookalike.retry import RetryPolicy
from lookalike.weights.hub import Progress, fetch
from lookalike.weights.local import HubSettings, find, verify
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


def test_what_huggingface_hub_fetched_is_found(hub: Hub, settings: HubSettings) -> None:
    """A model that the reference implementation downloaded needs no second download."""
    pytest.importorskip("huggingface_hub")
    download = f"from huggingface_hub import hf_hub_download as get; [get({NAME!r}, name) for name in {list(FILES)}]"
    # A process of its own: it reads its variables once, at import.
    variables = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": str(settings.hub_cache), "HF_HUB_DISABLE_XET": "1"}
    subprocess.run([sys.executable, "-c", download], env=variables, check=True, capture_output=True)
    hub.seen.clear()
    folder = fetch(NAME, settings)
    assert folder.weights_sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert {check.status for check in verify(folder)} == {"ok"}
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


@pytest.mark.parametrize("kind", ["truncate", "reset", "stall"])
def test_a_broken_transfer_goes_on_where_it_stopped(hub: Hub, settings: HubSettings, kind: str) -> None:
    """After a cut or a silence, only the rest is asked for."""
    hub.faults["model.safetensors"] = [Fault(kind=kind, at=100_000)]
    folder = fetch(NAME, replace(settings, timeout_s=0.5), policy=Pauses().policy())
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


def test_416_starts_over(hub: Hub, settings: HubSettings) -> None:
    """A server that cannot continue at the byte asked for is asked for the whole file."""
    hub.faults["model.safetensors"] = [Fault(kind="truncate", at=100_000), Fault(kind="status", status=416)]
    folder = fetch(NAME, settings, policy=Pauses().policy())
    assert (folder.path / "model.safetensors").read_bytes() == WEIGHTS
    assert [seen.headers.get("range") is None for seen in hub.requests_for("model.safetensors")] == [True, False, True]


def test_a_login_page_does_not_overwrite_what_has_arrived(hub: Hub, settings: HubSettings) -> None:
    """An answer of the wrong size is refused before a byte is written, and the next run goes on."""
    hub.faults["model.safetensors"] = [Fault(kind="truncate", at=100_000), Fault(kind="page")]
    with pytest.raises(Unavailable, match="page of a proxy"):
        fetch(NAME, settings, policy=Pauses().policy(tries=2))
    arrived = partials(settings)[0].stat().st_size
    assert 0 < arrived <= 100_000
    fetch(NAME, settings)
    assert hub.requests_for("model.safetensors")[-1].headers["range"] == f"bytes={arrived}-"


def test_a_download_ends_at_its_size(hub: Hub, settings: HubSettings) -> None:
    """A server that says no length and never stops gets no more room than the file has, and is asked again."""
    hub.faults["model.safetensors"] = [Fault(kind="endless")]
    with pytest.raises(Unavailable, match=f"sends more than the {len(WEIGHTS)} bytes of model.safetensors"):
        fetch(NAME, settings, policy=Pauses().policy(tries=1))
    assert partials(settings)[0].stat().st_size <= len(WEIGHTS)
    assert (fetch(NAME, settings).path / "model.safetensors").read_bytes() == WEIGHTS


def test_a_mirror_without_digests_is_resumed_by_etag(settings: HubSettings) -> None:
    """Where nothing states a digest, only an unchanged ETag lets a transfer go on; the first content is the record."""
    with Hub({NAME: FILES}, states_digests=False) as mirror:
        mirror.faults["model.safetensors"] = [Fault(kind="truncate", at=100_000)]
        folder = fetch(NAME, replace(settings, endpoint=mirror.endpoint), policy=Pauses().policy())
        second = mirror.requests_for("model.safetensors")[1].headers
    assert second["if-range"].startswith('"v-') and second["range"] == "bytes=100000-"
    assert folder.weights_sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert {check.status for check in verify(folder)} == {"ok"}
    assert not list(settings.hub_cache.rglob("*.etag"))


def test_a_mirror_whose_file_changed_starts_over(settings: HubSettings) -> None:
    """If-Range keeps the halves of two different files apart."""
    files = dict(FILES)
    with Hub({NAME: files}, states_digests=False) as mirror:
        settings = replace(settings, endpoint=mirror.endpoint)
        mirror.faults["model.safetensors"] = [Fault(kind="truncate", at=100_000)]
        with pytest.raises(Unavailable):
            fetch(NAME, settings, policy=Pauses().policy(tries=1))
        files["model.safetensors"] = WEIGHTS[::-1]
        folder = fetch(NAME, settings)
    assert (folder.path / "model.safetensors").read_bytes() == WEIGHTS[::-1]


def test_the_token_stays_with_the_hub(hub: Hub, settings: HubSettings) -> None:
    """The token goes to the hub and along redirects within it, never to the host that stores the weights."""
    fetch(NAME, replace(settings, token="hf_secret"))
    sent = {(seen.host, seen.headers.get("authorization")) for seen in hub.seen}
    assert sent == {("127.0.0.1", "Bearer hf_secret"), ("localhost", None)}
    assert any(seen.path.startswith("/cached/") for seen in hub.seen)


def test_offline_connects_to_nobody(hub: Hub, settings: HubSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, an absent model is an error with the command to run elsewhere, and no socket is opened."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(ModelNotFound, match="lookalike models pull openai/clip-vit-base-patch32") as caught:
        fetch("clip", replace(settings, offline=True))
    assert "path of a folder" in str(caught.value)
    assert str(settings.hub_cache) in str(caught.value)


def test_offline_finds_what_is_here(hub: Hub, settings: HubSettings) -> None:
    """Offline says nothing about models that are present."""
    folder = fetch(NAME, settings)
    assert fetch(NAME, replace(settings, offline=True, endpoint="http://127.0.0.1:1")) == folder


@pytest.mark.parametrize(
    ("model", "fault", "kind", "says"),
    [
        ("acme/typo", None, ModelNotFound, "check the spelling"),
        ("acme/clip@v9", None, ModelNotFound, "no revision 'v9'"),
        (NAME, Fault(kind="status", status=403, headers={"X-Error-Code": "GatedRepo"}), Refused, "set HF_TOKEN"),
        (NAME, Fault(kind="status", status=400), Refused, "HTTP 400"),
        (NAME, Fault(kind="page"), Refused, "HF_ENDPOINT"),
        (NAME, Fault(kind="page", body=b"[" * 200_000), Refused, "HF_ENDPOINT"),
        (NAME, Fault(kind="endless"), Refused, "HF_ENDPOINT"),
    ],
)
def test_a_refusal_says_what_to_do_and_is_not_repeated(
    hub: Hub, settings: HubSettings, model: str, fault: Fault | None, kind: type[LookalikeError], says: str
) -> None:
    """What cannot get better by asking again is asked once."""
    hub.faults["listing"] = [fault] if fault else []
    with pytest.raises(kind, match=says):
        fetch(model, settings, policy=Pauses().policy())
    assert len(hub.seen) == 1


def test_a_repository_without_safetensors_is_told_from_a_typo(settings: HubSettings) -> None:
    """Weights in a pickle are never read; the message says where a conversion may be."""
    with (
        Hub({NAME: {"config.json": b"{}", "tokenizer.json": b"{}", "pytorch_model.bin": b""}}) as hub,
        pytest.raises(UnsupportedModel, match="refs/pr/NUMBER"),
    ):
        fetch(NAME, replace(settings, endpoint=hub.endpoint))


def test_a_pull_request_is_a_revision(hub: Hub, settings: HubSettings) -> None:
    """A conversion that waits as a pull request is named as such, and found again by that name."""
    folder = fetch(f"{NAME}@refs/pr/1", settings)
    assert find(f"{NAME}@refs/pr/1", settings) == folder
    assert find(NAME, settings) is None


@pytest.mark.parametrize("endpoint", ["ftp://127.0.0.1", "nonsense", "http://[::1", "http://127.0.0.1:x"])
def test_an_endpoint_that_is_no_address_is_a_setting_to_correct(settings: HubSettings, endpoint: str) -> None:
    """A wrong HF_ENDPOINT is not taken for a network failure."""
    with pytest.raises(ConfigError, match="HF_ENDPOINT"):
        fetch(NAME, replace(settings, endpoint=endpoint), policy=Pauses().policy())


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ALL_PROXY", "socks5://user:secret@127.0.0.1:1", "socksio"),
        ("HTTPS_PROXY", "foo://user:secret@127.0.0.1:1", "not the address of a proxy"),
        ("HTTP_PROXY", "http://user:secret@[::1", "not the address of a proxy"),
        ("SSL_CERT_FILE", "/nonexistent/secret", "SSL_CERT_FILE.*No such file"),
    ],
)
def test_a_variable_that_cannot_be_used_is_a_setting_to_correct(
    settings: HubSettings, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    """What the variables of the network say wrongly is told from a failure, by name and without a password."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=says) as caught:
        fetch(NAME, settings)
    assert variable in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_damaged_reference_is_written_anew(hub: Hub, settings: HubSettings) -> None:
    """A branch whose file in the cache is no commit, nor even text, is asked for again."""
    folder = fetch(NAME, settings)
    reference = settings.hub_cache / "models--acme--clip/refs/main"
    reference.write_bytes(b"\xff\xfe")
    assert find(NAME, settings) is None
    assert fetch(NAME, settings) == folder
    assert reference.read_text() == COMMIT


def test_a_token_with_a_line_break_is_refused_without_being_shown(settings: HubSettings) -> None:
    """The likeliest damage to a token is named; the token is not."""
    with pytest.raises(ConfigError, match="HF_TOKEN") as caught:
        fetch(NAME, replace(settings, token="hf_secret\nx"))
    assert "secret" not in str(caught.value)


def test_nobody_there_is_unavailable(settings: HubSettings) -> None:
    """A refused connection is tried again and then says who could not be reached."""
    pauses = Pauses()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 cannot be reached"):
        fetch(NAME, replace(settings, endpoint="http://127.0.0.1:1"), policy=pauses.policy(tries=3))
    assert len(pauses) == 2


def test_the_proxy_variables_are_obeyed(hub: Hub, settings: HubSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With HTTP_PROXY set, requests for any host go to the proxy; NO_PROXY takes hosts out."""
    monkeypatch.setenv("HTTP_PROXY", hub.endpoint)
    fetch(NAME, replace(settings, endpoint="http://hub.invalid"))
    assert "hub.invalid" in {seen.host for seen in hub.seen}
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(Unavailable):
        fetch("acme/other", replace(settings, endpoint="http://127.0.0.1:1"), policy=Pauses().policy(tries=1))


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[str]:
    """The address of a TLS server whose certificate nobody signed."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def shake_hands() -> None:
            connection, _ = server.accept()
            with connection, suppress(ssl.SSLError, OSError):
                context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=shake_hands)
        thread.start()
        yield f"https://localhost:{server.getsockname()[1]}"
        thread.join(timeout=5)


def test_an_untrusted_certificate_is_refused_at_once(settings: HubSettings, untrusted: str) -> None:
    """A certificate does not get better by asking again, and what a proxy that opens TLS needs is named."""
    pauses = Pauses()
    with pytest.raises(Refused, match="SSL_CERT_FILE"):
        fetch(NAME, replace(settings, endpoint=untrusted), policy=pauses.policy())
    assert pauses == []


CHILD = """
import sys
from pathlib import Path
from lookalike.weights.hub import fetch
from lookalike.retry import RetryPolicy
from lookalike.weights.local import HubSettings

settings = HubSettings(endpoint=sys.argv[1], hub_cache=Path(sys.argv[2]), digest_cache=Path(sys.argv[2]) / "digests")
show = lambda step: print(step.note or step.done_bytes, flush=True)
print(fetch("acme/clip", settings, show, policy=RetryPolicy(sleep=lambda _: None)).weights_sha256, flush=True)
"""


def child(settings: HubSettings) -> subprocess.Popen[str]:
    """A process of its own that fetches the model and prints its progress."""
    command = [sys.executable, "-c", CHILD, settings.endpoint, str(settings.hub_cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_download_goes_on_in_the_next_process(hub: Hub, settings: HubSettings) -> None:
    """kill -9 in the middle loses nothing that had arrived and leaves no lock behind."""
    hub.faults["model.safetensors"] = [Fault(kind="stall", at=200_000)]
    with child(settings) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 100_000:
            pass
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    hub.released.set()
    assert find(NAME, settings) is None
    folder = fetch(NAME, settings)
    resumed = hub.requests_for("model.safetensors")[1].headers["range"]
    assert 90_000 < int(resumed.removeprefix("bytes=").rstrip("-")) <= 200_000
    assert (folder.path / "model.safetensors").read_bytes() == WEIGHTS


def test_two_processes_download_once(hub: Hub, settings: HubSettings) -> None:
    """The second process says that it waits, and then finds what the first one fetched."""
    hub.faults["model.safetensors"] = [Fault(kind="pause", at=100_000)]
    with child(settings) as first:
        assert first.stdout is not None
        while int(first.stdout.readline()) < 50_000:
            pass
        with child(settings) as second:
            assert second.stdout is not None
            assert "Another process is fetching acme/clip" in second.stdout.readline()
            hub.released.set()
            outputs = [first.stdout.read().split()[-1], second.stdout.read().split()[-1]]
    assert outputs == [hashlib.sha256(WEIGHTS).hexdigest()] * 2
    assert len(hub.requests_for("model.safetensors")) == 1
    assert len(hub.requests_for("config.json")) == 1


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: what a full disk or a quota does, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_what_has_arrived(hub: Hub, settings: HubSettings) -> None:
    """When writing fails for want of room, the message says so, and the next run goes on."""
    with file_size_limit(150_000), pytest.raises(ModelError, match="the disk is full"):
        fetch(NAME, settings)
    assert partials(settings)[0].stat().st_size > 0
    assert (fetch(NAME, settings).path / "model.safetensors").read_bytes() == WEIGHTS
    assert "range" in hub.requests_for("model.safetensors")[1].headers


def test_a_read_only_cache_is_named(hub: Hub, settings: HubSettings, open_folder: Path) -> None:
    """A cache that may not be written is an error with a remedy."""
    with unprivileged(open_folder, 0o555), pytest.raises(ModelError, match=r"may not be written.*HF_HUB_CACHE"):
        fetch(NAME, replace(settings, hub_cache=open_folder, digest_cache=open_folder / "digests.json"))


def test_a_read_only_cache_with_the_model_is_enough(hub: Hub, settings: HubSettings, open_folder: Path) -> None:
    """Models baked into an image are used without a write, the digest cache's included."""
    settings = replace(settings, hub_cache=open_folder, digest_cache=open_folder / "digests.json")
    whole = fetch(NAME, settings)
    settings.digest_cache.unlink()
    with unprivileged(open_folder, 0o555):
        assert fetch(NAME, settings) == whole
    assert not settings.digest_cache.exists()


def test_an_unreadable_cache_is_named(settings: HubSettings, open_folder: Path) -> None:
    """A cache of another user is an error that names the folder, not a model that is absent."""
    (open_folder / "models--acme--clip").mkdir(mode=0o700)
    with unprivileged(open_folder, 0o555), pytest.raises(ModelError, match="may not be read"):
        find(NAME, replace(settings, hub_cache=open_folder))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder below folders that every user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def unprivileged(folder: Path, mode: int) -> Iterator[None]:
    """A folder has this mode, and it binds: root, whom no mode binds, becomes nobody."""
    nobody, is_root = 65534, os.geteuid() == 0
    folder.chmod(mode)
    if is_root:
        os.seteuid(nobody)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def row(*files: PinnedFile, revision: str = COMMIT) -> KnownModel:
    """A row of the table of known models for the model on the test's hub."""
    return KnownModel(
        name=NAME,
        revision=revision,
        files=files,
        aliases=("tested",),
        dim=512,
        modalities=("image", "text"),
        licence="MIT",
        note="",
    )


def pinned(name: str, content: bytes) -> PinnedFile:
    """A file with its digest and size."""
    return PinnedFile(name, hashlib.sha256(content).hexdigest(), len(content))


def test_a_known_model_is_fetched_at_its_pin(hub: Hub, settings: HubSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of the table needs no listing; an unpinned file is held against the hub's digest."""
    files = (pinned("model.safetensors", WEIGHTS), PinnedFile("config.json"), PinnedFile("vocab.txt", optional=True))
    monkeypatch.setattr(known_models, "KNOWN_MODELS", (row(*files),))
    hub.faults["config.json"] = [Fault(kind="corrupt", at=3)]
    folder = fetch("tested", settings)
    assert folder.name == NAME
    assert not any(seen.path.startswith("/api/") for seen in hub.seen)
    assert (folder.path / "config.json").read_bytes() == FILES["config.json"]
    assert {check.name: check.status for check in verify(folder)} == {"config.json": "ok", "model.safetensors": "ok"}


def test_another_file_than_the_pinned_one_is_refused(
    hub: Hub, settings: HubSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table's digest outranks what the hub says about its own file."""
    other = bytes(reversed(WEIGHTS))
    monkeypatch.setattr(
        known_models, "KNOWN_MODELS", (row(pinned("model.safetensors", other), PinnedFile("config.json")),)
    )
    with pytest.raises(CorruptModel, match=hashlib.sha256(other).hexdigest()):
        fetch(NAME, settings)


def test_a_damaged_file_on_disk_is_noticed_and_fetched_again(
    hub: Hub, settings: HubSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage that keeps the size is found by digest: offline an error, online repaired."""
    monkeypatch.setattr(
        known_models, "KNOWN_MODELS", (row(pinned("model.safetensors", WEIGHTS), PinnedFile("config.json")),)
    )
    weights = fetch(NAME, settings).path / "model.safetensors"
    weights.write_bytes(bytes(reversed(WEIGHTS)))
    with pytest.raises(CorruptModel, match="lookalike models pull acme/clip"):
        fetch(NAME, replace(settings, offline=True))
    fetch(NAME, settings)
    assert weights.read_bytes() == WEIGHTS


def test_a_model_that_cannot_fit_is_not_begun(hub: Hub, settings: HubSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the size is known and the room is not there, nothing is transferred."""
    huge = PinnedFile("model.safetensors", "0" * 64, 10**18)
    monkeypatch.setattr(known_models, "KNOWN_MODELS", (row(huge, PinnedFile("config.json")),))
    with pytest.raises(ModelError, match=r"needs 1,000,000,000,000\.0 MB"):
        fetch(NAME, settings)
    assert hub.seen == []
