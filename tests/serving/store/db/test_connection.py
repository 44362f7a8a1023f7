"""URLs of databases: which are taken, and how they are shown."""

from __future__ import annotations

import pytest

from recstage.errors import ConfigError
from serving.store.db.connection import display_url, parse_url


@pytest.mark.parametrize("wrong", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "nonsense", ""])
def test_an_invalid_url_is_refused(wrong):
    with pytest.raises(ConfigError, match="the service keeps its data in a SQLite file or in PostgreSQL"):
        parse_url(wrong)


def test_a_password_is_never_shown():
    assert display_url(parse_url("postgresql://me:secret@host/name")) == "postgresql+psycopg://me:***@host/name"
