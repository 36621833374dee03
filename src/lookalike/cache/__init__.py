"""Caches of vectors: in memory, in one SQLite file, in a PostgreSQL table, and in layers."""
