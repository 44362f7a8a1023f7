"""Recommendations by the texts and categories of items."""

from recstage.models.content.model import Content

__all__ = ["Content"]
