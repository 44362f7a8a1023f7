"""A linear map from what items are to the vectors that a model has learnt of them: vectors for items without events.

Ridge regression from the features of `text_svd`, as in Gantner, Drumond, Freudenthaler, Rendle and Schmidt-Thieme,
"Learning Attribute-to-Feature Mappings for Cold-Start Recommendations" (ICDM 2010); its strength is chosen by
leave-one-out error on the items that have vectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.models.content.text_svd import ItemFeatures

FACTORS = 64
STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10000.0)
FEWEST = 10
"""Items with vectors that a map is learnt from: with fewer, new items get the mean vector."""


def from_content(
    vectors: NDArray[np.float32], learnt: NDArray[np.bool_], catalogue: Catalogue, seed: int = 0
) -> NDArray[np.float32]:
    """`vectors` float32[n_items, d] with the rows that are not `learnt` (bool[n_items]) replaced by what the content of
    these items suggests; the mean of the learnt ones for items that nothing is known of."""
    out = vectors.copy()
    if learnt.all() or not learnt.any():
        return out
    out[~learnt] = vectors[learnt].mean(axis=0)
    described = np.array([bool(text) for text in catalogue.documents])
    wanted, examples = ~learnt & described, learnt & described
    if not wanted.any() or examples.sum() < FEWEST:
        return out
    found = ItemFeatures.learn(catalogue, FACTORS, seed)
    if found is None:
        return out
    features = found.of(catalogue)
    out[wanted] = regressed(features[examples], vectors[examples], features[wanted])
    return out


def regressed(
    features: NDArray[np.float32], vectors: NDArray[np.float32], wanted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The vectors (float32[m, d]) that features `wanted` (float32[m, f]) suggest, by those of n examples (`features`
    float32[n, f], `vectors` float32[n, d])."""
    from sklearn.linear_model import RidgeCV  # serving never updates, and shall not load it

    return np.asarray(RidgeCV(alphas=STRENGTHS).fit(features, vectors).predict(wanted), np.float32)
