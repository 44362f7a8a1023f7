"""The base of all schemas."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """Base of every configuration object."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
