"""Which parameters a model is fitted with: the YAML's, a preset, or what a search finds; all by validation rows."""

from recstage.steps.parameter_search.search import Budget, ParameterSearch, candidates, space_for
from recstage.steps.parameter_search.trials import TrialData, Tried, evaluate_briefly

__all__ = ["Budget", "ParameterSearch", "TrialData", "Tried", "candidates", "evaluate_briefly", "space_for"]
