"""The labelled texts that a setting names: a file, a catalogue of `conf/data`, or the service's own items."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import inspect, text

from recstage.classifier.data import files
from recstage.classifier.data.samples import Bad, LabelledTexts, Sample, labelled
from recstage.config import DataConfig, ServiceSource, check, with_whole_paths
from recstage.config.classifier import ClassifierSettings
from recstage.data import dataset
from recstage.data.catalogue import Catalogue
from recstage.data.snapshots.connection import connected
from recstage.errors import RecstageError

SERVICE = "service"
_ITEMS = "SELECT item_id, title, text FROM items WHERE deleted_at IS NULL ORDER BY item_id"
_NOT_PREDICTED = " WHERE item_id NOT IN (SELECT item_id FROM item_classifications)"
_CATEGORIES = "SELECT item_id, category FROM item_categories{where} ORDER BY item_id, position"


def load(settings: ClassifierSettings) -> LabelledTexts:
    """Raises `DataError`, `ConfigError` or `StoreError`, each with one line."""
    given, name, taxonomy = _given(settings)
    return labelled(
        name,
        given,
        classes=settings.classes,
        min_samples=settings.min_samples,
        strict=settings.strict,
        taxonomy=taxonomy,
    )


def _given(settings: ClassifierSettings) -> tuple[list[Sample | Bad], str, tuple[str, ...]]:
    data = settings.data
    if files.is_labelled_file(data) and not _is_a_data_set(data):
        samples, taxonomy = files.read(data)
        return samples, _name_of(data), taxonomy
    if data == SERVICE:
        return of_service(settings.url), SERVICE, ()
    config = with_whole_paths(check(DataConfig, dataset.config_of(data), data))
    loaded = dataset.load(dataset.located(config))
    return list(of_catalogue(loaded.catalogue)), config.name, ()


def _is_a_data_set(data: str) -> bool:
    """Whether it is the name of a YAML of conf/data."""
    if "/" in data or "." in data:
        return False
    try:
        dataset.config_of(data)
    except RecstageError:
        return False
    return True


def _name_of(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2].split(".")[0] or "texts"


def of_catalogue(catalogue: Catalogue) -> Iterator[Sample]:
    """Every item of a catalogue that has categories."""
    for place, item in enumerate(catalogue.items.ids.tolist()):
        codes = tuple(catalogue.categories[place])
        if codes:
            joined = files.joined(catalogue.titles[place], catalogue.texts[place])
            yield Sample(joined, codes, 1.0, f"item {item}")


def of_service(url: str) -> list[Sample | Bad]:
    """Items whose categories a person gave: posted with them, or labelled from the queue. Predicted ones are no
    labels. Raises `StoreError` where the database cannot be read."""
    with connected(ServiceSource(url=url)) as connection:
        known = inspect(connection).get_table_names()
        where = _NOT_PREDICTED if "item_classifications" in known else ""
        codes: dict[str, list[str]] = {}
        for item_id, category in connection.execute(text(_CATEGORIES.format(where=where))):
            codes.setdefault(item_id, []).append(category)
        rows = connection.execute(text(_ITEMS)).all()
    return [
        Sample(files.joined(title or "", body or ""), tuple(codes[item_id]), 1.0, f"item {item_id}")
        for item_id, title, body in rows
        if item_id in codes
    ]
