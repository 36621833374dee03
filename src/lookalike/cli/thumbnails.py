"""A row of small pictures in terminals that can show them.

Which one can is read off its variables; nothing is asked of the terminal, whose answer could arrive too late and end
up in the user's next command. Inside tmux and screen, which by default let no pictures through, coloured blocks are
used.
"""

from __future__ import annotations

import base64
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from lookalike.cli.sheet import load_picture
from lookalike.errors import InputError

TILE_COLUMNS, TILE_ROWS = 18, 9
"""Cells of one picture, about a square, as a cell is about twice as high as wide; four to 80 columns."""

TILE_PX = 192
GAP = 1
_CHUNK = 4096
"""Characters of one piece of a picture, the most that kitty takes (sw.kovidgoyal.net/kitty/graphics-protocol)."""

ESC = "\x1b"


class Protocol(Enum):
    """How a terminal is told to show a picture; the value is its name for people."""

    KITTY = "kitty's graphics protocol"
    ITERM = "iTerm2's inline images"
    BLOCKS = "coloured blocks"
    NONE = "not shown"


def detect(env: Mapping[str, str], is_tty: bool) -> Protocol:
    """What the terminal understands.

    Args:
        env: TERM, TERM_PROGRAM, COLORTERM, NO_COLOR, KITTY_WINDOW_ID, TMUX, LC_TERMINAL, as far as they are set.
        is_tty: Whether the output goes to a terminal.
    """
    term, program = env.get("TERM", ""), env.get("TERM_PROGRAM", "").lower()
    if not is_tty or env.get("NO_COLOR") or term in ("", "dumb"):
        return Protocol.NONE
    if not (env.get("TMUX") or term.startswith(("tmux", "screen"))):
        if term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
            return Protocol.KITTY
        if program in ("iterm.app", "wezterm", "mintty"):
            return Protocol.ITERM
        # Both are inherited by other terminals that are started from within, which say so in TERM_PROGRAM.
        if not program and env.get("KITTY_WINDOW_ID"):
            return Protocol.KITTY
        if not program and env.get("LC_TERMINAL") == "iTerm2":
            return Protocol.ITERM
    return Protocol.BLOCKS if env.get("COLORTERM") in ("truecolor", "24bit") else Protocol.NONE


def row_of(paths: Sequence[Path], terminal: Mapping[str, str]) -> str:
    """The first few pictures, as many as fit side by side, ready to be printed; empty if they cannot be shown.

    Args:
        paths: Their files; one that cannot be read is shown as a crossed square.
        terminal: Variables as in `detect`.
    """
    protocol = detect(terminal, sys.stdout.isatty())
    if protocol is Protocol.NONE:
        return ""
    columns = shutil.get_terminal_size().columns
    return render([_load(path) for path in paths[: n_fitting(columns)]], protocol, columns)


def n_fitting(columns: int) -> int:
    """How many pictures fit side by side."""
    return max(0, columns + GAP) // (TILE_COLUMNS + GAP)


def render(images: Sequence[Image.Image], protocol: Protocol, columns: int) -> str:
    """The middle squares of RGB pictures side by side, as many as fit; no newline at the end."""
    shown = images[: n_fitting(columns)]
    if not shown or protocol is Protocol.NONE:
        return ""
    if protocol is Protocol.BLOCKS:
        return "\n".join(_block_rows(shown))
    draw = _kitty if protocol is Protocol.KITTY else _iterm
    step = f"{ESC}8{ESC}[{TILE_COLUMNS + GAP}C"
    # Make room first: a picture at the last line would scroll the screen under the saved place of the cursor.
    room = "\n" * TILE_ROWS + f"{ESC}[{TILE_ROWS}A"
    row = "".join(f"{ESC}7{draw(_square(image, TILE_PX))}{step}" for image in shown)
    return f"{room}{row}\r{ESC}[{TILE_ROWS}B"


def _kitty(image: Image.Image) -> str:
    data = _png(image)
    pieces = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    # q=2: no answer; it would appear as if it had been typed. C=1: leave the cursor alone.
    head = f"a=T,f=100,q=2,C=1,c={TILE_COLUMNS},r={TILE_ROWS},"
    return "".join(
        f"{ESC}_G{'' if number else head}m={int(number < len(pieces) - 1)};{piece}{ESC}\\"
        for number, piece in enumerate(pieces)
    )


def _iterm(image: Image.Image) -> str:
    data = _png(image)
    n_bytes = len(data) * 3 // 4 - data.count("=", -2)
    return f"{ESC}]1337;File=inline=1;size={n_bytes};width={TILE_COLUMNS};height={TILE_ROWS}:{data}\a"


def _block_rows(images: Sequence[Image.Image]) -> Iterator[str]:
    """One line of text for two lines of pixels: the upper half block has a colour before it and one behind it."""
    pixels = [np.asarray(_square(image, TILE_COLUMNS)).tolist() for image in images]
    for y in range(0, TILE_COLUMNS, 2):
        yield (f"{ESC}[0m" + " " * GAP).join(
            "".join(
                f"{ESC}[38;2;{upper[0]};{upper[1]};{upper[2]};48;2;{lower[0]};{lower[1]};{lower[2]}m▀"
                for upper, lower in zip(tile[y], tile[y + 1], strict=True)
            )
            for tile in pixels
        ) + f"{ESC}[0m"


def _square(image: Image.Image, side_px: int) -> Image.Image:
    return ImageOps.fit(image, (side_px, side_px), Image.Resampling.LANCZOS)


def _png(image: Image.Image) -> str:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _load(path: Path) -> Image.Image:
    try:
        return load_picture(str(path))
    except InputError:
        crossed = Image.new("RGB", (TILE_PX, TILE_PX), (120, 120, 120))
        draw = ImageDraw.Draw(crossed)
        draw.line((0, 0, TILE_PX, TILE_PX), fill=(170, 170, 170), width=4)
        draw.line((0, TILE_PX, TILE_PX, 0), fill=(170, 170, 170), width=4)
        return crossed
