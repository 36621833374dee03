"""The command line: `lookalike`. Each file here is one or a few commands; this one puts them together."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Any

import click

import lookalike
from lookalike.cli.bridge import bridge
from lookalike.cli.cache import cache
from lookalike.cli.copying import copy_
from lookalike.cli.cost import cost
from lookalike.cli.db import db
from lookalike.cli.doctor import doctor
from lookalike.cli.embed import embed
from lookalike.cli.forgetting import forget
from lookalike.cli.importing import import_
from lookalike.cli.indexing import index
from lookalike.cli.inspecting import duplicates, stats
from lookalike.cli.jobs import jobs
from lookalike.cli.models import models
from lookalike.cli.output import shown
from lookalike.cli.parity import parity
from lookalike.cli.searching import search, similar
from lookalike.cli.serving import serve
from lookalike.cli.spaces import spaces
from lookalike.cli.usage import usage
from lookalike.cli.working import worker
from lookalike.config import Config
from lookalike.errors import LookalikeError


class _Group(click.Group):
    """A group whose commands end with a sentence instead of a traceback when lookalike raises an error of its own."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LookalikeError as error:
            raise click.ClickException(shown(str(error))) from error
        except KeyboardInterrupt as error:
            click.echo(f"\nInterrupted. {error}".rstrip(), err=True)
            sys.exit(130)
        except OSError as error:
            if error.errno == errno.EPIPE:  # `| head` has seen enough: click ends without a word
                raise
            _abandon_output()
            place = f"{shown(str(error.filename))}: " if error.filename else "Writing the answer failed: "
            raise click.ClickException(f"{place}{error.strerror or error}.") from error


def _abandon_output() -> None:
    """Let what could not be written go, or the interpreter would try once more at its end, and fail with a traceback.

    See docs.python.org/3/library/signal.html#note-on-sigpipe.
    """
    with suppress(OSError):  # a standard output that is no file of the system has nothing to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(lookalike.__version__, prog_name="lookalike")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Find pictures by words or by example.

    \b
      lookalike index ~/Pictures              make them findable; run it again whenever they change
      lookalike search "red dress on a beach"
      lookalike search photo.jpg --open       more like this, as a page in your browser
      lookalike serve                         the same over HTTP, and OpenAI's embeddings API
      lookalike doctor                        what is slow, missing or wrong here, and what to do
    """
    if ctx.obj is None:
        ctx.obj = Config.from_environ()
    if ctx.obj.terminal.get("NO_COLOR"):  # no-color.org; rich looks for itself
        ctx.color = False


for command in (
    index,
    search,
    similar,
    duplicates,
    embed,
    serve,
    worker,
    jobs,
    import_,
    copy_,
    forget,
    stats,
    doctor,
    models,
    cost,
    usage,
    cache,
    parity,
    bridge,
    db,
    spaces,
):
    main.add_command(command)
