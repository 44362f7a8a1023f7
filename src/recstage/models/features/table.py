"""The table of features: the chosen groups side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recstage.data.tables.values.columns import Columns
from recstage.models.features.affinity import AffinityGroup
from recstage.models.features.attributes import ContextAttributes, ProfileAttributes
from recstage.models.features.candidates import Candidates
from recstage.models.features.content import ContentGroup
from recstage.models.features.context import ContextGroup
from recstage.models.features.group import Group, Past
from recstage.models.features.item import ItemGroup
from recstage.models.features.recency import RecencyGroup
from recstage.models.features.sequence import SequenceGroup
from recstage.models.features.stage import StageGroup
from recstage.models.features.user import UserGroup

GroupName = Literal[
    "stage", "sequence", "item", "user", "recency", "affinity", "content", "context", "profile", "request"
]
GROUPS: tuple[GroupName, ...] = get_args(GroupName)
"""Names of all groups, in the order of their columns."""
OF_ORDER: frozenset[GroupName] = frozenset({"sequence", "recency"})
"""Groups that read the order of histories."""


class FeatureTable:
    """Columns of the chosen groups, in the order of `GROUPS`, for the given retrievers, attributes of users and
    attributes of requests (`context`)."""

    def __init__(
        self,
        groups: Sequence[str],
        retrievers: Sequence[str],
        user_attributes: Sequence[str] = (),
        context: Sequence[str] = (),
    ) -> None:
        declared = {ProfileAttributes.name: user_attributes, ContextAttributes.name: context}
        chosen = [name for name in GROUPS if name in groups and declared.get(name, True)]
        self.groups: list[Group] = [_group(name, retrievers, user_attributes, context) for name in chosen]

    @property
    def names(self) -> list[str]:
        """Name of each column."""
        return list(self.meanings)

    @property
    def meanings(self) -> dict[str, str]:
        """Meaning of each feature, by name, in the order of the columns."""
        return {name: text for group in self.groups for name, text in group.features.items()}

    @property
    def group_of(self) -> dict[str, str]:
        """The group of each feature."""
        return {name: group.name for group in self.groups for name in group.features}

    def learn(self, past: Past) -> None:
        """Fit every group to the past."""
        for group in self.groups:
            group.learn(past)

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        """Features of p candidates: float32[p, n_features], C-contiguous."""
        out = np.empty((len(candidates), sum(len(group.features) for group in self.groups)), np.float32)
        start = 0
        for group in self.groups:
            out[:, start : start + len(group.features)] = group.compute(candidates)
            start += len(group.features)
        return out

    def unlearned(self, given: Columns) -> list[str]:
        """Keys of `given` whose value none of the groups has learnt."""
        return [key for group in self.groups for key in group.unlearned(given)]

    def state(self) -> dict[str, NDArray]:
        """Arrays of all groups, as GROUP.NAME."""
        return {f"{group.name}.{key}": value for group in self.groups for key, value in group.arrays.items()}

    def load(self, state: Mapping[str, NDArray]) -> None:
        """The inverse of `state`; other keys are ignored."""
        for group in self.groups:
            prefix = f"{group.name}."
            group.load({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})


def _group(name: str, retrievers: Sequence[str], user_attributes: Sequence[str], context: Sequence[str]) -> Group:
    if name == StageGroup.name:
        return StageGroup(retrievers)
    if name == ProfileAttributes.name:
        return ProfileAttributes(user_attributes)
    if name == ContextAttributes.name:
        return ContextAttributes(context)
    kinds = (SequenceGroup, ItemGroup, UserGroup, RecencyGroup, AffinityGroup, ContentGroup, ContextGroup)
    return next(kind for kind in kinds if kind.name == name)()
