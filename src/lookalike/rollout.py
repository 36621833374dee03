"""Who a feature is for: everybody, nobody, some projects, or a share of all projects."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from lookalike.errors import ConfigError, FeatureOff


@dataclass(frozen=True, slots=True)
class Rollout:
    """Which projects have a feature.

    Attributes:
        percent: Of all projects, about so many have it. Which ones follows from their names: one that has it keeps it
            when the share grows, in every process.
        projects: These have it in any case.
    """

    percent: int = 100
    projects: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, setting: str) -> Rollout:
        """What a variable says: "on", "off", a share ("25%"), projects between commas, or both ("25%, shop").

        Raises:
            ConfigError: It is none of that; names the variable.
        """
        words = [word.strip() for word in text.split(",") if word.strip()]
        if not words or [word.lower() for word in words] in (["on"], ["1"], ["true"], ["yes"]):
            return cls()
        if [word.lower() for word in words] in (["off"], ["0"], ["false"], ["no"]):
            return cls(percent=0)
        shares = [word for word in words if re.fullmatch(r"\d+ ?%", word)]
        if len(shares) > 1 or any(int(share.rstrip("% ")) > 100 for share in shares):
            raise ConfigError(f"{setting} is {text!r}; it must be on, off, a share such as 25%, projects, or both.")
        names = tuple(word for word in words if word not in shares)
        return cls(percent=int(shares[0].rstrip("% ")) if shares else 0, projects=names)

    def has(self, project: str) -> bool:
        """Whether a project has the feature."""
        return project in self.projects or _lot(project) < self.percent

    def require(self, feature: str, project: str | None) -> None:
        """Raise FeatureOff, with a sentence, unless this project has it; None stands for all projects at once."""
        if self.percent == 100 or (project is not None and self.has(project)):
            return
        if not self.percent and not self.projects:
            raise FeatureOff(f"{feature} is switched off here.")
        if project is None:
            raise FeatureOff(f"{feature} is on for some projects only: say for which one.")
        raise FeatureOff(f"{feature} is not on for the project {project!r} yet.")


def _lot(project: str) -> int:
    """A number from 0 to 99 that a project always draws."""
    return int.from_bytes(hashlib.sha256(project.encode(errors="surrogatepass")).digest()[:8], "big") % 100
