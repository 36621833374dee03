"""Packs lookalike with hosted models, cache and PostgreSQL search into one folder or archive for a serverless function.

    python deploy/archive.py function.zip deploy/lambda/handler.py
    python deploy/archive.py function.zip deploy/lambda/handler.py --platform manylinux2014_aarch64 --python 3.12

What a function never uses is left out: tests and the command line's entry points. No model runs in it, so it has
neither onnxruntime nor torch. Python is compiled: a function's folder is read-only, so each start would do it anew.
"""

from __future__ import annotations

import argparse
import compileall
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 50 * 10**6
"""What AWS Lambda takes as a direct upload; Vercel takes about as much, compressed."""

LEFT_OUT = ("**/__pycache__", "**/tests", "bin", "**/*.pyi")
BUILT_IN_MODEL = "lookalike/models"


def main() -> None:
    """Pack, and say how large it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path, help="the .zip to write")
    parser.add_argument("files", type=Path, nargs="*", help="files to put at its top, such as deploy/lambda/handler.py")
    parser.add_argument("--platform", help="another platform than this one's, as pip names it")
    parser.add_argument("--python", help="another version of Python than this one, such as 3.12")
    parser.add_argument("--without-tiny", action="store_true", help="leave the built-in model out, about 7 MB")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder) / "installed"
        install(installed, pip_options(asked.platform, asked.python))
        prune(installed, with_tiny=not asked.without_tiny)
        for file in asked.files:
            shutil.copy(file, installed)
        if asked.python in (None, f"{sys.version_info.major}.{sys.version_info.minor}"):
            # Unchecked: an archive's times of change are rounded, and would make every file look changed.
            compileall.compile_dir(installed, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        n_bytes = pack(installed, asked.archive)
    print(f"{asked.archive}: {n_bytes / 1e6:.1f} MB")
    if n_bytes > MAX_BYTES:
        sys.exit(f"That is more than {MAX_BYTES / 1e6:.0f} MB.")


def pip_options(platform: str | None, python: str | None) -> list[str]:
    """How pip is told to install for elsewhere."""
    given = [("--platform", platform), ("--python-version", python)]
    return [part for option, value in given if value for part in (option, value)]


def install(folder: Path, options: list[str]) -> None:
    """This checkout, its dependencies and psycopg, in a folder."""
    with tempfile.TemporaryDirectory() as wheels:
        _pip("wheel", "--no-deps", "--wheel-dir", wheels, str(ROOT))
        (wheel,) = Path(wheels).glob("lookalike-*.whl")
        _pip("install", "--no-compile", "--only-binary=:all:", *options, "--target", str(folder), f"{wheel}[postgres]")


def prune(folder: Path, *, with_tiny: bool) -> None:
    """Take out what a function never uses."""
    for pattern in (*LEFT_OUT, *(() if with_tiny else (BUILT_IN_MODEL,))):
        for path in sorted(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def pack(folder: Path, archive: Path) -> int:
    """Every file of a folder in an archive; its size in bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder))
    return archive.stat().st_size


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pip {arguments[0]} failed:\n{done.stderr.strip()}")


if __name__ == "__main__":
    main()
