"""A lookalike service, used from Python: the same vectors and hits, or the same errors, within a deadline."""

from lookalike.client.client import Client
from lookalike.client.values import RemoteHits, RemoteVectors

__all__ = ["Client", "RemoteHits", "RemoteVectors"]
