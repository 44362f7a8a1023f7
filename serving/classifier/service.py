"""Classifies texts with the version of the item classifier that is Production, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from recstage.classifier.data.files import joined
from recstage.classifier.model import Classified
from serving.classifier.loaded import LoadedClassifier
from serving.errors import Problem
from serving.models.version_manager import VersionManager
from serving.store.classification.predictions import Prediction


class ClassifierService:
    """One thread classifies: a model in compiled code already uses the processors that there are."""

    def __init__(self, versions: VersionManager[LoadedClassifier], label_below: float) -> None:
        """`label_below`: items whose categories are less sure than this wait for a person's label."""
        self.versions = versions
        self._label_below = label_below
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="classify")

    def stop(self) -> None:
        """Stop following the registry; texts that wait are dropped."""
        self.versions.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def loaded(self) -> LoadedClassifier:
        """The version that serves. Raises a 503 problem where there is none."""
        served = self.versions.served
        if served is None:
            raise Problem(503, "no-classifier", self.versions.why_not_ready())
        return served

    async def classify(self, texts: Sequence[str]) -> tuple[LoadedClassifier, list[Classified]]:
        """The categories of texts, none of which is empty or too long. Raises a 503 problem where nothing is served."""
        loaded = self.loaded()
        found = await asyncio.get_running_loop().run_in_executor(self._thread, loaded.classifier.classify, list(texts))
        return loaded, found

    def uncertain(self, found: Classified) -> bool:
        """Whether a person should label the text."""
        return not found.labels or found.confidence < self._label_below

    async def predictions(self, described: Sequence[tuple[str, str, str]]) -> dict[str, Prediction]:
        """Predictions for items (id, title, text) that have words, by id; none while no version serves."""
        texts = {item_id: joined(title, text) for item_id, title, text in described}
        texts = {item_id: text for item_id, text in texts.items() if text}
        if not texts or self.versions.served is None:
            return {}
        loaded, found = await self.classify(list(texts.values()))
        return {
            item_id: prediction_of(item_id, one, loaded.version, self.uncertain(one))
            for item_id, one in zip(texts, found, strict=True)
        }


def prediction_of(item_id: str, found: Classified, version: str, needs_label: bool) -> Prediction:
    """What is stored of a classified item."""
    labels = {label.category: label.confidence for label in found.labels}
    return Prediction(item_id, labels, found.confidence, version, needs_label)
