"""Items by their texts and categories."""

from recstage.models.content.model import Content

__all__ = ["Content"]
