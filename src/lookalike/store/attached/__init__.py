"""Attached tables: a team's own pictures and vectors in PostgreSQL, searched and written where they are."""
