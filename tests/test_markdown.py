from recstage import markdown


def test_a_table_has_a_header_a_rule_and_a_line_for_each_row():
    assert markdown.table(["a", "b"], [["1", "2"], ["3", ""]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 |  |\n"


def test_a_pipe_in_a_cell_is_no_border():
    assert markdown.table(["a"], [["x | y"]]).splitlines()[-1] == r"| x \| y |"


def test_columns_of_a_spaced_table_do_not_touch():
    assert markdown.spaced_table(["a", "b"], [["1", "2"]]).splitlines()[-1] == "| 1&emsp; | 2 |"


def test_a_setting_in_words_has_no_signs_of_python():
    members = [{"model": "als", "params": {}}, {"model": "knn", "params": {"neighbors": 20, "scale": 0.5}}]
    assert markdown.words(members) == "(model als, params (none)), (model knn, params (neighbors 20, scale 0.5))"
    assert [markdown.words(one) for one in (True, None, "", (), 0.1, "auto", 3)] == [
        "true", "none", "none", "none", "0.1", "auto", "3",
    ]  # fmt: skip
