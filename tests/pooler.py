"""A real transaction pooler before the tests' PostgreSQL, of the strictest kind: a session loses its state at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.postgres import NOBODY, as_nobody, end, free_port, wait_for

N_CONNECTIONS = 2
"""To the server: fewer than the tests have threads, so that a connection serves many and a thread has many."""

SETTINGS = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {n_connections}
server_reset_query = DISCARD ALL
server_reset_query_always = 1
"""


@contextmanager
def running_pooler(url: str) -> Iterator[str]:
    """The address of the database at `url` through PgBouncer; skips, saying so, where that is not installed."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not here: apt-get install pgbouncer")
    server, own_port = urlsplit(url), free_port()
    folder = Path(tempfile.mkdtemp(prefix="pooler-"))
    process = None
    try:
        settings, log = folder / "pgbouncer.ini", folder / "log"
        written = SETTINGS.format(
            host=server.hostname, port=server.port, own_port=own_port, n_connections=N_CONNECTIONS
        )
        settings.write_text(written, encoding="utf-8")
        if os.geteuid() == 0:  # it refuses to run as root
            folder.chmod(0o755)
            os.chown(folder, NOBODY, NOBODY)
        with log.open("wb") as told:
            process = subprocess.Popen([program, str(settings)], stdout=told, stderr=told, **as_nobody())
        pooled = server._replace(netloc=f"postgres:not-asked-for@127.0.0.1:{own_port}").geturl()
        wait_for(pooled, process, log)
        yield pooled
    finally:
        if process is not None:
            end(process)
        shutil.rmtree(folder, ignore_errors=True)
