"""Which parameters a model is fitted with: the YAML's, a preset, or what a search finds; all by validation rows."""

from recstage.steps.parameter_search.search import Budget, ParameterSearch, candidates, space_for

__all__ = ["Budget", "ParameterSearch", "candidates", "space_for"]
