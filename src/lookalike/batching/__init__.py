"""The queue between those who ask and the workers: `queue`; what of it makes the next batch: `lanes`."""

from lookalike.batching.lanes import SUSPICIOUS, Entry, Key, QueueLimits
from lookalike.batching.queue import Queue

__all__ = ["SUSPICIOUS", "Entry", "Key", "Queue", "QueueLimits"]
