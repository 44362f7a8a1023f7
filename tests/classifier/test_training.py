import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy import sparse

from recstage.classifier import measures, storage, training
from recstage.classifier.data.samples import labelled
from recstage.classifier.families import linear
from recstage.config.classifier import ClassifierConfig, LinearParams, TextSplitConfig
from recstage.errors import BundleError, DataError, ExternalToolError, TooLittleData
from tests.classifier.small_texts import samples, small_texts


@pytest.fixture(scope="module")
def data():
    return small_texts()


@pytest.fixture(scope="module")
def parts(data):
    return training.split(data, TextSplitConfig(), 0)


@pytest.fixture(scope="module")
def classifier(data, parts):
    config = ClassifierConfig(linear=LinearParams(char_ngrams=3))
    return training.train(data, parts, config, seed=0).classifier


@pytest.fixture
def bundle(classifier, data, parts, tmp_path):
    folder = tmp_path / "bundle"
    storage.save(classifier, folder, texts=[data.texts[i] for i in parts.not_test])
    return folder


def test_the_parts_of_a_split_do_not_overlap(data, parts):
    rows = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(rows) == list(range(len(data)))


def test_the_linear_family_learns_what_the_words_say(classifier, data, parts):
    test = data.take(parts.test)
    probabilities = classifier.probabilities(test.texts)
    found = measures.summary(test.truth, probabilities, classifier.predicted(probabilities))
    assert found["mean_average_precision"] > 0.95
    assert found["macro_f1"] > 0.9
    (one,) = classifier.classify(["the detective found a murder suspect in the old house"])
    assert one.labels[0].category == "Crime"


def test_an_ngram_is_scaled_by_its_log_count_ratio():
    features = sparse.csr_matrix(np.array([[0.6, 0.0], [0.5, 0.8]]))  # the first in both texts, the second in one
    truth = np.array([[True], [False]])
    ratio = np.log([(2 / 3) / (2 / 4), (2 / 4) / (1 / 3)])  # counts, one more than they are, over their sum
    assert np.allclose(linear._scales(features, truth, 1.0, None)[:, 0], ratio)
    assert np.allclose(linear._scales(features, truth, 0.25, np.ones(2))[:, 0], 0.75 + 0.25 * ratio)
    assert np.all(linear._scales(features, truth, 0.0, None) == 1.0)


@pytest.mark.parametrize(("text", "rule"), [("  ", "it is empty"), ("x" * 1_000_000, "1,000,000 characters")])
def test_a_text_that_cannot_be_classified_is_told_in_one_line(classifier, text, rule):
    with pytest.raises(DataError, match=rule):
        classifier.classify([text])


def test_augmentation_enlarges_what_is_trained_on_and_copies_no_test_text(data, parts, monkeypatch):
    marked = replace(data, texts=tuple(f"{text} row{i}" for i, text in enumerate(data.texts)))
    seen = []
    fit = linear.fit
    monkeypatch.setattr(linear, "fit", lambda texts, *rest: seen.append(list(texts)) or fit(texts, *rest))
    training.train(marked, parts, ClassifierConfig(linear=LinearParams(char_ngrams=0)), seed=0, target_size=400)
    test_rows = {f"row{i}" for i in parts.test}
    assert len(seen[-1]) == 400
    assert len(set(seen[-1])) > len(parts.not_test)
    assert all(test_rows.isdisjoint(text.split()) for texts in seen for text in texts)


def test_without_the_extra_a_transformer_is_refused_in_one_line(data, parts, monkeypatch):
    for name in ("transformers", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExternalToolError, match="it needs transformers, tokenizers, not installed here"):
        training.train(data, parts, ClassifierConfig(family="ensemble"), seed=0)


def test_too_few_texts_are_told_in_one_line():
    with pytest.raises(TooLittleData, match="at least 20 are needed"):
        training.split(small_texts(15, seed=1), TextSplitConfig(), 0)


def test_a_code_that_every_text_has_is_given_to_every_text():
    given = [replace(one, codes=(*one.codes, "Film")) for one in samples(60)]
    data = labelled("topics", given, min_samples=5, strict=True)
    config = ClassifierConfig(linear=LinearParams(char_ngrams=0))
    made = training.train(data, training.split(data, TextSplitConfig(), 0), config, seed=0).classifier
    assert all("Film" in [label.category for label in one.labels] for one in made.classify(data.texts[:9]))


def test_a_loaded_classifier_answers_as_the_saved_one_and_holds_no_pickle(classifier, bundle, data):
    manifest, loaded = storage.load(bundle)
    assert np.allclose(loaded.probabilities(data.texts[:20]), classifier.probabilities(data.texts[:20]), atol=1e-6)
    assert manifest.labels == list(data.labels)
    assert sorted(path.suffix for path in bundle.iterdir()) == [".json", ".json", ".safetensors"]
    assert storage.is_classifier(bundle)


def test_a_label_map_that_does_not_fit_the_weights_is_refused(bundle):
    content = json.loads((bundle / "manifest.json").read_text())
    content["labels"].append("Western")
    content["thresholds"].append(0.5)
    (bundle / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="label map of 4 classes does not fit its weights, which have 3"):
        storage.load(bundle)


def test_labels_in_another_order_are_found_out_by_the_golden_texts(bundle):
    arrays = load_file(bundle / "weights.safetensors")
    arrays["linear.coefficients"] = np.ascontiguousarray(arrays["linear.coefficients"][:, ::-1])
    save_file(arrays, bundle / "weights.safetensors")
    with pytest.raises(BundleError, match=r"weights.safetensors does not match its SHA-256"):
        storage.load(bundle)
    content = json.loads((bundle / "manifest.json").read_text())
    content["files"]["weights.safetensors"] = storage._sha256((bundle / "weights.safetensors").read_bytes())
    (bundle / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="must answer as it did"):
        storage.load(bundle)
