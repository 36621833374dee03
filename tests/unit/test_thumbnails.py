"""Thumbnails in terminals: who gets what, and that what is emitted is the picture."""

from __future__ import annotations

import base64
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lookalike.cli.thumbnails import (
    TILE_COLUMNS,
    TILE_PX,
    TILE_ROWS,
    Protocol,
    detect,
    n_fitting,
    render,
    row_of,
)

TERMINALS = {
    "kitty": ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1", "COLORTERM": "truecolor"}, Protocol.KITTY),
    "kitty, another TERM": ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, Protocol.KITTY),
    "Ghostty": ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, Protocol.KITTY),
    "iTerm2": ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, Protocol.ITERM),
    "iTerm2 over ssh": ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, Protocol.ITERM),
    "WezTerm": ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, Protocol.ITERM),
    "VS Code, started from kitty": (
        {"TERM": "xterm-256color", "TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1", "COLORTERM": "truecolor"},
        Protocol.BLOCKS,
    ),
    "tmux in kitty": (
        {"TERM": "tmux-256color", "TMUX": "/run/tmux", "KITTY_WINDOW_ID": "1", "COLORTERM": "truecolor"},
        Protocol.BLOCKS,
    ),
    "screen in iTerm2": ({"TERM": "screen.xterm-256color", "LC_TERMINAL": "iTerm2"}, Protocol.NONE),
    "true colour": ({"TERM": "foot", "COLORTERM": "24bit"}, Protocol.BLOCKS),
    "256 colours": ({"TERM": "xterm-256color"}, Protocol.NONE),
    "nothing known": ({}, Protocol.NONE),
}


def pictures(n: int) -> list[Image.Image]:
    """Pictures of random pixels, wide and high ones."""
    random = np.random.default_rng(n)
    sizes = [(300, 260), (210, 400), (192, 192)]
    return [
        Image.fromarray(random.integers(0, 256, (*sizes[i % 3], 3), np.uint8)).resize(sizes[i % 3]) for i in range(n)
    ]


def expected(image: Image.Image, side_px: int) -> np.ndarray:
    """The middle square of a picture."""
    return np.asarray(ImageOps.fit(image, (side_px, side_px), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("name", TERMINALS)
def test_each_terminal_gets_the_best_it_understands(name: str) -> None:
    """The protocol is read off the variables that a terminal sets for the programs in it."""
    env, protocol = TERMINALS[name]
    assert detect(env, True) is protocol


@pytest.mark.parametrize("name", TERMINALS)
def test_no_escapes_where_they_are_not_wanted(name: str) -> None:
    """A pipe, NO_COLOR and TERM=dumb get nothing, whatever else is set."""
    env, _ = TERMINALS[name]
    assert detect(env, False) is Protocol.NONE
    assert detect({**env, "NO_COLOR": "1"}, True) is Protocol.NONE
    assert detect({**env, "TERM": "dumb"}, True) is Protocol.NONE
    assert detect({**env, "NO_COLOR": ""}, True) is TERMINALS[name][1]  # no-color.org: an empty one does not count


def test_nothing_is_rendered_for_a_terminal_without_pictures() -> None:
    """Protocol.NONE, no pictures, and a window too narrow for one are the empty string."""
    assert render(pictures(2), Protocol.NONE, 200) == ""
    assert [render([], protocol, 200) for protocol in Protocol] == [""] * 4
    assert [render(pictures(1), protocol, TILE_COLUMNS - 1) for protocol in Protocol] == [""] * 4


def test_kitty_gets_the_pixels() -> None:
    """Joining the pieces of each transmission gives a PNG with the picture's middle square; no piece is too long."""
    images = pictures(3)
    out = render(images, Protocol.KITTY, 80)
    found: list[str] = []
    for keys, data in re.findall(r"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", out):
        assert len(data) <= 4096
        fields = dict(pair.split("=") for pair in keys.split(","))
        if "a" in fields:
            assert fields.items() >= {"a": "T", "f": "100", "q": "2", "c": "18", "r": "9"}.items()
            found.append("")
        found[-1] += data
        if fields["m"] == "1":
            assert len(data) % 4 == 0
        else:
            found[-1] += "|"
    assert all(data.count("|") == 1 and data.endswith("|") for data in found)
    for data, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(png(data[:-1]), expected(image, TILE_PX))


def test_iterm_gets_the_pixels() -> None:
    """Each inline file is a PNG of the stated size with the picture's middle square."""
    images = pictures(4)
    out = render(images, Protocol.ITERM, 80)
    files = re.findall(r"\x1b\]1337;File=inline=1;size=(\d+);width=18;height=9:([A-Za-z0-9+/=]+)\a", out)
    for (size, data), image in zip(files, images, strict=True):
        assert int(size) == len(base64.b64decode(data))
        np.testing.assert_array_equal(png(data), expected(image, TILE_PX))


def test_blocks_are_the_pixels() -> None:
    """The two colours of each half block are two pixels, one above the other; every line ends in plain text."""
    images = pictures(3)
    lines = render(images, Protocol.BLOCKS, 80).split("\n")
    assert len(lines) == TILE_ROWS
    drawn = np.zeros((2 * TILE_ROWS, len(images) * TILE_COLUMNS, 3), np.uint8)
    for row, line in enumerate(lines):
        cells = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀", line)
        colours = np.array(cells, np.int64).reshape(-1, 2, 3)
        drawn[2 * row : 2 * row + 2] = colours.transpose(1, 0, 2)
        assert line.endswith("\x1b[0m")
    np.testing.assert_array_equal(drawn, np.hstack([expected(image, TILE_COLUMNS) for image in images]))


@pytest.mark.parametrize("protocol", [Protocol.KITTY, Protocol.ITERM, Protocol.BLOCKS])
@pytest.mark.parametrize("columns", [18, 36, 37, 80, 200])
def test_a_row_never_wraps(protocol: Protocol, columns: int) -> None:
    """No more pictures are drawn than fit side by side, and no line is wider than the window."""
    out = render(pictures(30), protocol, columns)
    count = {Protocol.KITTY: out.count("a=T"), Protocol.ITERM: out.count("1337;File"), Protocol.BLOCKS: 0}[protocol]
    if protocol is Protocol.BLOCKS:
        widths = {len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in out.split("\n")}
        assert len(widths) == 1 and max(widths) <= columns
        count = (max(widths) + 1) // (TILE_COLUMNS + 1)
    assert count == n_fitting(columns) == (columns + 1) // 19


@pytest.mark.parametrize("protocol", [Protocol.KITTY, Protocol.ITERM])
def test_the_cursor_ends_below_the_row(protocol: Protocol) -> None:
    """Room for the row is made first, and the cursor goes back up as far as it goes down again."""
    out = render(pictures(2), protocol, 80)
    assert out.startswith("\n" * TILE_ROWS + f"\x1b[{TILE_ROWS}A")
    assert out.endswith(f"\r\x1b[{TILE_ROWS}B")
    assert out.count("\x1b7") == out.count("\x1b8") == 2


def test_a_broken_picture_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be read is drawn as a crossed square, so that the others stay where the table has them."""
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    Image.new("RGB", (50, 50), (1, 2, 3)).save(good)
    broken.write_bytes(b"not a picture")
    env = {"TERM": "foot", "COLORTERM": "truecolor"}
    assert row_of([broken, good], env) == ""  # captured output is no terminal
    with capsys.disabled():
        monkeypatch.setattr("sys.stdout", FakeTerminal())
        row = row_of([broken, tmp_path / "gone.png", good], env)
    first_line = row.split("\n")[0]
    assert first_line.count("▀") == 3 * TILE_COLUMNS
    assert first_line.count("38;2;1;2;3;48;2;1;2;3") == TILE_COLUMNS
    assert first_line.rindex("38;2;120;120;120") < first_line.index("38;2;1;2;3;")


class FakeTerminal(BytesIO):
    def isatty(self) -> bool:
        return True


def png(data: str) -> np.ndarray:
    """The pixels of a PNG in base64."""
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))))
