"""Work on the processes of a Ray cluster: the only package of the library that imports Ray, which is an extra.

`session` connects to the cluster that RAY_ADDRESS names, or starts one on this machine; inside it a `Pool` calls one
function many times, on as many cores as there are, and `together` on every node at once; both try again what was lost
with a worker.
"""

from recstage.cluster.connection import ADDRESS_VARIABLE, needs_ray, session, started
from recstage.cluster.nodes import places
from recstage.cluster.pool import Each, Ended, Pool, Report, Reported, Stopped, here, in_order
from recstage.cluster.together import Member, MemberLost, together

__all__ = [
    "ADDRESS_VARIABLE",
    "Each",
    "Ended",
    "Member",
    "MemberLost",
    "Pool",
    "Report",
    "Reported",
    "Stopped",
    "here",
    "in_order",
    "needs_ray",
    "places",
    "session",
    "started",
    "together",
]
