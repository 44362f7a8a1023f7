"""Components with the preset that is best for the data: as good within a composite as they are alone."""

from __future__ import annotations

import logging

from recstage.config import model_config_of
from recstage.data.interactions import Interactions
from recstage.data.kind import kind_of
from recstage.models.base import Fitting
from recstage.models.composition.components import Component
from recstage.models.composition.selection import HeldOutUsers, best_of

log = logging.getLogger(__name__)


def with_best_preset(component: Component, rows: Interactions, fitting: Fitting, held: HeldOutUsers) -> Component:
    """The component with the params of its YAML or of one of the presets for such data, whichever ranks best by NDCG@10
    of the held-out users when fitted to `rows`. One whose params are overridden stays as it is. Raises what fits
    raise."""
    presets = {} if component.params else model_config_of(component.model).presets_for(kind_of(rows))
    if not presets:
        return component
    options = {"default": component}
    options |= {name: component.model_copy(update={"params": one.params}) for name, one in presets.items()}
    gains = {name: held.of_model(option.fit(rows, fitting)) for name, option in options.items()}
    best = best_of(gains)
    told = ", ".join(f"{name} {values.mean():.3f}" for name, values in gains.items())
    log.info("%s within a composite: preset %s, by NDCG@10 on validation: %s", component.name, best, told)
    return options[best]
