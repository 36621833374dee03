"""The command `lookalike`, and `python -m lookalike`.

A worker process imports its parent's main script again (docs.python.org, multiprocessing, "Safe importing of main
module"): of the command that is this file, which is why it imports nothing that costs.
"""

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["serve"]:
        from lookalike.service import prepare_service

        prepare_service()  # it works while the rest of the command line is imported
    from lookalike.cli import main as run

    run(prog_name="lookalike")


if __name__ == "__main__":
    main()
