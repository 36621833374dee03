"""Who a feature is for: everybody, nobody, some projects, or a share of all projects."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from lookalike.errors import ConfigError, FeatureOff

SWITCH = {"on": 100, "1": 100, "true": 100, "yes": 100, "off": 0, "0": 0, "false": 0, "no": 0}
"""What a variable may say in one word, and whom of a hundred projects it means."""

_SHARE = re.compile(r"0*(\d{1,2}|100) ?%")
_NUMBER = re.compile(r"[-+]?\d{1,2}|100")


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
            ConfigError: It is none of that, or has a word that is more likely a slip than a name; names the variable.
        """
        words = [word.strip() for word in text.split(",") if word.strip()] or ["on"]
        if len(words) == 1 and words[0].lower() in SWITCH:
            return cls(percent=SWITCH[words[0].lower()])
        shares = [int(found[1]) for word in words if (found := _SHARE.fullmatch(word))]
        names = tuple(word for word in words if not _SHARE.fullmatch(word))
        if len(shares) > 1 or any(map(_is_slip, names)):
            raise ConfigError(
                f"{setting} is {text!r}; it must be on, off, a share such as 25%, projects, or a share and projects. A "
                'number without "%" is no share.'
            )
        return cls(percent=shares[0] if shares else 0, projects=names)

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


def _is_slip(name: str) -> bool:
    """Whether what stands where a project's name may stand was probably meant as a share or a switch."""
    return "%" in name or name.lower() in SWITCH or _NUMBER.fullmatch(name) is not None


def _lot(project: str) -> int:
    """A number from 0 to 99 that a project always draws."""
    return int.from_bytes(hashlib.sha256(project.encode(errors="surrogatepass")).digest()[:8], "big") % 100
