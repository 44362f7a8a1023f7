"""Lists as a reader wants them: titles, categories, scores and the reason for each item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.segments import SEGMENTS
from recstage.models.base import Recommender

COLUMNS = ("user_id", "rank", "item_id", "title", "categories", "score", "method", "reason")
CHOSEN = 3
"""Latest items of a history that a line names."""


def described(
    model: Recommender,
    user_ids: Sequence[str],
    k: int = 10,
    *,
    catalogue: Catalogue | None = None,
    reasons: bool = True,
    exclude_seen: bool = True,
) -> pd.DataFrame:
    """The k best items of each user, a row an item, in `COLUMNS`. Titles and categories are those of `catalogue` (the
    model's own by default), '' where unknown; `method` is the model used; `reason` is '' without `reasons`."""
    known = catalogue if catalogue is not None else model.catalogue_
    rows = []
    for one in model.recommend_batch(list(user_ids), k, exclude_seen=exclude_seen):
        for rank, (item, score) in enumerate(zip(one.item_ids, one.scores, strict=True), 1):
            title, categories = about(known, item)
            reason = model.why(one.user_id, item).text if reasons else ""
            rows.append((one.user_id, rank, item, title, categories, float(score), one.method, reason))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def about(catalogue: Catalogue, item_id: str) -> tuple[str, str]:
    """Title and categories (joined by commas) of an item; '' where the catalogue does not know them."""
    at = int(catalogue.items.index_of([item_id])[0])
    if at < 0:
        return "", ""
    return str(catalogue.titles[at]), ", ".join(catalogue.categories[at])


def named(catalogue: Catalogue, item_id: str) -> str:
    """An item as a sentence names it: its title in quotation marks, else its id."""
    title = about(catalogue, item_id)[0]
    return f"'{title}'" if title else f"item {item_id}"


def history(model: Recommender, user_id: str, most: int | None = None) -> list[str]:
    """The items that a user chose in training, the latest first: ids."""
    users = model.known([user_id])
    liked = np.flatnonzero(users.weights > 0)[::-1]
    ids = model.items.id_of(users.items[liked]).tolist()
    return ids if most is None else ids[:most]


def examples(
    model: Recommender, user_ids: Sequence[str], segments: NDArray[np.object_], *, users: int = 3, k: int = 5
) -> pd.DataFrame:
    """Lists of a few of the tested users, one of each segment first, with what they chose last (`chosen`) and their
    `segment`."""
    chosen: list[int] = []
    for name in SEGMENTS:
        chosen += np.flatnonzero(segments == name)[:1].tolist()
    chosen += [i for i in range(len(user_ids)) if i not in chosen]
    chosen = sorted(chosen[:users])
    frame = described(model, [str(user_ids[i]) for i in chosen], k)
    segment = {str(user_ids[i]): segments[i] for i in chosen}
    last = {
        user: ", ".join(named(model.catalogue_, item) for item in history(model, user, CHOSEN)) or "nothing yet"
        for user in segment
    }
    return frame.assign(segment=frame["user_id"].map(segment), chosen=frame["user_id"].map(last))


def in_lines(frame: pd.DataFrame, catalogue: Catalogue) -> list[str]:
    """Markdown: a line a user with what they chose and what they are shown (`examples`)."""
    lines = []
    for user, rows in frame.groupby("user_id", sort=False):
        shown = "; ".join(f"{row.rank}. {named(catalogue, str(row.item_id))}" for row in rows.itertuples())
        first = rows.iloc[0]
        lines.append(f"- user `{user}` ({first['segment']}) chose {first['chosen']} and is shown {shown}")
    return lines
