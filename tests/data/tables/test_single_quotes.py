"""Files whose fields stand in single quotes, and files that only hold apostrophes."""

import pytest

from recstage.config import EventsSource
from recstage.data.sources import events
from recstage.data.tables.dialect import dialect_of

HEADER = "user_id,item_id,timestamp,title\n"
QUOTED_HEADER = "'user_id','item_id','timestamp','title'\n"


def written(tmp_path, text):
    path = tmp_path / "feed.csv"
    path.write_text(text, encoding="utf-8")
    return events.read(EventsSource(path=str(path)))


@pytest.mark.parametrize("header", [HEADER, QUOTED_HEADER])
def test_fields_in_single_quotes_hold_separators_doubled_quotes_and_the_other_quotes(tmp_path, header):
    rows = "".join(f"'u{n}','i,{n}','{1600000000 + n}','it''s 5\" wide'\n" for n in range(30))
    frame = written(tmp_path, header + rows).events
    assert frame["user_id"].tolist() == [f"u{n}" for n in range(30)]
    assert frame["item_id"].tolist() == [f"i,{n}" for n in range(30)]
    dialect = dialect_of(header + rows, "feed.csv")
    assert dialect.single
    assert dialect.quoted
    assert dialect.names == ("user_id", "item_id", "timestamp", "title")
    assert dialect.rows[0] == ("u0", "i,0", "1600000000", "it's 5\" wide")


def test_apostrophes_are_text_where_fields_are_not_quoted_by_them(tmp_path):
    rows = "".join(f"u{n},o'i{n},{1600000000 + n},'Til the end\n" for n in range(30))
    assert written(tmp_path, HEADER + rows).events["item_id"].tolist() == [f"o'i{n}" for n in range(30)]


def test_beside_double_quotes_single_ones_are_text(tmp_path):
    rows = "".join(f"u{n},\"'i{n}'\",{1600000000 + n},'a'\n" for n in range(30))
    assert written(tmp_path, HEADER + rows).events["item_id"].tolist() == [f"'i{n}'" for n in range(30)]


def test_a_row_of_the_wrong_width_is_shown_as_the_file_has_it(tmp_path):
    rows = "".join(f"'u{n}','i{n}','{1600000000 + n}','a,b'\n" for n in range(30))
    rejected = written(tmp_path, QUOTED_HEADER + rows + "'u9','i9'\n").rejected
    assert "line 32: ''u9','i9''" in str(rejected)
