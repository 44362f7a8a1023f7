"""Work on the processes of a Ray cluster: the only package of the library that imports Ray, which is an extra.

`session` connects to the cluster that RAY_ADDRESS names, or starts one on this machine; inside it a `Pool` calls one
function many times, on as many cores as there are, and tries again what was lost with a worker.
"""

from recstage.cluster.connection import ADDRESS_VARIABLE, needs_ray, session
from recstage.cluster.pool import Each, Ended, Pool, Report, Reported, Stopped, here, in_order

__all__ = [
    "ADDRESS_VARIABLE",
    "Each",
    "Ended",
    "Pool",
    "Report",
    "Reported",
    "Stopped",
    "here",
    "in_order",
    "needs_ray",
    "session",
]
