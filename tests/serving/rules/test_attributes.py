"""Which items a filter matches, by the kind of the attribute, and how posted items change it."""

from __future__ import annotations

import pytest

from recstage import bundle
from recstage.models.baselines.popularity import Popularity
from serving.rules.attributes import CatalogueColumns, ItemAttributes, PostedItem, PostedItems
from serving.rules.query import InvalidFilter, parse
from tests.serving.rules.catalogues import DAY, N_ITEMS, NOW, catalogue, interactions


@pytest.fixture(scope="module")
def columns() -> CatalogueColumns:
    train = interactions()
    return CatalogueColumns(catalogue(train), train)


def matched(columns: CatalogueColumns, text: str, posted: PostedItems | None = None) -> set[int]:
    attributes = ItemAttributes(columns) if posted is None else ItemAttributes(columns, posted)
    mask = attributes.mask(parse(text), NOW)
    return {int(str(item)[1:]) for item in columns.catalogue.items.ids[mask]}


ALL = set(range(N_ITEMS))


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("price<=4.5", {0, 1, 2, 3}),
        ("price<4.5", {0, 1, 2}),
        ("price>15", {11}),
        ("price>=15", {10, 11}),
        ("price=3|6", {2, 4}),
        ("price!=3", ALL - {2}),
        ("new=true", {0, 1, 2}),
        ("new=false", ALL - {0, 1, 2, 5}),
        ("new!=true", ALL - {0, 1, 2}),
        ("author=a1", {1, 9}),
        ("author=a1|a2|none", {1, 9, 2, 6, 10}),
        ("author!=a1", ALL - {1, 9}),
        ("author=none", set()),
        ("released>=2026-11-01", {10, 11}),
        ("released<2026-02", {0}),
        ("regions=AT", {1, 3, 7, 9, 11}),
        ("regions=US|DE", ALL - {5}),
        ("regions!=US", {1, 3, 5, 7, 9, 11}),
        ("category=c1", {1, 4, 7, 10}),
        ("categories=c1", {1, 4, 7, 10}),
        ("category!=all", set()),
        ('title="Title 7"', {7}),
        ("item_id=i3|i4|unknown", {3, 4}),
        ("age_days<=2", {0, 1, 2}),
        ("category=c1 and price<=6 and regions=DE", {1}),
    ],
)
def test_a_filter_matches_by_the_kind_of_the_attribute(columns, text, items):
    assert matched(columns, text) == items


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("colour=red", "attribute 'colour': no item has it. Valid names: age_days, author, category"),
        ("pric<=3", "Did you mean 'price'?"),
        ("price=cheap", "it is a number, and 'cheap' is none. Write it as in price<=20"),
        ("price<=nan", "it is a number, and 'nan' is none"),
        ("price<=1e999", "it is a number, and '1e999' is none"),
        ("new=perhaps", "it is true or false. Write it as in new=true"),
        ("new<true", "it is a boolean, and < compares numbers and dates"),
        ("regions<=DE", "it is a list, and <= compares numbers and dates. Write it as in regions=DE"),
        ("author<=b", "it is text, and <= compares numbers and dates. Write it as in author<=2026-11-20"),
    ],
)
def test_a_filter_that_does_not_fit_the_kind_is_refused(columns, text, sentence):
    with pytest.raises(InvalidFilter) as error:
        ItemAttributes(columns).mask(parse(text))
    assert sentence in str(error.value)


def test_what_was_posted_counts_instead_of_what_was_trained_on(columns):
    posted = PostedItems(
        {
            "i1": PostedItem(NOW, ("c2",), {"price": 100.0, "stock": 3.0}),
            "i4": PostedItem(NOW, (), {"regions": ("FR",), "price": "dear"}),
            "i5": PostedItem(NOW, (), {"new": True, "author": "a1"}),
            "elsewhere": PostedItem(NOW, ("c1",), {"price": 1.0}),
        },
        version=1,
    )
    assert matched(columns, "price>=100", posted) == {1}
    assert matched(columns, "price<=6", posted) == {0, 2, 3}  # i4's price is no number any more: unknown
    assert matched(columns, "category=c2", posted) == {1, 2, 5, 8, 11}
    assert matched(columns, "category=c1", posted) == {4, 7, 10}
    assert matched(columns, "regions=FR", posted) == {4}
    assert matched(columns, "new=true", posted) == {0, 1, 2, 5}
    assert matched(columns, "author=a1", posted) == {1, 5, 9}
    assert matched(columns, "stock>1", posted) == {1}
    assert matched(columns, "price>=100") == set()  # the columns of the model are as they were


def test_an_item_is_as_old_as_its_first_interaction_or_its_posting_whichever_was_first(columns):
    posted = PostedItems({"i1": PostedItem(NOW - 40 * DAY), "i9": PostedItem(NOW)}, version=1)
    assert matched(columns, "age_days>30", posted) == {1}
    assert 9 in matched(columns, "age_days>=9", posted)


def test_attributes_reach_the_bundle_with_their_kinds(tmp_path):
    train = interactions()
    bundle.save(Popularity().fit(train, catalogue=catalogue(train)), tmp_path / "bundle")
    model = bundle.load(tmp_path / "bundle").model
    loaded = CatalogueColumns(model.catalogue_, model.train_)
    kinds = {"price": "number", "new": "boolean", "author": "text", "released": "text", "regions": "list"}
    assert {name: loaded.kinds[name] for name in kinds} == kinds
    for text in ("price<=4.5", "new=true", "author=a1", "regions=AT", "released>=2026-11-01"):
        assert matched(loaded, text) == matched(CatalogueColumns(catalogue(train), train), text)
