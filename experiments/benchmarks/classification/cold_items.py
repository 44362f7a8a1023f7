"""What categories are worth to new items: recall of the content model with true, predicted and no categories.

The cold items are those whose texts the classifier was tested on: no interaction of theirs is in training, and the
classifier has not seen their labels. The content model learns from the other items with their true categories. For each
user with a history and at least one cold item among their interactions, the cold items are ranked against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recstage.classifier.data.files import joined
from recstage.classifier.model import Classifier
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.models.content.model import Content

CUTOFFS = (10, 20, 50)
START = 16
"""Characters by which texts are looked up."""
Categories = Sequence[tuple[str, ...]]


def cold_texts(catalogue: Catalogue, test_texts: Sequence[str]) -> dict[int, str]:
    """Items of the catalogue that a classifier was tested on, with the text it was given: title and text of the item
    begin with it (a catalogue may append names, such as actors)."""
    tested: dict[str, list[str]] = {}
    for text in test_texts:
        tested.setdefault(text[:START], []).append(text)
    found = {}
    for place, (title, text) in enumerate(zip(catalogue.titles, catalogue.texts, strict=True)):
        whole = joined(title, text)
        same = next((one for one in tested.get(whole[:START], ()) if whole.startswith(one)), None)
        if same is not None:
            found[place] = same
    return found


def predicted(classifier: Classifier, texts: Sequence[str]) -> Categories:
    """The categories that a classifier gives."""
    found = classifier.classify(texts)
    return [tuple(label.category for label in one.labels) for one in found]


def recalls(
    events: Interactions, catalogue: Catalogue, cold: NDArray[np.int64], ways: dict[str, Categories], params: dict
) -> dict[str, NDArray[np.float64]]:
    """Recall@CUTOFFS of each user with every way of describing the cold items: float64[users, cutoffs] by its name.

    `ways`: for each name the categories of the items in `cold`. The users are the same for all."""
    is_cold = np.zeros(len(catalogue.items), bool)
    is_cold[cold] = True
    warm = np.flatnonzero(~is_cold)
    kept = events.select(~is_cold[events.item_index] & (events.weight > 0))
    wanted = events.select(is_cold[events.item_index] & (events.weight > 0))
    train = Interactions.from_arrays(
        kept.users,
        IdMap(kept.items.ids[warm]),
        kept.user_index,
        np.searchsorted(warm, kept.item_index),
        kept.weight,
        kept.timestamp,
        ordered=kept.ordered,
    )
    model = Content(Content.Params(**params)).fit(
        train, catalogue=_part(catalogue, warm, [catalogue.categories[i] for i in warm.tolist()])
    )
    usable = (wanted.lengths > 0) & model.can_score(train.all_users)
    users = np.flatnonzero(usable)
    profiles = model.profiles(train.of(users))
    truth = wanted.of(users).matrix[:, cold].toarray() > 0
    return {
        name: _recall(profiles @ model.embed_items(_part(catalogue, cold, categories)).T, truth)
        for name, categories in ways.items()
    }


def _part(catalogue: Catalogue, rows: NDArray[np.int64], categories: Categories) -> Catalogue:
    return replace(
        catalogue,
        items=IdMap(catalogue.items.ids[rows]),
        titles=catalogue.titles[rows],
        texts=catalogue.texts[rows],
        categories=list(categories),
        available=catalogue.available[rows],
        attributes=catalogue.attributes.iloc[rows].reset_index(drop=True),
    )


def _recall(scores: object, truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Hits among the first k, over the smaller of k and the user's cold items: float64[users, cutoffs]."""
    order = np.argsort(-scores.toarray(), axis=1, kind="stable")  # type: ignore[attr-defined]
    hits = np.take_along_axis(truth, order, axis=1).cumsum(axis=1)
    most = truth.sum(axis=1)
    return np.column_stack([hits[:, k - 1] / np.minimum(k, most) for k in CUTOFFS])
