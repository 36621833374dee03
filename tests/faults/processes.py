"""Processes that the fault tests of the store start, and how they are talked to: a line at a time."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any

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
        "from lookalike.errors import StoreError, StoreReadOnly\n"
        "from lookalike.store.embedded import create, open_store\n"
        "from store_child import *\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", preamble + textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def heeding(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """A process that heeds Ctrl-C, though the tests may have been started in the background, where it is ignored."""
    heed = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    return subprocess.Popen([sys.executable, "-c", heed, *command], **options)


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


def start_child(name: str, folder: Path, index: Path) -> subprocess.Popen[str]:
    """A process that runs a file of this folder, which tells what it acknowledges."""
    child = Path(__file__).with_name(name)
    return subprocess.Popen([sys.executable, str(child), str(folder), str(index)], stdout=subprocess.PIPE, text=True)


def kill_after(child: subprocess.Popen[str], *, lines: float = inf, items: float = inf) -> int:
    """Kill a process when it has printed so many lines or acknowledged so many items; what it acknowledged last."""
    acknowledged = 0
    assert child.stdout is not None
    for n_lines, line in enumerate(child.stdout, 1):
        found = re.match(r"acknowledged (\d+)", line)
        acknowledged = int(found[1]) if found else acknowledged
        if n_lines >= lines or acknowledged >= items:
            child.send_signal(signal.SIGKILL)
            break
    child.stdout.read()
    child.stdout.close()
    child.wait()
    return acknowledged
