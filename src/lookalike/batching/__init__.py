"""The queue between those who ask and the workers: `queue`; what of it makes the next batch: `lanes`; how much of it
there may be: `room`; what is held against inputs: `guilt`."""

from lookalike.batching.guilt import Guilt
from lookalike.batching.lanes import SUSPICIOUS, Entry, Key, QueueLimits
from lookalike.batching.queue import Queue

__all__ = ["SUSPICIOUS", "Entry", "Guilt", "Key", "Queue", "QueueLimits"]
