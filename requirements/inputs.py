"""Print what pyproject.toml asks for under the given headings, one requirement a line: the input of `make lock`.

A heading is "project" (the required dependencies), an extra or a dependency group.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main(headings: list[str]) -> None:
    """Print the requirements under each heading, in order."""
    pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    table = {
        "project": project["dependencies"],
        **project["optional-dependencies"],
        **pyproject["dependency-groups"],
    }
    for heading in headings:
        sys.stdout.writelines(f"{line}\n" for line in table[heading])


if __name__ == "__main__":
    main(sys.argv[1:])
