"""What processes have in memory that they share with no file, from Linux's own books."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def largest_private_mb(pid: int) -> float:
    """Of a process and all below it, the one with the most: anonymous pages, in MB of 10^6 bytes.

    A page that a fork left shared counts for both; a mapped file counts for none.
    """
    return max(map(_anonymous_mb, _family(pid)))


def _family(pid: int) -> list[int]:
    """The process and all below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parent = stat.read_text().rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += children.get(found[-1], [])
    return found


def _anonymous_mb(pid: int) -> float:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) * 1024 / 1e6
    return 0.0


def own_bytes() -> int:
    """Memory of this process itself: resident and not of a file (proc(5), RssAnon)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
