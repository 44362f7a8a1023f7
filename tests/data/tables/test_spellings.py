"""Names of types that differ in capitals and blanks only."""

import pandas as pd

from recstage.data.tables.values.spellings import one_spelling, respelt, spelling_note


def test_types_are_called_as_the_data_set_calls_them_else_in_small_letters():
    names = ["Buy", "buy", "BUY", "View", "view", "add  to cart", "Add to cart"]
    assert one_spelling(names, ["View"]) == {
        "Buy": "buy",
        "BUY": "buy",
        "view": "View",
        "Add to cart": "add  to cart",
    }


def test_types_that_the_data_set_names_both_stay_apart():
    assert one_spelling(["Buy", "buy", "BUY"], ["Buy", "buy"]) == {"BUY": "Buy"}


def test_a_single_spelling_stays_as_it_is():
    assert one_spelling(["BUY", "View"], []) == {}
    assert spelling_note({}) == []


def test_a_column_is_respelt_and_what_is_missing_stays_missing():
    column = pd.Series(["Buy", "buy", None, "view"], index=[3, 5, 7, 9], dtype="category")
    assert respelt(column, {"Buy": "buy"}).astype(object).where(column.notna(), None).to_dict() == {
        3: "buy",
        5: "buy",
        7: None,
        9: "view",
    }
