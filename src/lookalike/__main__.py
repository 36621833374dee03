"""`python -m lookalike` is `lookalike`."""

from lookalike.cli import main

main(prog_name="lookalike")
