"""API keys: what the settings and the file that they name say. Loads nothing of the web framework."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, cast, get_args
from urllib.parse import unquote

from lookalike.config import ServeSettings
from lookalike.errors import AccessDenied, ConfigError, InputError

Scope = Literal["embed", "search", "write"]
"""What a key allows: vectors; searching, and looking at items; changing the index."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
MIN_KEY_CHARS = 16

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what for they may ask.

    What each project is to a caller is decided here and nowhere else. What a key may not see is answered as what is not
    there, by the key and the request alone: neither an answer nor its time can tell whether it is.

    Attributes:
        name: Whose key it is.
        scopes: What the key allows.
        projects: What the key allows it with; None for every project.
    """

    name: str
    scopes: frozenset[Scope]
    projects: frozenset[str] | None = None

    def sees(self, project: str) -> bool:
        """Whether what belongs to this project may be shown, or even be known to be there."""
        return self.projects is None or project in self.projects

    def project_of(self, named: str | None) -> str | None:
        """The project that a request is about: what it names, or else the key's only one; None for all projects.

        Raises:
            InputError: It names none, and the key is for several.
        """
        if named is not None or self.projects is None:
            return named
        if len(self.projects) == 1:
            return next(iter(self.projects))
        names = ", ".join(repr(name) for name in sorted(self.projects))
        raise InputError(f"is missing, and this key is for several: say which of {names}.", item="project")

    def writes_to(self, named: str | None, *, default: str) -> str:
        """The project that a request changes; `default` where it names none and the key is for every project.

        Raises:
            AccessDenied: The key is not for it, whether there is one of that name or not.
            InputError: It names none, and the key is for several.
        """
        project = self.project_of(named) or default
        if not self.sees(project):
            raise AccessDenied(f"The key of {self.name!r} is not for the project that this names.", known=True)
        return project


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key: whose it is, and the sha256 of its text, which itself is not kept."""

    caller: Caller
    digest: bytes = field(repr=False)


def read_keys(settings: ServeSettings) -> list[ApiKey]:
    """The keys of the settings and of the file that they name.

    Raises:
        ConfigError: A line cannot be used, or a source of keys has none: that must not open the service to everybody.
    """
    keys: list[ApiKey] = []
    if settings.api_keys:
        keys += _parse("LOOKALIKE_API_KEYS", "entry", settings.api_keys.split(";"))
    if settings.api_keys_file is not None:
        place = f"LOOKALIKE_API_KEYS_FILE ({settings.api_keys_file})"
        try:
            lines = settings.api_keys_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"{place} cannot be read: {reason}.") from error
        keys += _parse(place, "line", lines)
    if len({key.digest for key in keys}) < len(keys):
        raise ConfigError("LOOKALIKE_API_KEYS, LOOKALIKE_API_KEYS_FILE: one key stands there twice; remove one.")
    return keys


def _parse(place: str, unit: str, lines: list[str]) -> list[ApiKey]:
    keys = list(_parsed(place, unit, lines))
    if not keys:
        raise ConfigError(f"{place} names no key: add one, as `name embed,search KEY`, or unset it.")
    return keys


def _parsed(place: str, unit: str, lines: list[str]) -> Iterator[ApiKey]:
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{place}, {unit} {number}"
        if len(words) not in (3, 4):
            raise ConfigError(
                f"{where} has {len(words)} words where it needs three, `name embed,search KEY`, or four, with projects "
                "at the end: `name search KEY shop-a,shop-b`."
            )
        name, scopes, key, *projects = words
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: the name must be 1 to 64 letters, digits, dots, dashes or underscores.")
        if not set(scopes.split(",")) <= set(SCOPES):
            raise ConfigError(f"{where}: the scopes must be of {', '.join(SCOPES)}, separated by commas only.")
        if len(key) < MIN_KEY_CHARS:
            raise ConfigError(f"{where}: the key is shorter than {MIN_KEY_CHARS} characters, so it can be guessed.")
        if not all("!" <= letter <= "~" for letter in key):
            raise ConfigError(f"{where}: the key has a character that no header carries: only ASCII can be used.")
        granted = cast(frozenset[Scope], frozenset(scopes.split(",")))
        allowed = _projects(projects[0], where) if projects else None
        yield ApiKey(Caller(name, granted, allowed), sha256(key.encode("utf-8")).digest())


def _projects(word: str, where: str) -> frozenset[str]:
    """The projects of a key; percent-encoded, so that a name may have spaces and commas."""
    names = frozenset(unquote(name) for name in word.split(","))
    if "" in names:
        raise ConfigError(f"{where}: the projects must be names, separated by commas only; leave them out for all.")
    return names
