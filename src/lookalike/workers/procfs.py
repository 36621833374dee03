"""What Linux tells about another process; nothing, elsewhere."""

from __future__ import annotations

from pathlib import Path


def private_bytes(pid: int) -> int:
    """Memory that a process shares with nobody, mapped files aside (proc_pid_status(5), RssAnon); 0 if unknown."""
    for line in _read(pid, "status").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def starved_s(pid: int) -> float:
    """Seconds that a process' main thread could have run and had no core (schedstat, run_delay); 0 if unknown.

    See docs.kernel.org, scheduler/sched-stats, "/proc/<pid>/schedstat".
    """
    fields = _read(pid, "schedstat").split()
    return int(fields[1]) / 1e9 if len(fields) == 3 else 0.0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
