"""How many cores a process may use, on control groups made of plain files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from lookalike.encoders.cores import available_cores

UNIFIED = "0::/pod/worker\n"
VERSION_1 = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n"


def cores(folder: Path, own: str, files: Mapping[str, str]) -> int:
    for name, content in files.items():
        (folder / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup" / name).write_text(content, encoding="ascii")
    (folder / "own").write_text(own, encoding="ascii")
    return available_cores(cgroup_root=folder / "cgroup", own_cgroups=folder / "own")


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with eight cores, whatever the real one has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        (UNIFIED, {}, 8),
        (UNIFIED, {"cpu.max": "max 100000\n"}, 8),
        (UNIFIED, {"pod/worker/cpu.max": "300000 100000\n"}, 3),
        (UNIFIED, {"pod/worker/cpu.max": "150000 100000\n"}, 2),
        (UNIFIED, {"pod/worker/cpu.max": "10000 100000\n"}, 1),
        (UNIFIED, {"pod/worker/cpu.max": "max 100000\n", "pod/cpu.max": "200000 100000\n"}, 2),
        (UNIFIED, {"pod/cpu.max": "6400000 100000\n"}, 8),
        ("0::/../outside\n", {"cpu.max": "200000 100000\n"}, 2),
        (UNIFIED, {"cpu.max": "nonsense\n"}, 8),
        (VERSION_1, {"cpu/docker/abc/cpu.cfs_quota_us": "250000", "cpu/docker/abc/cpu.cfs_period_us": "100000"}, 3),
        (VERSION_1, {"cpu,cpuacct/cpu.cfs_quota_us": "100000\n", "cpu,cpuacct/cpu.cfs_period_us": "50000\n"}, 2),
        (VERSION_1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        (VERSION_1, {"memory/docker/abc/cpu.max": "100000 100000\n"}, 8),
        ("", {"cpu.max": "400000 100000\n"}, 4),
    ],
)
def test_the_least_quota_counts(own: str, files: Mapping[str, str], expected: int, tmp_path: Path) -> None:
    """The least of the affinity and of all quotas from the group to the root, rounded up; "no quota" is none."""
    assert cores(tmp_path, own, files) == expected


def test_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process pinned to two cores has two, whatever its quota."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert cores(tmp_path, UNIFIED, {"cpu.max": "400000 100000\n"}) == 2


def test_without_control_groups(tmp_path: Path) -> None:
    """Where there are none (macOS), the affinity or the machine's cores count."""
    assert available_cores(cgroup_root=tmp_path / "none", own_cgroups=tmp_path / "none") == 8
