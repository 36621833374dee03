"""Processes that the fault tests of the store start, and how they are talked to: a line at a time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITER = """
with open_store(Path(sys.argv[1]), write=True) as store:
    print("open", flush=True)
    for number in range(int(sys.argv[2]), 1000):
        add_batch(store, number)
        print("added", number, flush=True)
        if number % 4 == 3:
            thin_out(store, number - 2)
            print("thinned", number - 2, flush=True)
            store.compact()
            print("compacted", flush=True)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that runs `code` with the helpers of store_child.py."""
    preamble = (
        f"import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path\n"
        "from lookalike.errors import StoreError, StoreReadOnly; from lookalike.store.embedded import open_store\n"
        "from store_child import *\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", preamble + textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Send a process a line."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the test."""
    process = start(code, *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
