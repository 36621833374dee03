"""The command line as a process: closed pipes, full disks, terminals, interruptions, hostile file names."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from lookalike import Config, Index
from lookalike.cli import main
from lookalike.cli.output import shown
from lookalike.known import KNOWN_MODELS
from tests.faults.processes import heeding
from tests.pictures import noise, picture, write

ESCAPES = "red\x1b[31m\nname.png"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An index of four pictures, one of which cannot be read, two of them with names that a terminal would obey."""
    folder = tmp_path_factory.mktemp("terminal")
    files = {
        "pictures/plain.png": picture("red"),
        f"pictures/{ESCAPES}": picture("red"),
        "pictures/noise.png": noise(1),
        "pictures/bad\x1b[2J.png": b"x",
    }
    write(folder, files)
    environ = {**os.environ, "LOOKALIKE_INDEX": str(folder / "i.lookalike"), "LOOKALIKE_MODEL": "tiny"}
    with Index.create(config=Config.from_environ(environ)) as index:
        index.ingest([folder / "pictures"])
    return environ


def start(environment: dict[str, str], *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lookalike", *arguments]
    return subprocess.Popen(command, env=environment, stdout=stdout, stderr=subprocess.PIPE)


def in_terminal(environment: dict[str, str], *arguments: str, columns: int = 100) -> str:
    """What a terminal would be sent."""
    ours, theirs = pty.openpty()
    environment = {**environment, "COLUMNS": str(columns), "TERM": "xterm-256color"}
    process = start(environment, *arguments, stdout=theirs)
    os.close(theirs)
    sent = b""
    with suppress(OSError):  # Linux ends a terminal with an error
        while chunk := os.read(ours, 4096):
            sent += chunk
    os.close(ours)
    assert process.communicate()[1] == b""
    return sent.decode()


def test_a_name_is_shown_as_one_harmless_line() -> None:
    """Controls and bytes that are no text are written out; everything else, in whatever script, stays as it is."""
    assert shown("a\x1b[31mb\nc\x7f\x9b\udce9") == r"a\x1b[31mb\x0ac\x7f\x9b\xe9"
    assert shown("Überraschung, 写真 👗.jpg") == "Überraschung, 写真 👗.jpg"


@pytest.mark.parametrize(
    "arguments",
    [["search", "a red dress"], ["duplicates"], ["stats", "--failures"], ["search", "gone\x1b[31m.jpg"], ["index"]],
    ids=lambda arguments: arguments[0],
)
def test_no_name_reaches_the_terminal_raw(environment: dict[str, str], arguments: list[str]) -> None:
    """No escape sequence of a file name is printed, and no newline in one splits a line."""
    if arguments == ["index"]:
        arguments = ["index", str(Path(environment["LOOKALIKE_INDEX"]).parent / "pictures")]
    process = start(environment, *arguments)
    output = b"".join(process.communicate()).decode()
    assert "\x1b[31m" not in output and "\x1b[2J" not in output and "\nname" not in output
    assert r"\x1b[" in output


def test_no_name_reaches_the_table_raw(environment: dict[str, str]) -> None:
    """The table of a terminal has colours of its own, and none of a file name's."""
    table = in_terminal(environment, "search", "a red dress", columns=400)
    assert r"red\x1b[31m\x0aname.png" in table
    assert "red\x1b[31m" not in table


def test_a_path_is_never_broken(environment: dict[str, str]) -> None:
    """However narrow the terminal is, a path is printed whole and at the end of its line, so that it can be copied."""
    lines = click.unstyle(in_terminal(environment, "search", "a red dress", columns=40)).splitlines()
    folder = Path(environment["LOOKALIKE_INDEX"]).parent / "pictures"
    assert len(str(folder)) > 40
    assert any(line.endswith(f"  {folder / 'plain.png'}") for line in lines)


def test_no_colour_where_none_is_wanted(environment: dict[str, str]) -> None:
    """NO_COLOR switches colours off on a terminal; left empty it does not."""
    assert "\x1b[" not in in_terminal({**environment, "NO_COLOR": "1"}, "duplicates")
    assert "\x1b[" in in_terminal({**environment, "NO_COLOR": ""}, "duplicates")


@pytest.mark.parametrize("columns", [60, 120])
def test_the_list_of_models_fits_a_terminal(environment: dict[str, str], columns: int) -> None:
    """A person sees every model, its facts and what to do next, within the width of the terminal."""
    text = click.unstyle(in_terminal(environment, "models", "list", columns=columns))
    assert all(len(line) <= columns for line in text.splitlines())
    words = " ".join(text.split())
    assert all(model.note in words and f"{model.dim} dimensions" in words for model in KNOWN_MODELS)
    assert "lookalike models pull NAME" in words


@pytest.mark.parametrize("output", ["npy", "json"])
def test_a_reader_that_has_enough_is_no_error(environment: dict[str, str], output: str) -> None:
    """`| head` closes the pipe: no traceback, not a word."""
    process = start(environment, "embed", *map(str, range(300)), "--format", output)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_npy_is_a_numpy_file(environment: dict[str, str]) -> None:
    """What `--format npy` prints, NumPy loads."""
    answer, _ = start(environment, "embed", "a", "b", "--format", "npy").communicate()
    rows = np.load(io.BytesIO(answer), allow_pickle=False)
    assert rows.shape[0] == 2 and rows.dtype == np.float32


def test_npy_is_nothing_for_a_terminal(environment: dict[str, str]) -> None:
    """No bytes that a terminal might obey are written to one."""
    ours, theirs = pty.openpty()
    process = start(environment, "embed", "a", "--format", "npy", stdout=theirs)
    _, errors = process.communicate()
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 2
    assert b"write it into a file" in errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("arguments", [["stats", "--json"], ["embed", "a", "--format", "npy"]])
def test_a_full_disk_is_a_sentence(environment: dict[str, str], arguments: list[str]) -> None:
    """An answer that cannot be written is one sentence and status 1, also while the interpreter ends."""
    with Path("/dev/full").open("wb") as full:
        process = start(environment, *arguments, stdout=full.fileno())
        _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.decode() == "Error: Writing the answer failed: No space left on device.\n"


def test_only_index_says_that_it_goes_on(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130; that nothing is lost is said only where something is stored."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    config = Config.from_environ(environment)
    for method in ("ingest", "survey", "query"):
        monkeypatch.setattr(Index, method, interrupted)
    folder = str(config.index.parent / "pictures")
    told = [
        (["index", folder], "Interrupted. What was stored is safe; the same command goes on from here."),
        (["index", folder, "--dry-run", "--json"], "Interrupted."),
        (["search", "a red dress"], "Interrupted."),
    ]
    for arguments, said in told:
        result = CliRunner().invoke(main, arguments, obj=config)
        assert result.exit_code == 130
        assert result.stderr.splitlines()[-1] == said


def test_a_pipe_does_without_the_terminal_library(environment: dict[str, str]) -> None:
    """Neither rich nor the download client is loaded to print lines about a model that is here."""
    code = """if True:
        import atexit, sys
        from lookalike.cli import main
        atexit.register(lambda: print(*({"rich", "httpx2"} & set(sys.modules)), sep=",", file=sys.stderr))
        main(sys.argv[1:])
    """
    for arguments in (["search", "a red dress"], ["models", "list"], ["embed", "a"]):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stderr) == (0, "\n")


def test_ctrl_c_while_it_is_imported(environment: dict[str, str]) -> None:
    """The first moments of a command end with one word too, and with 130."""
    command = [sys.executable, "-X", "importtime", "-m", "lookalike", "search", "a red dress"]
    for module in (b" lookalike.errors\n", b" numpy.linalg\n"):
        process = heeding(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        while not (line := process.stderr.readline()).endswith(module):
            assert line, "it has ended"
        process.send_signal(signal.SIGINT)
        rest = process.communicate()[1]
        assert process.returncode == 130
        assert b"Interrupted." in rest and b"Traceback" not in rest


def test_ctrl_c_twice_ends_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    """However often and fast it is pressed, the status is 130, nothing is aborted, and the cursor is back."""
    write(tmp_path, {f"pictures/{seed}.png": noise(seed) for seed in range(300)})
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "lookalike", "index", str(tmp_path / "pictures"), "--index", str(tmp_path / "i")]
    process = heeding(command, env={**environment, "TERM": "xterm"}, stdout=theirs, stderr=theirs)
    os.close(theirs)
    sent = b""
    while b"Indexing" not in sent:
        sent += os.read(ours, 4096)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
    with suppress(OSError):
        while chunk := os.read(ours, 4096):
            sent += chunk
    os.close(ours)
    assert process.returncode == 130
    assert b"Interrupted." in sent and b"terminate" not in sent and b"Traceback" not in sent
    assert sent.rindex(b"\x1b[?25h") > sent.rindex(b"\x1b[?25l")
