"""Settings: the one place that reads the environment.

Every setting has a default and a variable that wins over it; most have an option of the command line, which wins over
both. The budgets, the cache folder and the hub have none. docs/reference.md lists the variables; a test compares.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from lookalike.errors import ConfigError
from lookalike.image import ImagePolicy
from lookalike.spaces import Orientation, Precision
from lookalike.weights.local import HubSettings

HUB_ENDPOINT = "https://huggingface.co"
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting, resolved.

    Attributes:
        model: Name, alias or folder of the model; "auto" is the index's own model, else CLIP if its weights are on this
            machine, else the built-in `tiny`, which is said aloud.
        precision: "exact" or "int8".
        orientation: Whether EXIF orientation is applied or ignored.
        threads: Cores to use; 0 for all that the container allows.
        index: Folder of the index.
        project: Project of new items.
        max_bytes: The largest picture file that is read.
        max_pixels: The largest picture that is decoded.
        cache_dir: Where compiled models and digests are kept.
        hub: Where weights come from.
        terminal: The variables that say what the terminal can show.
    """

    model: str = "auto"
    precision: Precision = "exact"
    orientation: Orientation = "apply"
    threads: int = 0
    index: Path
    project: str = "default"
    max_bytes: int = ImagePolicy().max_bytes
    max_pixels: int = ImagePolicy().max_pixels
    cache_dir: Path
    hub: HubSettings
    terminal: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Config:
        """The settings of an environment; the process's own if none is given.

        Raises:
            ConfigError: A variable has a value that cannot be used; names it.
        """
        env = _Environment(os.environ if environ is None else environ)
        cache_dir = env.path("LOOKALIKE_CACHE_DIR", lambda: _cache_home(env) / "lookalike")
        # Without slots, a class keeps its defaults as attributes.
        return cls(
            model=env.text("LOOKALIKE_MODEL", cls.model),
            precision=env.choice("LOOKALIKE_PRECISION", cls.precision, get_args(Precision)),  # type: ignore[arg-type]
            orientation=env.choice("LOOKALIKE_ORIENTATION", cls.orientation, get_args(Orientation)),  # type: ignore[arg-type]
            threads=env.count("LOOKALIKE_THREADS", cls.threads),
            index=env.path("LOOKALIKE_INDEX", lambda: _data_home(env) / "lookalike" / "photos.lookalike"),
            project=env.text("LOOKALIKE_PROJECT", cls.project),
            max_bytes=env.count("LOOKALIKE_MAX_BYTES", cls.max_bytes),
            max_pixels=env.count("LOOKALIKE_MAX_PIXELS", cls.max_pixels),
            cache_dir=cache_dir,
            hub=_hub(env, cache_dir),
            terminal=env.only(
                "TERM", "TERM_PROGRAM", "COLORTERM", "NO_COLOR", "KITTY_WINDOW_ID", "TMUX", "LC_TERMINAL"
            ),
        )


def expanded(path: Path, setting: str) -> Path:
    """A path without "~".

    Raises:
        ConfigError: The home folder is not known; names the setting.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{setting}: the home folder that {path} starts with is not known; set a full path."
        ) from error


def _cache_home(env: _Environment) -> Path:
    return env.path("XDG_CACHE_HOME", lambda: Path("~/.cache"))


def _data_home(env: _Environment) -> Path:
    return env.path("XDG_DATA_HOME", lambda: Path("~/.local/share"))


def _hub_home(env: _Environment) -> Path:
    return env.path("HF_HOME", lambda: _cache_home(env) / "huggingface")


def _hub(env: _Environment, cache_dir: Path) -> HubSettings:
    return HubSettings(
        endpoint=env.text("HF_ENDPOINT", HUB_ENDPOINT).rstrip("/"),
        hub_cache=env.path("HF_HUB_CACHE", lambda: _hub_home(env) / "hub"),
        digest_cache=cache_dir / "digests.json",
        offline=env.flag("HF_HUB_OFFLINE") or env.flag("TRANSFORMERS_OFFLINE"),
        token=env.text("HF_TOKEN", "") or None,
    )


class _Environment:
    """Variables, read as what they should be."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str) -> str:
        return self._variables.get(name, "").strip() or default

    def path(self, name: str, default: Callable[[], Path]) -> Path:
        # A default is asked for only if it is needed: where there is no home folder, it cannot be had.
        value = self.text(name, "")
        return expanded(Path(value) if value else default(), name)

    def only(self, *names: str) -> Mapping[str, str]:
        return {name: self._variables[name] for name in names if name in self._variables}

    def flag(self, name: str) -> bool:
        value = self._variables.get(name, "").strip().lower()
        if value not in TRUE_WORDS | FALSE_WORDS:
            raise ConfigError(f"{name} is {value!r}; set it to 1 or 0.")
        return value in TRUE_WORDS

    def count(self, name: str, default: int) -> int:
        value = self.text(name, str(default))
        if not value.isdecimal():
            raise ConfigError(f"{name} is {value!r}; it must be a whole number, 0 or more.")
        return int(value)

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise ConfigError(f"{name} is {value!r}; it must be one of: {', '.join(allowed)}.")
        return value
