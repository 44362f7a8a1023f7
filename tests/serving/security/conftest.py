"""A service with keys, tokens and small limits."""

from __future__ import annotations

import pytest

from tests.serving.doubles import FakePointer
from tests.serving.security.credentials import KEYS, SECRET


@pytest.fixture
def pointer(als, stage) -> FakePointer:
    return FakePointer(stage(als, "1"))


@pytest.fixture
def guarded(pointer, serve):
    with serve(pointer, api_keys=KEYS, jwt_secret=SECRET, max_body_bytes=2000, max_depth=4) as client:
        yield client
