"""The syntax of filters: what it means, what is refused, and that a filter written out is read as the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from serving.rules.query import OPERATORS, Condition, Filter, InvalidFilter, parse


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("category=Drama", [("category", "=", ("Drama",))]),
        ("price<=20", [("price", "<=", ("20",))]),
        (" price >= 2.5  and  tags = a | b ", [("price", ">=", ("2.5",)), ("tags", "=", ("a", "b"))]),
        ("region!=New York AND x<3", [("region", "!=", ("New York",)), ("x", "<", ("3",))]),
        (r'author="Sand and Land | \"Co\""', [("author", "=", ('Sand and Land | "Co"',))]),
        ('"my attribute"=brand', [("my attribute", "=", ("brand",))]),
        ("title=A=B", [("title", "=", ("A=B",))]),
    ],
)
def test_a_filter_is_read(text, conditions):
    assert parse(text) == Filter(tuple(Condition(*one) for one in conditions))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no condition at character 1"),
        ("price", "there is no condition at character 1"),
        ("=3", "there is no condition at character 1"),
        ("price<=", "there is no value at character 8"),
        ("a=b|", "there is no value at character 5"),
        ("a=b and ", "there is no condition at character 9"),
        ("a=b and c", "there is no condition at character 9"),
        ('a="b" c', "'|' or 'and' must follow the value that ends at character 5"),
        ('a="b', "there is no value at character 3"),
        ("price<1|2", "< compares with one value, not with 2"),
        ("a=" + "|".join("x" * 51), "a condition has at most 50 values"),
        (" and ".join(["a=b"] * 21), "it has at most 20 conditions"),
        ("a=" + "x" * 500, "a filter of 502 characters: it has at most 500"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(text, sentence):
    with pytest.raises(InvalidFilter) as error:
        parse(text)
    assert sentence in str(error.value)


_TEXT = some.text(min_size=1, max_size=12).filter(lambda text: text == text.strip())
_CONDITION = some.builds(
    lambda attribute, operator, values: Condition(
        attribute, operator, tuple(values[: None if operator in ("=", "!=") else 1])
    ),
    _TEXT,
    some.sampled_from(OPERATORS),
    some.lists(_TEXT, min_size=1, max_size=3),
)


@given(some.lists(_CONDITION, min_size=1, max_size=4))
def test_a_filter_written_out_is_read_as_the_same(conditions):
    wanted = Filter(tuple(conditions))
    assert parse(str(wanted)) == wanted
