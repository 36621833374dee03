"""A lookalike service, used from Python: the same vectors and hits, or the same errors, within a deadline."""

from lookalike.client.client import Client
from lookalike.client.values import NewItem, RemoteHits, RemoteJob, RemoteJobs, RemoteVectors

__all__ = ["Client", "NewItem", "RemoteHits", "RemoteJob", "RemoteJobs", "RemoteVectors"]
