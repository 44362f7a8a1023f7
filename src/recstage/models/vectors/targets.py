"""Item vectors whose dot product with a user's is the score, each perhaps times a number of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Targets:
    """`vectors` float32[n, d] as they lie in the bundle, and `scale` float32[n] or None.

    The product is made of whole catalogues only when it is asked for: a catalogue of a million items that an index
    searches then costs a process no copy.
    """

    vectors: NDArray[np.float32]
    scale: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def all(self) -> NDArray[np.float32]:
        """Every vector times its scale: float32[n, d]."""
        return self._all

    def of(self, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Those of some items: float32[..., d]."""
        if self.scale is None:
            return self.vectors[items]
        return self.vectors[items] * self.scale[items][..., None]

    def scores(self, query: NDArray[np.float32], items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Dot products of one query (float32[d]) with some items: float32[len(items)]."""
        found = self.vectors[items] @ query
        return found if self.scale is None else found * self.scale[items]

    @cached_property
    def _all(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.vectors if self.scale is None else self.vectors * self.scale[:, None])
