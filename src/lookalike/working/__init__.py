"""Orders done: from the queue, through the model, into the index. `run_feed` is the whole of it."""

from lookalike.working.embedding import HostedEmbedding as HostedEmbedding
from lookalike.working.embedding import ServiceEmbedding as ServiceEmbedding
from lookalike.working.indexing import Workplace as Workplace
from lookalike.working.lending import Lending as Lending
from lookalike.working.run import run_feed as run_feed
