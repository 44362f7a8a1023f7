"""The features of the second stage: one path of code for training, for batches and for single requests."""

from recstage.models.features.candidates import Candidates, generate_candidates
from recstage.models.features.group import Group, Past
from recstage.models.features.table import GROUPS, OF_ORDER, FeatureTable, GroupName

__all__ = ["GROUPS", "OF_ORDER", "Candidates", "FeatureTable", "Group", "GroupName", "Past", "generate_candidates"]
