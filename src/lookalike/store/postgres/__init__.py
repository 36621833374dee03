"""The production store: items, contents, vectors and ledger in PostgreSQL with pgvector."""
