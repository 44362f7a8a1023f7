"""Batch job: categories by the classifier in Production for all stored items that a person gave none."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import URL
from tqdm import tqdm

from recstage import registry
from recstage.classifier import storage
from recstage.classifier.data.files import joined
from serving.store.classification.predictions import Prediction
from serving.store.classification.tasks import PutPredictions, to_classify
from serving.store.db.reader import Reader
from serving.store.db.writer import Writer

ITEMS_PER_BATCH = 200


def classify_catalogue(url: URL, name: str, *, label_below: float) -> dict[str, Any]:
    """Classify items without categories, and those whose categories another version predicted; a person's are left.
    Items less sure than `label_below` join the queue. Raises `NoProduction`, `BundleError`, `StoreError`."""
    version = registry.production(name)
    _, classifier = storage.load(registry.fetch(version))
    number, stored, waiting = str(version.number), 0, 0
    reader, writer = Reader(url), Writer(url, busy_timeout=10.0)
    try:
        for rows in tqdm(to_classify(reader, number, ITEMS_PER_BATCH), desc="classify", disable=None, delay=2):
            found = classifier.classify([joined(title, text) for _, title, text in rows])
            some = []
            for (item_id, _, _), one in zip(rows, found, strict=True):
                labels = {label.category: label.confidence for label in one.labels}
                unsure = not labels or one.confidence < label_below
                some.append(Prediction(item_id, labels, one.confidence, number, unsure))
            stored += writer.submit(PutPredictions(some)).result()
            waiting += sum(one.needs_label for one in some)
    finally:
        writer.close()
        reader.close()
    return {"name": name, "model_version": number, "items": stored, "need_label": waiting}
