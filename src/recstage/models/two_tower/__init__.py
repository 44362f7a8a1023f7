"""A transformer over the ordered history as the user tower; items are the other."""

from recstage.models.two_tower.model import TwoTower

__all__ = ["TwoTower"]
