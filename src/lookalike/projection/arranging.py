"""Arranges vectors in a process of its own, which is ended when nobody wants the result any more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import MissingDependency, NotReady
from lookalike.projection.child import MISSING
from lookalike.types import Rows


class Arranger:
    """Starts the process.

    Args:
        threads: Cores that it may use.
        stopping: Set when the process shall end; seen at its next sign of life.
    """

    def __init__(self, *, threads: int, stopping: Event) -> None:
        self._threads = threads
        self._stopping = stopping

    def arrange(
        self, rows: Rows, *, on_progress: Callable[[float], None]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The (n, 2) places of (n, dim) unit rows, of any scale, and the (n,) numbers of their groups.

        Raises:
            MissingDependency: The extra "map" is not installed.
            NotReady: The process was lost, for want of memory perhaps, or this was stopped.
        """
        with TemporaryDirectory(prefix="lookalike-map-") as name:
            folder = Path(name)
            np.save(folder / "rows.npy", rows)
            status, last = self._run(folder, on_progress)
            if status == MISSING:
                raise MissingDependency(last, extra="map")
            if status or self._stopping.is_set():
                raise NotReady(f"The process that arranges the map has ended ({status}): it is tried again later.")
            places = np.load(folder / "places.npy", allow_pickle=False)
            return places, np.load(folder / "groups.npy", allow_pickle=False)

    def _run(self, folder: Path, on_progress: Callable[[float], None]) -> tuple[int, str]:
        """Run it to its end; its status, and the last line that it wrote."""
        command = [sys.executable, "-m", "lookalike.projection.child", str(folder), str(self._threads)]
        line = ""
        with subprocess.Popen(  # noqa: S603  ourselves
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            for raw in process.stdout or ():
                line = raw.strip()
                if self._stopping.is_set():
                    process.kill()
                if line.replace(".", "", 1).isdigit():
                    on_progress(float(line))
        return process.returncode, line
