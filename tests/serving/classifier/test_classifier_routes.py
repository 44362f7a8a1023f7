"""Texts are classified by Production; predicted categories are marked, and give way to a person's."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

from recstage.classifier import storage, training
from recstage.classifier.data.samples import LONGEST_TEXT
from recstage.config.classifier import ClassifierConfig, ClassifierSettings, LinearParams, TextSplitConfig
from recstage.steps.classification import texts
from serving.app import create_app
from serving.models.registry_sync import verify
from serving.models.repository import ProductionVersion
from serving.settings import ServingSettings
from serving.store.classification.predictions import Prediction
from serving.store.classification.tasks import PutPredictions, to_classify
from tests.classifier.small_texts import small_texts
from tests.serving.doubles import FakePointer

CRIME = "the detective found a murder suspect and police evidence in the old house"
DULL = "a quiet road"
SPACE = "a rocket leaves orbit for an alien planet, the starship follows"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Two versions of a small classifier as bundles."""
    data = small_texts()
    parts = training.split(data, TextSplitConfig(), 0)
    config = ClassifierConfig(linear=LinearParams(char_ngrams=0))
    made = training.train(data, parts, config, seed=0).classifier
    folder = tmp_path_factory.mktemp("classifier")
    for version in ("1", "2"):
        storage.save(made, folder / version, texts=list(data.texts))
    return folder


@pytest.fixture
def pointer(bundles):
    return FakePointer(ProductionVersion("item-classifier", "1", bundles / "1"))


@pytest.fixture
def client(tmp_path, pointer):
    settings = ServingSettings(
        bundle_dir=tmp_path / "serving",
        follow_registry=False,
        database_url=f"sqlite:///{tmp_path}/service.db",
        label_below=0.7,
    )
    with TestClient(create_app(settings, classifier_pointer=pointer)) as client:
        yield client


def test_texts_are_classified_by_production(client):
    found = client.post("/api/classify", json={"texts": [CRIME, SPACE]}).json()
    assert found["model_version"] == "1"
    assert [one["categories"][0]["category"] for one in found["results"]] == ["Crime", "Space"]
    assert all(0 < one["categories"][0]["confidence"] <= 1 for one in found["results"])


@pytest.mark.parametrize("text", ["", "   ", "x" * (LONGEST_TEXT + 1)])
def test_a_text_that_cannot_be_classified_is_a_problem(client, text):
    answer = client.post("/api/classify", json={"texts": [text]})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "texts" in answer.text


def test_a_megabyte_of_text_is_refused(client):
    assert client.post("/api/classify", json={"texts": ["x" * 1_000_000]}).status_code == 413


def test_without_a_version_texts_are_not_classified_and_items_are_still_stored(tmp_path):
    settings = ServingSettings(
        bundle_dir=tmp_path / "serving", follow_registry=False, database_url=f"sqlite:///{tmp_path}/service.db"
    )
    with TestClient(create_app(settings)) as client:
        answer = client.post("/api/classify", json={"texts": [CRIME]})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (503, "no-classifier")
        assert client.post("/api/items", json={"item_id": "a", "text": CRIME}).status_code == 201
        assert client.get("/api/items/a").json()["categories"] == []


def test_an_item_without_categories_gets_predicted_ones_with_their_confidence(client):
    client.post("/api/items", json={"item_id": "a", "text": CRIME})
    found = client.get("/api/items/a").json()
    assert found["categories"] == ["Crime"]
    assert found["predicted"].keys() == {"Crime"}
    assert "Crime" in client.get("/api/categories").text


def test_a_persons_categories_are_never_overwritten(client):
    client.post("/api/items", json={"item_id": "a", "text": CRIME, "categories": ["Space"]})
    client.post("/api/items", json={"item_id": "a", "title": "Again", "text": CRIME})
    found = client.get("/api/items/a").json()
    assert (found["title"], found["categories"], found["predicted"]) == ("Again", ["Space"], None)
    client.post("/api/items", json={"item_id": "a", "text": CRIME, "categories": []})
    assert client.get("/api/items/a").json()["categories"] == []
    client.post("/api/items", json={"item_id": "b", "text": CRIME})
    client.patch("/api/items/b", json={"categories": ["Romance"]})
    found = client.get("/api/items/b").json()
    assert (found["categories"], found["predicted"]) == (["Romance"], None)


def test_a_prediction_that_comes_late_leaves_a_persons_categories(client):
    client.post("/api/items", json={"item_id": "a", "text": CRIME, "categories": ["Space"]})
    store = client.app.state.store
    late = Prediction("a", {"Crime": 0.9}, 0.9, "1", False)
    assert store.writer.submit(PutPredictions([late])).result(timeout=20) == 0
    assert client.get("/api/items/a").json()["categories"] == ["Space"]


def test_the_least_sure_items_wait_for_a_label_and_the_label_is_training_data(client, tmp_path):
    client.post("/api/items", json={"items": [{"item_id": "dull", "text": DULL}, {"item_id": "a", "text": CRIME}]})
    queue = client.get("/api/classifier/queue").json()["items"]
    assert [one["item_id"] for one in queue] == ["dull"]
    wrong = client.post("/api/classifier/labels", json={"item_id": "dull", "categories": ["Crmie"]})
    assert wrong.status_code == 422
    assert "Did you mean 'Crime'" in wrong.text
    assert client.post("/api/classifier/labels", json={"item_id": "none", "categories": ["Crime"]}).status_code == 404
    done = client.post("/api/classifier/labels", json={"item_id": "dull", "categories": ["Western"], "new": True})
    assert done.status_code == 200
    assert client.get("/api/classifier/queue").json()["items"] == []
    client.post("/api/items", json={"item_id": "dull", "text": "a quiet road"})  # a nightly feed keeps the label
    (sample,) = texts.of_service(ClassifierSettings(url=f"sqlite:///{tmp_path}/service.db").url)
    assert (sample.text, sample.codes) == ("a quiet road", ("Western",))


def test_another_version_is_swapped_in_and_rolled_back_like_any_model(client, pointer, bundles):
    versions = client.app.state.service.classifier.versions
    for number in ("2", "1"):
        pointer.staged = ProductionVersion("item-classifier", number, bundles / number)
        versions.step()
        assert client.post("/api/classify", json={"texts": [CRIME]}).json()["model_version"] == number
    pointer.staged = ProductionVersion("item-classifier", "3", bundles / "3")
    versions.step()
    assert client.post("/api/classify", json={"texts": [CRIME]}).json()["model_version"] == "1"
    assert "item-classifier" in client.get("/health/ready").text or versions.failure is not None


def test_items_without_categories_and_those_of_another_version_are_classified_in_batches(client):
    client.post("/api/items", json={"item_id": "a", "text": CRIME})
    client.post("/api/items", json={"item_id": "b", "text": SPACE, "categories": ["Crime"]})
    client.post("/api/items", json={"item_id": "c", "text": SPACE, "categories": []})
    reader = client.app.state.store.reader
    assert [[one[0] for one in rows] for rows in to_classify(reader, "1", 10)] == [["c"]]
    assert [[one[0] for one in rows] for rows in to_classify(reader, "2", 1)] == [["a"], ["c"]]


def test_the_sync_process_verifies_a_classifiers_bundle(bundles, tmp_path):
    verify(bundles / "1")
    manifest = json.loads((bundles / "2" / "manifest.json").read_text())
    manifest["files"]["weights.safetensors"] = "0" * 64
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (bundles / "2").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Exception, match="does not match its SHA-256"):
        verify(copy)
