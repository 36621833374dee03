"""`lookalike serve` as a process: what it prints, and how it starts and ends."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lookalike import Index
from lookalike.config import Config
from lookalike.weights.local import BUILT_IN
from tests.integration.hub_server import Hub
from tests.pictures import picture, write

START_S = 60.0
KEY = "shop-key-0123456789"
NOBODY = "http://127.0.0.1:9"
"""A hub that cannot be reached: nothing listens at the discard port."""


class Process:
    """The command, running. Its lines are kept as they come."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self.lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lookalike", "serve", "--port", "0", "--workers", "1", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
        )
        self._log: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self._log), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, words: str) -> str:
        """The first line with these words."""

        def found() -> str | None:
            return next((line for line in self.lines if words in line), None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() or self._ended, START_S)
        line = found()
        assert line is not None, self.lines + self._log
        return line

    @property
    def url(self) -> str:
        return re.findall(r"http://[^\s,]+", self.wait_for("listens on"))[0]

    def end(self) -> int:
        """Its exit status, once it has ended."""
        status = self.process.wait(START_S)
        for reader in self._readers:
            reader.join(START_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return status

    @property
    def log(self) -> str:
        return "".join(self._log)

    def _read(self, stream: Iterator[str], into: list[str]) -> None:
        for line in stream:
            with self._changed:
                into.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextmanager
def started(*arguments: str, **environ: str) -> Iterator[Process]:
    process = Process(*arguments, **environ)
    try:
        yield process
    finally:
        process.process.kill()
        process.end()  # also a second time


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lookalike", "serve", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=START_S,
        env={**os.environ, **environ},
    )


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of two pictures, made with the built-in model."""
    folder = tmp_path_factory.mktemp("shop")
    write(folder / "pictures", {"red.png": picture("red"), "blue.png": picture("blue")})
    config = Config.from_environ({**os.environ, "LOOKALIKE_MODEL": "tiny"})
    with Index.create(folder / "index", config=config) as made:
        made.ingest([folder / "pictures"])
    return folder / "index"


def test_it_says_where_it_is_what_it_serves_and_what_to_try(index: Path) -> None:
    """Address, model, index, when it is ready, and a line of curl that works as printed; the log apart, in JSON."""
    with started("--index", str(index)) as service:
        ready = service.wait_for("Ready after")
        tried = [line for line in service.lines if "curl " in line]
        if len(tried) < 2:
            tried = [service.wait_for("/embed/text"), service.wait_for("/search/images")]
        assert re.search(r"1 worker, space tiny-128@\w+", ready)
        assert "tiny, exact" in service.wait_for("model")
        assert f"{index}, 2 items" in service.wait_for("index")
        for line in tried:
            command = line.removeprefix("Try:").strip()
            assert service.url in command
            answer = subprocess.run(["bash", "-c", f"{command} -sf"], capture_output=True, check=True, timeout=START_S)
            assert json.loads(answer.stdout)
        service.process.send_signal(signal.SIGTERM)
        assert service.end() == 0
        assert service.lines[-1] == "Stopped.\n"
        assert {json.loads(line)["logger"] for line in service.log.splitlines()} >= {"lookalike.request"}


def test_it_listens_before_it_is_ready() -> None:
    """The port is there at once, and /readyz says what is missing; then it is ready."""
    with started() as service:
        first = httpx2.get(f"{service.url}/readyz", trust_env=False)
        if first.status_code == 503:
            assert first.json()["reason"]
        service.wait_for("Ready after")
        document = httpx2.get(f"{service.url}/readyz", trust_env=False).json()
        assert document["ready"]
        assert document["model"] == "tiny"
        assert document["workers"] == {"worker": "ready"}


def test_what_was_loaded_is_left_out_of_collections(tmp_path: Path) -> None:
    """A collection that looks at every module and route holds up all requests, for tens of milliseconds."""
    tells = "import atexit, gc; atexit.register(lambda: print('left out:', gc.get_freeze_count(), flush=True))"
    (tmp_path / "sitecustomize.py").write_text(tells)
    with started(PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path])) as service:
        service.wait_for("Ready after")
        service.process.send_signal(signal.SIGTERM)
        assert service.end() == 0
        assert int(service.wait_for("left out").split()[-1]) > 50_000


def test_without_an_index_it_says_so() -> None:
    """At the start, and to whoever searches."""
    with started("--index", "/nowhere/index") as service:
        assert "`lookalike index FOLDER`" in service.wait_for("none at /nowhere/index")
        service.wait_for("Ready after")
        answer = httpx2.get(f"{service.url}/search/images?q=dress", trust_env=False)
        assert answer.status_code == 404
        assert "There is no index in /nowhere/index" in answer.json()["error"]["message"]


def test_a_stop_under_load_loses_nothing() -> None:
    """After SIGTERM every request that was sent has an answer or was not taken: none is cut off."""
    with started() as service, ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        service.wait_for("Ready after")
        clients = [
            stack.enter_context(httpx2.Client(base_url=service.url, timeout=START_S, trust_env=False)) for _ in range(8)
        ]
        under_way = threading.Barrier(9)

        def ask(client: httpx2.Client) -> set[int | str]:
            found: set[int | str] = {client.post("/embed/text", json={"text": "a red dress"}).status_code}
            under_way.wait(START_S)
            while "refused" not in found:
                try:
                    found.add(client.post("/embed/text", json={"text": "a red dress"}).status_code)
                except httpx2.ConnectError:
                    found.add("refused")
            return found

        asking = [threads.submit(ask, client) for client in clients]
        under_way.wait(START_S)
        service.process.send_signal(signal.SIGTERM)
        outcomes = set().union(*(future.result(START_S) for future in asking))
        assert service.end() == 0
    assert outcomes == {200, "refused"}


def test_a_second_signal_ends_it_at_once() -> None:
    """Ctrl-C twice: whatever is going on, it ends."""
    with started() as service:
        service.wait_for("Ready after")
        host, port = service.url.removeprefix("http://").split(":")
        head = b"POST /embed/image HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n"
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head)  # a request that is not whole holds the stop up
            service.process.send_signal(signal.SIGINT)
            service.wait_for("Stopping")
            service.process.send_signal(signal.SIGINT)
            assert service.end() == 128 + signal.SIGINT


def test_a_port_that_is_taken_is_a_sentence() -> None:
    """Not a traceback: which port, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "something listens there already" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_ours_is_a_sentence(host: str) -> None:
    """An address of another machine, a name that means nothing."""
    done = run("--host", host, "--port", "0")
    assert done.returncode == 1
    assert host in done.stderr
    assert "no address of this machine" in done.stderr


def test_a_number_that_is_none_is_refused_with_its_limits() -> None:
    """A port that is no number or too large, no workers: which option, and what it takes."""
    for option, value, limits in (
        ("--port", "80x", "from 0 to 65535"),
        ("--port", "70000", "from 0 to 65535"),
        ("--workers", "0", "of 1 or more"),
    ):
        done = run(option, value)
        assert done.returncode == 2
        assert f"'{option}': '{value}' is no whole number {limits}." in done.stderr


def test_keys_that_cannot_be_used_are_a_sentence(tmp_path: Path) -> None:
    """A mistake in the keys ends the start, before any worker; it does not open the service."""
    done = run("--port", "0", LOOKALIKE_API_KEYS=f"shop sell {KEY}")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: LOOKALIKE_API_KEYS, entry 1")
    assert KEY not in done.stderr
    done = run("--port", "0", LOOKALIKE_API_KEYS_FILE=str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert [line.partition(" (")[0] for line in done.stderr.splitlines()] == ["Error: LOOKALIKE_API_KEYS_FILE"]


@pytest.mark.parametrize(
    ("model", "offline", "said"),
    [
        ("clipp", "0", "Did you mean clip?"),
        ("/nowhere/model", "0", "no folder on this machine"),
        ("clip", "1", "downloads are switched off"),
        ("somebody/something", "1", "downloads are switched off"),
    ],
)
def test_a_model_that_can_never_be_had_ends_the_start(model: str, offline: str, said: str, tmp_path: Path) -> None:
    """A name that means nothing, or one that may not be fetched: trying again would not help, so it is said at once."""
    done = run("--port", "0", "--model", model, HF_HUB_OFFLINE=offline, HF_HOME=str(tmp_path), HF_ENDPOINT=NOBODY)
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_model_that_is_not_the_indexs_is_a_sentence(index: Path, tmp_path: Path) -> None:
    """Vectors of another space could find nothing: said at the start, not by every search; a known model need not be
    fetched for that."""
    photos = run("--index", str(index), "--port", "0", LOOKALIKE_ORIENTATION="ignore")
    assert photos.returncode == 1
    assert "orientation" in photos.stderr
    far = {"HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "HF_ENDPOINT": NOBODY}
    clip = run("--index", str(index), "--port", "0", "--model", "clip", **far)
    assert clip.returncode == 1
    assert "clip is another model" in clip.stderr


def test_open_to_all_is_warned_of_and_keys_quieten_it() -> None:
    """Beyond this machine without keys: a warning that cannot be missed; with keys none."""
    with started("--host", "0.0.0.0") as service:  # noqa: S104
        service.wait_for("Ready after")
        assert "every other address" in service.wait_for("listens on")
        assert "WARNING" in service.log
    with started("--host", "0.0.0.0", LOOKALIKE_API_KEYS=f"shop embed {KEY}") as service:  # noqa: S104
        service.wait_for("Ready after")
        assert "WARNING" not in service.log
        assert "x-api-key: KEY" in service.wait_for("curl ")
        assert httpx2.get(f"{service.url}/stats", trust_env=False).status_code == 401


def test_a_model_that_cannot_be_fetched_now_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """The service answers, says why on /readyz and to whoever asks, and tries again."""
    environ = {"HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "HF_ENDPOINT": NOBODY}
    with started("--model", "somebody/something", "--index", "/nowhere/index", **environ) as service:
        service.wait_for("Not ready")
        while "cannot be reached" not in (document := _readiness(service))["reason"]:
            assert not document["ready"]
        answer = httpx2.post(f"{service.url}/embed/text", json={"text": "x"}, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "NotReady")
        assert "cannot be reached" in answer.json()["error"]["message"]
        assert httpx2.get(f"{service.url}/healthz", trust_env=False).status_code == 200


def test_a_model_of_another_space_is_said_as_soon_as_it_is_there(index: Path, tmp_path: Path) -> None:
    """One that had to be fetched first and is not the index's: it embeds, and says why there is no search."""
    files = {path.name: path.read_bytes() for path in (BUILT_IN / "tiny").iterdir()}
    prepared = json.loads(files["preprocessor_config.json"])
    files["preprocessor_config.json"] = json.dumps({**prepared, "image_mean": [0.5, 0.5, 0.5]}).encode()
    with Hub({"somebody/other": files}) as hub:
        environ = {"HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "HF_ENDPOINT": hub.endpoint}
        with started("--model", "somebody/other", "--index", str(index), **environ) as service:
            assert "the two cannot be compared" in service.wait_for("No search: ")
            document = _readiness(service)
            assert document["ready"]
            assert "the two cannot be compared" in document["search_reason"]
            embedded = httpx2.post(f"{service.url}/embed/text", json={"text": "x"}, trust_env=False)
            searched = httpx2.get(f"{service.url}/search/images?q=x", trust_env=False)
            assert (embedded.status_code, searched.status_code) == (200, 409)


def _readiness(service: Process) -> dict[str, Any]:
    document: dict[str, Any] = httpx2.get(f"{service.url}/readyz", trust_env=False).json()
    return document


def test_used_up_file_descriptors_pass() -> None:
    """With no descriptor left, connections wait or are dropped; when some are free again, it answers as before."""
    with started() as service:
        service.wait_for("Ready after")
        pid = service.process.pid
        in_use = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use + 20, in_use + 20))
        host, port = service.url.removeprefix("http://").split(":")
        with ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(socket.create_connection((host, int(port)), timeout=START_S))
            assert service.process.poll() is None
        answer = httpx2.get(f"{service.url}/healthz", trust_env=False, timeout=START_S)
        assert answer.status_code == 200
        assert httpx2.get(f"{service.url}/readyz", trust_env=False, timeout=START_S).json()["ready"]
