"""Hyperparameter search: the only package that imports Optuna."""

from recstage.tuning.study import PRUNED, Objective, Search, Trial, search, study_name
from recstage.tuning.workers import Outcome, Step, Workers

__all__ = ["PRUNED", "Objective", "Outcome", "Search", "Step", "Trial", "Workers", "search", "study_name"]
