"""LightGBM's LambdaRank over candidates that other models generate."""

from recstage.models.lambdarank.model import LambdaRank

__all__ = ["LambdaRank"]
