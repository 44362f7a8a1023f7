"""A transformer over the ordered history as the user tower; the other tower embeds items."""

from recstage.models.two_tower.model import TwoTower

__all__ = ["TwoTower"]
