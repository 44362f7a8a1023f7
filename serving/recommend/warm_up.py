"""The first requests of a newly loaded version, sent before any user's."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from serving.models.loaded_model import LoadedModel
from serving.recommend.ranking import recommend
from serving.recommend.request import RecommendationRequest

WARM_UP_REQUESTS = 20
UNKNOWN_USER = "\x00unknown"
"""An id that no data set holds."""


def warm_up(served: LoadedModel, slow_model_ms: float) -> LoadedModel:
    """The version with its caches filled, marked `slow` where its median list takes longer than `slow_model_ms`."""
    assert served.source is not None
    users = [golden.user_id for golden in served.source.manifest.golden] or [""]
    seconds = []
    for i in range(WARM_UP_REQUESTS):
        started = time.perf_counter()
        recommend(served, RecommendationRequest(users[i % len(users)]))
        seconds.append(time.perf_counter() - started)
    recommend(served, RecommendationRequest(UNKNOWN_USER, diversify=0.7))
    return replace(served, slow=float(np.median(seconds)) * 1000 > slow_model_ms)
