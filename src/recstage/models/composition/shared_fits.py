"""What the fits of one search have in common: components of a composite, fitted with the same parameters to the same
rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from recstage.models.base import Recommender

MOST_BYTES = 2 << 30
"""Components beyond so many bytes in all are fitted anew each time."""


@dataclass(eq=False)
class SharedFits:
    """Fitted components by what determines them."""

    _kept: dict[str, Recommender] = field(default_factory=dict)
    _bytes: int = 0

    def get(self, key: str, fit: Callable[[], Recommender]) -> Recommender:
        """The component of `key`, fitted if it is not kept. It must not be changed."""
        if key in self._kept:
            return self._kept[key]
        model = fit()
        size = sum(array.nbytes for array in model.state().values())
        if self._bytes + size <= MOST_BYTES:
            self._kept[key] = model
            self._bytes += size
        return model
