"""The library in a notebook: `recstage.fit` and `recstage.load` give a fitted model that answers in DataFrames.

The same code as the steps: data sources and splits, models, evaluation, bundles. Nothing is written down unless `log`
asks for it.
"""

from recstage.interactive.fitted import FittedModel
from recstage.interactive.fitting import fit
from recstage.interactive.lists import Lists
from recstage.interactive.loading import load

__all__ = ["FittedModel", "Lists", "fit", "load"]
