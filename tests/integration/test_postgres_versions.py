"""The production store on the oldest PostgreSQL that is at hand, and on a server that somebody else looks after.

This is a part of what LOOKALIKE_TEST_POSTGRES=16 runs: what depends on the server rather than on lookalike.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import running_postgres

psycopg = pytest.importorskip("psycopg")

ROOT = Path(__file__).resolve().parents[2]
CHOSEN = (
    "tests/contract/test_store_postgres.py::test_it_agrees_with_its_twin",
    "tests/contract/test_store.py::test_a_sample_of_a_project_does_not_depend_on_others",
    "tests/integration/test_cli_db.py::test_tables_of_every_older_version_are_brought_up_to_date",
    "tests/integration/test_cli_db.py::test_check_tells_what_there_is",
    "tests/integration/test_cli_db.py::test_the_index_finds_items_in_the_stores_order",
)


def test_an_older_server_at_an_address_does_as_well() -> None:
    """Tests that are given the address of a PostgreSQL 16 pass there, in a database of their own that is gone then."""
    with running_postgres(version="16") as server:
        with psycopg.connect(server.url) as connection:
            assert connection.info.server_version // 10_000 == 16
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                *CHOSEN,
                "-k",
                "not embedded and not memory",
            ],
            cwd=ROOT,
            env={**os.environ, "LOOKALIKE_TEST_POSTGRES": server.url},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert " passed" in done.stdout
        with psycopg.connect(server.url) as connection:
            rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'lookalike%'").fetchall()
        assert rows == []
