"""Few labels: several boosters, each stopped by another part of the users, are one.

Where a hundred users have labels, the part of them that stops the training is a dozen, and its best round is chance.
Each of the parts stops one booster that learns from the others, and their scores are added: Breiman, "Bagging
Predictors" (1996), with the samples of a cross-validation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from recstage.models.lambdarank.examples import Examples
from recstage.models.lambdarank.params import LambdaRankParams

FEW_GROUPS = 1000
"""Fewer users and steps with labels are few."""
_TREE = re.compile(r"^Tree=\d+$", re.MULTILINE)
_END = "end of trees"


def by_fold(
    examples: Examples, params: LambdaRankParams, n_users: int, seed: int
) -> list[tuple[Examples, Examples | None]]:
    """For each fold of the users the examples of the others, to learn from, and its own, to stop by."""
    fold = np.random.default_rng(seed).integers(0, params.folds, n_users)[examples.user]
    parts = [(examples.of(fold != one), examples.of(fold == one)) for one in range(params.folds)]
    return [
        (learning.with_negatives(params.negatives, seed + place), watched)
        for place, (learning, watched) in enumerate(parts)
        if len(learning.sizes) and len(watched.sizes)
    ]


def added(texts: Sequence[str]) -> str:
    """Boosters as LightGBM's text, of the same features, as one whose score is the sum of theirs."""
    if len(texts) == 1:
        return texts[0]
    head = texts[0][: texts[0].index("Tree=")]
    tail = texts[0][texts[0].index(_END) :]
    trees = [tree for text in texts for tree in _trees_of(text)]
    trees = [_TREE.sub(f"Tree={place}", tree, count=1) for place, tree in enumerate(trees)]
    sizes = " ".join(str(len(tree.encode())) for tree in trees)
    return re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", head, count=1, flags=re.MULTILINE) + "".join(trees) + tail


def _trees_of(text: str) -> list[str]:
    """Each from its "Tree=" up to the next."""
    places = [found.start() for found in _TREE.finditer(text)] + [text.index(_END)]
    return [text[start:stop] for start, stop in pairwise(places)]
