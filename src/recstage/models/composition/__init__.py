"""Composite models: how their components are named and fitted, and which of them serve which users."""

from recstage.models.composition.components import (
    Component,
    Components,
    is_composite,
    named,
    updated_parts,
    with_members,
    without_order,
)
from recstage.models.composition.shared_fits import SharedFits

__all__ = [
    "Component",
    "Components",
    "SharedFits",
    "is_composite",
    "named",
    "updated_parts",
    "with_members",
    "without_order",
]
