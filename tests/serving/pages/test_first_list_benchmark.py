"""The benchmark of the storefront's first list: what it measures in a browser, and what it says where there is none."""

from __future__ import annotations

import pytest

from experiments.benchmarks.lists import storefront
from recstage.errors import ConfigError


@pytest.mark.slow
def test_a_visit_is_timed_from_its_navigation_to_its_first_card(browser, url):
    first, second = storefront.visit_twice(browser, url)
    for visit in (first, second):
        assert 0 < visit.processor < 60_000
        assert 0 < visit.painted < 60_000


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(storefront.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="needs one of chromium, chromium-browser, google-chrome. Install one"):
        next(storefront.storefront(None, 1, 1))
