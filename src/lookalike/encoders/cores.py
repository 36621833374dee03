"""How many cores this process may use: not the host's number, but what its container and affinity leave."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def available_cores(*, cgroup_root: Path = CGROUP_ROOT, own_cgroups: Path = OWN_CGROUPS) -> int:
    """Whole cores that this process may keep busy, at least 1.

    The least of its affinity and of every CPU quota on the way from its control group to the root, version 1 or 2
    (docs.kernel.org, admin-guide/cgroup-v2, "cpu.max"; scheduler/sched-bwc for version 1). A fraction of a core
    counts as a whole one: a quota of 1.5 keeps two threads busy three quarters of the time.

    Args:
        cgroup_root: Where the control groups are mounted.
        own_cgroups: Which of them are this process's, as in /proc/self/cgroup.
    """
    quotas = [quota for folder in _own_folders(cgroup_root, own_cgroups) for quota in _quotas(folder)]
    return max(1, min([_affinity(), *(math.ceil(quota) for quota in quotas)]))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _own_folders(root: Path, own_cgroups: Path) -> list[Path]:
    """The folders of this process's groups that can limit its CPU, each with all its parents."""
    folders: list[Path] = []
    for line in _read(own_cgroups).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = [root / controllers, root / "cpu"] if controllers else [root, root / "unified"]
        # Inside a container the path is often the host's and leads nowhere below the mount; the mount itself counts.
        relative = PurePosixPath(path.lstrip("/"))
        folders += [mount / parent for mount in mounts for parent in (relative, *relative.parents)]
    return folders or [root, root / "cpu"]


def _quotas(folder: Path) -> list[float]:
    """The quotas in one group, in cores."""
    pairs = [
        _read(folder / "cpu.max").split(),
        [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")],
    ]
    return [int(pair[0]) / int(pair[1]) for pair in pairs if _is_quota(pair)]


def _is_quota(pair: list[str]) -> bool:
    # "max" (version 2) and -1 (version 1) stand for no quota.
    return len(pair) == 2 and all(text.strip().isdecimal() and int(text) > 0 for text in pair)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
