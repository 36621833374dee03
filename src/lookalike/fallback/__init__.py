"""A way out when a model is down: another place that makes vectors of the very same space answers instead.

member (one who may answer) -> checked (answers the canary first) -> chain (who is asked, in which order) -> standby (a
chain in the place of a service's workers)
"""

from lookalike.fallback.chain import REST_S, Chain
from lookalike.fallback.checked import Checked
from lookalike.fallback.member import OPEN_S, Candidate
from lookalike.fallback.standby import Standby

__all__ = ["OPEN_S", "REST_S", "Candidate", "Chain", "Checked", "Standby"]
