"""The application and all that it needs, made once in the process that workers are forked from (`serving.workers`).

Objects are exempted from garbage collection before the fork: a collection would write to them, and so end the sharing
of their memory.
"""

import gc

import pyarrow.dataset  # noqa: F401
import pyarrow.parquet  # noqa: F401

import recstage.data.sources.service  # noqa: F401
import recstage.models.factorization.als  # noqa: F401
from serving.app import from_environment

application = from_environment()
gc.collect()
gc.freeze()
