"""What every test stands on: no network beyond this machine, none of the user's own folders, the shared material."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.service import reporting

if TYPE_CHECKING:
    from tests.buckets import Bucket
    from tests.postgres import NewDatabase
    from tests.serving import Running

SHARED = Path(os.environ.get("LOOKALIKE_SHARED") or Path(__file__).resolve().parents[1].parent / "shared")

FOREIGN = ("LOOKALIKE_", "HF_", "XDG_", "EMBEDDING", "AWS_", "GOOGLE_", "AZURE_")
"""What the names of variables begin with that must not reach a test."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material that is not part of the project: beside the checkout, or $LOOKALIKE_SHARED."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(
            "the reference material is not here: put it beside the checkout as 'shared', or set $LOOKALIKE_SHARED"
        )
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the user reaches a test, and no test (nor a process that it starts) reaches the user's folders."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.upper().startswith(FOREIGN) or name.upper().endswith("_PROXY"):
                patch.delenv(name)
        patch.setenv("LOOKALIKE_CACHE_DIR", str(home / "cache" / "lookalike"))
        patch.setenv("LOOKALIKE_INDEX", str(home / "photos.lookalike"))
        patch.setenv("LOOKALIKE_SHARED", str(SHARED))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setenv("HF_HOME", str(home / "cache" / "huggingface"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        # Whether OpenVINO is here is found out by importing it, which would tell Intel of it.
        patch.setitem(sys.modules, "openvino_telemetry", None)
        yield


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """A connection or a name look-up beyond this machine fails the test that tries it."""

    def guarded(method: Any) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6}:
                require_loopback(address[0])
            return method(self, address)

        return connect

    def getaddrinfo(host: str | bytes | None, *args: Any, **kwargs: Any) -> Any:
        require_loopback(host)
        return look_up(host, *args, **kwargs)

    look_up = socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database of the tests' own on a real PostgreSQL; skips, saying so, where that is not installed."""
    from tests.postgres import wanted_postgres

    with wanted_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def pooled_url(postgres_url: str) -> Iterator[str]:
    """The same database through a transaction pooler; skips, saying so, where none is installed."""
    from tests.pooler import running_pooler

    with running_pooler(postgres_url) as url:
        yield url


@pytest.fixture
def new_database(postgres_url: str) -> Iterator[NewDatabase]:
    """Makes places for stores on that server, each empty; they go with the test."""
    from tests.postgres import new_databases

    with new_databases(postgres_url) as make:
        yield make


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """The address of a server that speaks S3; skips, saying so, where it is not installed."""
    from tests.buckets import running_s3

    with running_s3() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str) -> Bucket:
    """An empty bucket on that server."""
    from tests.buckets import new_bucket

    return new_bucket(s3_url)


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """One HTTP service with a fake model, without keys and without an index, for all tests that only ask."""
    from tests.serving import serving  # a web framework, which other tests need not load

    with serving() as started:
        yield started


def require_loopback(host: str | bytes | None) -> None:
    """Fail the test unless the host is this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost" or name.endswith(".localhost"):
        return
    try:
        beyond = not ip_address(name.split("%")[0]).is_loopback
    except ValueError:  # a name: looking it up would ask a server
        beyond = True
    if beyond:
        pytest.fail(f"a test tried to reach {name}; tests stay on this machine")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the service came through."""
    if reporting.OUTCOMES:
        terminalreporter.section("service under fault")
        for line in reporting.lines(reporting.OUTCOMES):
            terminalreporter.write_line(line)
