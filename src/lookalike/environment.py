"""Variables, read as what they should be; and the file ".env" that some of them are kept in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from lookalike.errors import ConfigError

Choice = TypeVar("Choice", bound=str)

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*"""
    r"""(?:'(?P<raw>[^']*)'|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>.*?))\s*(?:\s\#.*)?"""
)
_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\\\": "\\"}


def dotenv(path: Path) -> dict[str, str]:
    """The variables of a file with a NAME=value a line; none if there is no such file.

    Values may be quoted, lines may begin with "export" or be comments; nothing is expanded.

    Raises:
        ConfigError: A line is none of that, or the file cannot be read; no value is repeated.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}): mend it, or take it away.") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"{path}, line {number}: it is not of the form NAME=value.")
        name, raw, quoted, bare = match.group("name", "raw", "quoted", "bare")
        if quoted is not None:
            quoted = re.sub(r"\\.", lambda escape: _ESCAPES.get(escape.group(), escape.group()), quoted)
        found[name] = next(value for value in (raw, quoted, bare) if value is not None)
    return found


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


class Environment:
    """Variables, read as what they should be."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str) -> str:
        """A variable without the blanks around it; the default if it is empty."""
        return self._variables.get(name, "").strip() or default

    def first(self, *names: str) -> str:
        """The first of these variables that says something; empty if none does."""
        return next((value for value in (self.text(name, "") for name in names) if value), "")

    def path(self, name: str, default: Callable[[], Path]) -> Path:
        """A path, without "~"."""
        # A default is asked for only if it is needed: where there is no home folder, it cannot be had.
        value = self.text(name, "")
        return expanded(Path(value) if value else default(), name)

    def only(self, *names: str) -> Mapping[str, str]:
        """Those of these variables that are set, as they are."""
        return {name: self._variables[name] for name in names if name in self._variables}

    def flag(self, name: str) -> bool:
        """Whether it is switched on."""
        value = self._variables.get(name, "").strip().lower()
        if value not in TRUE_WORDS | FALSE_WORDS:
            raise ConfigError(f"{name} is {value!r}; set it to 1 or 0.")
        return value in TRUE_WORDS

    def words(self, name: str) -> tuple[str, ...]:
        """Words between commas."""
        return tuple(word.strip() for word in self.text(name, "").split(",") if word.strip())

    def count(self, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
        """A whole number within limits."""
        value = self.text(name, str(default))
        if not value.isdecimal() or int(value) < least or (most is not None and int(value) > most):
            limits = f"{least} or more" if most is None else f"from {least} to {most}"
            raise ConfigError(f"{name} is {value!r}; it must be a whole number, {limits}.")
        return int(value)

    def seconds(self, name: str, default: float) -> float:
        """Seconds, more than none."""
        value = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) or float(value) <= 0:
            raise ConfigError(f"{name} is {value!r}; it must be a number of seconds, more than 0.")
        return float(value)

    def dollars(self, name: str) -> float | None:
        """An amount of money; None if it is not set."""
        value = self.text(name, "")
        if not value:
            return None
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
            raise ConfigError(f"{name} is {value!r}; it must be an amount in dollars, such as 2.50.")
        return float(value)

    def choice(self, name: str, default: Choice, allowed: tuple[Choice, ...]) -> Choice:
        """One of these."""
        value = self.text(name, default)
        for choice in allowed:
            if choice == value:
                return choice
        raise ConfigError(f"{name} is {value!r}; it must be one of: {', '.join(allowed)}.")
