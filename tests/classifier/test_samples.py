import gzip
import json

import numpy as np
import pytest

from recstage.classifier.data import files
from recstage.classifier.data.augmentation import augmented
from recstage.classifier.data.samples import LONGEST_TEXT, Bad, Sample, labelled
from recstage.classifier.data.stratification import random_parts, stratified_parts
from recstage.errors import ConfigError, DataError, TooLittleData
from tests.classifier.small_texts import samples, small_texts


def test_json_with_metadata_is_read(tmp_path):
    file = tmp_path / "texts.json"
    content = {
        "metadata": {"taxonomy": ["A", "B"]},
        "samples": [
            {"text": "one", "taxonomy_codes": ["A"], "confidence": 0.5},
            {"text": "two", "taxonomy_codes": "A|B"},
        ],
    }
    file.write_text(json.dumps(content))
    found, taxonomy = files.read(str(file))
    assert taxonomy == ("A", "B")
    assert found == [Sample("one", ("A",), 0.5, "sample 1"), Sample("two", ("A", "B"), 1.0, "sample 2")]


def test_json_lines_and_csv_give_the_same_samples(tmp_path):
    lines = [{"title": "Heat", "plot": "A robbery.", "genres": ["Crime", "Drama"]}]
    jsonl, table = tmp_path / "films.jsonl.gz", tmp_path / "films.csv"
    jsonl.write_bytes(gzip.compress(json.dumps(lines[0]).encode()))
    table.write_text("title,plot,genres,confidence\nHeat,A robbery.,Crime;Drama,\n")
    expected = ("Heat. A robbery.", ("Crime", "Drama"), 1.0)
    for file in (jsonl, table):
        (one,), _ = files.read(str(file))
        assert (one.text, one.codes, one.confidence) == expected


def test_people_follow_the_text_as_in_a_catalogue_and_tags_do_not(tmp_path):
    film = {
        "title": "Heat",
        "director": "Michael Mann",
        "plot": "A robbery.",
        "actors": ["Al Pacino", None, "Robert De Niro"],
    }
    given = files.sample_of({**film, "genres": ["Crime"], "tags": "Crime"}, "")
    assert given.text == "Heat. A robbery. Michael Mann Al Pacino Robert De Niro"
    table = tmp_path / "films.csv"
    table.write_text(",title,plot,actors,genres\n7,Heat,A robbery.,Al Pacino,Crime,too many\n")
    (one,), _ = files.read(str(table))
    assert one.text == "Heat. A robbery. Al Pacino"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("text", "it is no object"),
        ({"text": 3, "taxonomy_codes": ["A"]}, "its text is no text"),
        ({"text": "x", "taxonomy_codes": 3}, "its codes are no list of texts"),
        ({"text": "x", "taxonomy_codes": ["A"], "confidence": 2}, "its confidence is no number above 0"),
        ({"text": "x", "taxonomy_codes": ["A"], "confidence": True}, "its confidence is no number above 0"),
    ],
)
def test_a_bad_sample_says_where_and_why(values, reason):
    found = files.sample_of(values, "line 7")
    assert isinstance(found, Bad)
    assert found.place == "line 7"
    assert reason in found.reason


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (Sample(" ", ("Crime",)), "its text is empty"),
        (Sample("x" * (LONGEST_TEXT + 1), ("Crime",)), "longer than"),
        (Sample("x", ()), "it has no codes"),
        (Sample("x", ("Western",)), "metadata.taxonomy does not list (Western)"),
    ],
)
def test_samples_that_cannot_be_used_are_counted_and_strict_refuses_them(sample, reason):
    given = [*samples(60), sample]
    taxonomy = ("Crime", "Romance", "Space")
    found = labelled("topics", given, min_samples=5, strict=False, taxonomy=taxonomy)
    assert sum(found.dropped.values()) == 1
    with pytest.raises(DataError, match="1 bad sample: ") as error:
        labelled("topics", given, min_samples=5, strict=True, taxonomy=taxonomy)
    assert reason in str(error.value)


def test_one_class_and_one_sample_a_class_are_told_in_one_line():
    one = [Sample(f"text {i}", ("Crime",)) for i in range(50)]
    with pytest.raises(TooLittleData, match="two codes of at least 5 samples, and 1 has"):
        labelled("topics", one, min_samples=5, strict=False)
    single = [Sample(f"text {i}", (f"code {i}",)) for i in range(50)]
    with pytest.raises(TooLittleData, match="and 0 has"):
        labelled("topics", single, min_samples=2, strict=False)


def test_an_unknown_class_names_the_valid_ones():
    with pytest.raises(ConfigError, match="Did you mean 'Crime'"):
        labelled("topics", samples(60), classes=("Crme",), min_samples=5, strict=False)


def test_the_same_text_twice_becomes_one_sample_with_the_codes_of_both():
    given = [*samples(60), Sample("the very same", ("Crime",)), Sample("the very same", ("Space",))]
    found = labelled("topics", given, min_samples=5, strict=True)
    row = found.truth[found.texts.index("the very same")]
    assert [label for label, on in zip(found.labels, row, strict=True) if on] == ["Crime", "Space"]
    assert found.dropped == {"the same text again: merged": 1}


def test_every_part_of_a_stratified_split_has_its_share_of_every_label():
    random = np.random.default_rng(0)
    truth = random.random((1000, 6)) < np.array([0.5, 0.3, 0.1, 0.05, 0.02, 0.012])
    part = stratified_parts(truth, (0.2, 0.8), 0)
    assert 195 <= (part == 0).sum() <= 205
    share = truth[part == 0].sum(axis=0) / truth.sum(axis=0)
    assert np.all(np.abs(share * truth.sum(axis=0) - 0.2 * truth.sum(axis=0)) <= 1.5)
    assert np.array_equal(part, stratified_parts(truth, (0.2, 0.8), 0))
    assert not np.array_equal(part, stratified_parts(truth, (0.2, 0.8), 1))


def test_augmentation_adds_changed_copies_of_training_texts_and_is_seeded():
    data = small_texts(40)
    texts, origin = augmented(data.texts, data.truth, 100, seed=3)
    assert len(texts) == len(origin) == 100
    assert texts[:40] == list(data.texts)
    for text, place in zip(texts[40:], origin[40:], strict=True):
        assert set(text.split()) <= set(data.texts[place].split())
    assert augmented(data.texts, data.truth, 100, seed=3)[0] == texts
    assert augmented(data.texts, data.truth, 30, seed=3)[0] == list(data.texts)


def test_a_random_split_has_parts_of_the_asked_sizes_by_its_seed():
    labels = np.eye(3, dtype=bool)[np.arange(100) % 3]
    part = random_parts(labels, (0.2, 0.8), 0)
    assert np.bincount(part).tolist() == [20, 80]
    assert np.array_equal(part, random_parts(labels, (0.2, 0.8), 0))
    assert not np.array_equal(part, random_parts(labels, (0.2, 0.8), 1))
