"""Renamed metrics under their names of version 0.1 as well, so that existing dashboards and alerts keep working.

A renamed metric is exposed under both names; a sample with a renamed label has both labels, so that sums stay right.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from recstage.renamed import LABELS, METRICS

OLD_NAMES = {new.removesuffix("_total"): old.removesuffix("_total") for old, new in METRICS.items()}


class WithOldNames(Collector):
    """The metrics of another collector, old names included."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        for family in self._collector.collect():
            family.samples = [_with_old_labels(sample) for sample in family.samples]
            yield family
            if family.name in OLD_NAMES:
                yield _by_old_name(family)


def _with_old_labels(sample: Sample) -> Sample:
    old_labels = {old: sample.labels[new] for old, new in LABELS.items() if new in sample.labels}
    return sample._replace(labels={**sample.labels, **old_labels}) if old_labels else sample


def _by_old_name(family: Metric) -> Metric:
    old = Metric(OLD_NAMES[family.name], f"Old name of {family.name}: use that", family.type)
    old.samples = [sample._replace(name=old.name + sample.name.removeprefix(family.name)) for sample in family.samples]
    return old
