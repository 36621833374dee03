"""Turn images and text into embeddings, and find pictures by words or by example."""

__version__ = "0.1.0"
