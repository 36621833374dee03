"""Options that several commands share, each a decorator that changes the configuration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from lookalike.config import Config
from lookalike.environment import expanded
from lookalike.places import place_of
from lookalike.spaces import Orientation, Precision

Command = TypeVar("Command", bound=Callable[..., Any])


class WholeNumber(click.IntRange):
    """A whole number within limits; whatever else is typed is refused with these limits."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of what was typed."""
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            limits = f"of {self.min} or more" if self.max is None else f"from {self.min} to {self.max}"
            self.fail(f"{str(value)!r} is no whole number {limits}.", param, ctx)


def _setting(name: str, *declarations: str, **attributes: Any) -> Callable[[Command], Command]:
    """An option whose value, if given, replaces the configuration's `name`."""

    def put(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            if ctx.obj is None:
                ctx.obj = Config.from_environ()
            if isinstance(value, Path):
                value = expanded(value, declarations[0])
            ctx.obj = replace(ctx.obj, **{name: value})

    return click.option(*declarations, expose_value=False, callback=put, **attributes)


index_option = _setting(
    "index",
    "--index",
    type=place_of,
    metavar="PLACE",
    help="Where the index is: a folder or a PostgreSQL URL.  [$LOOKALIKE_INDEX]",
)
model_option = _setting(
    "model",
    "--model",
    metavar="NAME",
    help="Name or folder of a model; see `lookalike models list`.  [$LOOKALIKE_MODEL]",
)
precision_option = _setting(
    "precision",
    "--precision",
    type=click.Choice(get_args(Precision)),
    help="exact (default), or int8: two to four times as fast, cosine to exact at least 0.999; bf16 on OpenVINO.",
)
orientation_option = _setting(
    "orientation",
    "--orientation",
    type=click.Choice(get_args(Orientation)),
    help="Turn photos upright as EXIF says (apply, default), or not (ignore).",
)
threads_option = _setting("threads", "--threads", type=WholeNumber(min=1), help="Cores to use; all by default.")
max_cost_option = _setting(
    "max_cost_usd",
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="DOLLARS",
    help="End before a hosted model has cost more; run it again to go on.  [$LOOKALIKE_MAX_COST_USD]",
)
cache_option = _setting(
    "cache",
    "--cache",
    metavar="PLACE",
    help="Where the cache is: auto, a file or a PostgreSQL URL.  [$LOOKALIKE_CACHE]",
)


def column_option(roles: Sequence[str]) -> Callable[[Command], Command]:
    """--column ROLE=NAME, as often as wanted: the columns of a table by role; only metadata may be several."""

    def by_role(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, list[str]]:
        columns: dict[str, list[str]] = defaultdict(list)
        for value in values:
            role, _, name = value.partition("=")
            if role not in roles or not name:
                raise click.BadParameter(f"{value!r} is not ROLE=NAME with one of the roles {', '.join(roles)}.")
            if columns[role] and role != "metadata":
                raise click.BadParameter(f"{role!r} is named twice; only metadata may be several columns.")
            columns[role].append(name)
        return dict(columns)

    return click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="ROLE=NAME",
        callback=by_role,
        help=f"Which column of the table is for what: {', '.join(roles)}. Usual names are known.",
    )


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
project_option = click.option("--project", metavar="NAME", help="Only this project.")


@dataclass(frozen=True, slots=True)
class Output:
    """How an answer is shown.

    Attributes:
        as_json: Print JSON instead of a table.
        html: File to write a page with the pictures to, if any.
        show: Open that page in the browser.
    """

    as_json: bool
    html: Path | None
    show: bool


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """--json, --html and --open, handed to the command as one `output`."""

    @click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page with the pictures.")
    @click.option("--open", "show", is_flag=True, help="Show that page in the browser.")
    @json_option
    @wraps(command)
    def with_output(*args: Any, html: Path | None, show: bool, as_json: bool, **kwargs: Any) -> None:
        command(*args, output=Output(as_json, html, show), **kwargs)

    return with_output
