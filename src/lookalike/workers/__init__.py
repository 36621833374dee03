"""The embedding service: supervised processes that decode pictures and run the model.

`pool` is what callers see; `slot` keeps one worker up; `process` is a worker seen from its parent, `child` what runs in
it; `channel` and `progress` lie between the two. `blame`, `damping` and `canary` decide; they start nothing.
"""

from lookalike.workers.pool import WorkerPlan, WorkerPool

__all__ = ["WorkerPlan", "WorkerPool"]
