"""One version of the item classifier, loaded and verified; a request takes one reference to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from recstage.classifier import storage
from recstage.classifier.model import Classifier
from recstage.classifier.storage import ClassifierManifest
from serving.models.memory import check_fits
from serving.models.repository import ProductionVersion


@dataclass(frozen=True, eq=False)
class ClassifierSource:
    """The registry version and the manifest that a classifier was read from."""

    staged: ProductionVersion
    manifest: ClassifierManifest


@dataclass(frozen=True, eq=False)
class LoadedClassifier:
    """What `serving.models.version_manager` swaps in and out, as it does recommenders."""

    classifier: Classifier
    source: ClassifierSource
    swapped_at: datetime

    @classmethod
    def load(cls, staged: ProductionVersion, now: datetime) -> LoadedClassifier:
        """Load a bundle, check every digest and the golden answers. Raises `BundleError`, or `ExternalToolError` where
        the version needs the extra `text`."""
        check_fits(staged.folder)
        manifest, classifier = storage.load(staged.folder)
        return cls(classifier, ClassifierSource(staged, manifest), now)

    @property
    def version(self) -> str:
        return self.source.staged.version

    @property
    def algorithm(self) -> str:
        return self.source.manifest.algorithm

    def restaged(self, staged: ProductionVersion) -> LoadedClassifier:
        """The same version, promoted again."""
        return replace(self, source=replace(self.source, staged=staged))

    def popularity_alone(self) -> None:
        """Nothing: without a version in Production, nothing is classified."""
