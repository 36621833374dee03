"""Maps of the index: made in the background, kept in a folder, brought up to date when somebody looks at one."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.errors import LookalikeError
from lookalike.files import keep
from lookalike.http.latest import make_room
from lookalike.http.view import View
from lookalike.landscape import Landscape, extended, points_of, survey
from lookalike.projection.arranging import Arranger
from lookalike.spaces import digest_of
from lookalike.types import Filter

LOOK_EVERY_S = 20.0
"""How often it is looked at most whether a map is still that of the index: every item is walked."""

MAX_MAPS = 8
"""As many are kept in memory, a few megabytes each; the one not asked for longest goes."""

_log = logging.getLogger("lookalike.map")


@dataclass(slots=True)
class Sheet:
    """One map, and what becomes of it.

    Attributes:
        landscape: The map; None until it is there.
        share: How much of the next one is done, 0 to 1; None if none is being made.
        error: Why it could not be made the last time.
        looked_at: When it was last compared with the index, on time.monotonic().
    """

    landscape: Landscape | None = None
    share: float | None = None
    error: LookalikeError | None = None
    looked_at: float = field(default=float("-inf"))


class Landscapes:
    """Every map, one made at a time. Any thread may ask.

    Args:
        folder: Where they are kept; one that cannot be written costs time only.
        arranger: Finds places and groups.
    """

    def __init__(self, folder: Path, arranger: Arranger) -> None:
        self._folder = folder
        self._arranger = arranger
        self._sheets: OrderedDict[str, Sheet] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def of(self, view: View, project: str | None, *, wanted: str) -> Sheet:
        """The map of a project, or of all of them; a newer one is begun where the index has changed.

        Args:
            view: What the caller sees of the index.
            project: Of this project, which the caller sees.
            wanted: Names the index, so that another one's map is not shown.

        Raises:
            Overloaded: Too many other maps are being made.
        """
        name = name_of(wanted, view.space.id, project)
        with self._lock:
            sheet = self._sheets.get(name)
            if sheet is None:
                make_room(self._sheets, most=MAX_MAPS, is_busy=lambda sheet: sheet.share is not None, what="maps")
                sheet = self._sheets[name] = Sheet(landscape=self._read(name))
            self._sheets.move_to_end(name)
            is_due = sheet.share is None and time.monotonic() - sheet.looked_at >= LOOK_EVERY_S
            if is_due:
                sheet.share = 0.0
                work = threading.Thread(
                    target=self._refresh, args=(name, sheet, view, project), name="lookalike-map", daemon=True
                )
                work.start()
        return sheet

    def _refresh(self, name: str, sheet: Sheet, view: View, project: str | None) -> None:
        try:
            with self._turn:
                self._bring_up_to_date(name, sheet, view, project)
            sheet.error = None
        except LookalikeError as error:
            sheet.error = error
            _log.warning("No map: %s", error)
        finally:
            sheet.looked_at, sheet.share = time.monotonic(), None

    def _bring_up_to_date(self, name: str, sheet: Sheet, view: View, project: str | None) -> None:
        explainer, holds = view.index.explainer, view.index.stats()
        n_items = holds.items if project is None else holds.projects.get(project, 0)
        points = points_of(explainer.store, Filter(project=project), n_items=n_items)
        old = sheet.landscape
        if old is not None and old.points != points:
            sheet.landscape = extended(old, explainer.store, points)
        if sheet.landscape is None or sheet.landscape.is_worn:

            def tell(share: float) -> None:
                sheet.share = share

            sheet.landscape = survey(
                explainer.store, points, explainer.bank(), lambda rows: self._arranger.arrange(rows, on_progress=tell)
            )
        if sheet.landscape is not old:
            keep(self._folder / f"{name}.npz", sheet.landscape.to_bytes())

    def _read(self, name: str) -> Landscape | None:
        with suppress(OSError):
            return Landscape.from_bytes((self._folder / f"{name}.npz").read_bytes())
        return None


def name_of(index: str, space: str, project: str | None) -> str:
    """What the map of a project, or of all, of this index is called in the folder, without ".npz"."""
    return digest_of([index, space, repr(project)])[:32]
