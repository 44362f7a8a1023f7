"""The Python client and the TypeScript types are those of the OpenAPI document."""

import pytest

from experiments.api_types.__main__ import written
from recstage.config import root

FILES = written()


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_written_file_is_that_of_the_document(name):
    path = root() / name
    current = path.read_text() if path.is_file() else ""
    assert current == FILES[name], f"{name} is not what the routes say now: run `make api-types`"
