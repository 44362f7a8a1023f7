"""A small data set whose right lists are obvious: users of a group choose the things of their group, nothing else."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions, Users

GROUPS, USERS, THINGS, CHOSEN = 4, 15, 10, 8
HIDDEN = "thing-0-9"
"""Chosen by all of its group, and no longer available."""
DISMISSER = "user-dismisser"
"""Dismissed three things and chose none."""
WORDS = ("rocket planet orbit", "kettle spoon oven", "violin chord tempo", "glacier summit rope")


@cache
def blocks() -> Interactions:
    """60 users who chose 8 of their group's 10 things each, in random order, and one who only dismissed."""
    random = np.random.default_rng(11)
    rows = []
    for user_id in range(GROUPS * USERS):
        group = user_id // USERS
        for moment, thing in enumerate(random.permutation(THINGS)[:CHOSEN]):
            rows.append((f"user-{user_id}", f"thing-{group}-{thing}", 1.0, moment))
    rows += [(DISMISSER, f"thing-{group}-0", 0.0, group) for group in range(3)]
    return Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "weight", "timestamp"]))


@cache
def catalogue() -> Catalogue:
    """Each group's things share words and a category; one thing is hidden."""
    items = blocks().items
    return Catalogue.from_frame(
        pd.DataFrame(
            {
                "item_id": items.ids,
                "title": [f"Thing {i}" for i in range(len(items))],
                "text": [WORDS[group_of(item)] for item in items.ids],
                "categories": [[f"group {group_of(item)}"] for item in items.ids],
                "available": [item != HIDDEN for item in items.ids],
            }
        ),
        items,
    )


def group_of(name: str) -> int:
    """Group of a user or a thing."""
    kind, number = name.split("-")[:2]
    return int(number) // USERS if kind == "user" else int(number)


def active_users() -> list[str]:
    """All users who chose something."""
    return [user for user in blocks().users.ids.tolist() if user != DISMISSER]


def disguised(users: Users) -> Users:
    """The same histories, of users unknown to training."""
    unknown = np.full(len(users), -1, np.int32)
    return Users(unknown, users.indptr, users.items, users.weights, users.timestamps, users.n_items)


def ids(prefix: str, n: int) -> IdMap:
    """n ids in order."""
    return IdMap(np.array([f"{prefix}{i:03}" for i in range(n)], dtype=object))
