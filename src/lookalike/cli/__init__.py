"""The command line: `lookalike`. Each file here is one or a few commands; this one puts them together."""

from __future__ import annotations

import sys
from typing import Any

import click

import lookalike
from lookalike.cli.doctor import doctor
from lookalike.cli.embed import embed
from lookalike.cli.indexing import index
from lookalike.cli.inspecting import duplicates, stats
from lookalike.cli.models import models
from lookalike.cli.searching import search, similar
from lookalike.config import Config
from lookalike.errors import LookalikeError


class _Group(click.Group):
    """A group whose commands end with a sentence instead of a traceback when lookalike raises an error of its own."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LookalikeError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted. What was stored is safe; the same command goes on from here.", err=True)
            sys.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(lookalike.__version__, prog_name="lookalike")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Find pictures by words or by example.

    \b
      lookalike index ~/Pictures              make them findable; run it again whenever they change
      lookalike search "red dress on a beach"
      lookalike search photo.jpg --open       more like this, as a page in your browser
      lookalike doctor                        what is slow, missing or wrong here, and what to do
    """
    if ctx.obj is None:
        ctx.obj = Config.from_environ()


for command in (index, search, similar, duplicates, embed, stats, doctor, models):
    main.add_command(command)
