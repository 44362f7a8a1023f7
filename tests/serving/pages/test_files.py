"""The files of the pages: security headers, caching, nothing inline, no other host."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.pages.files import web_files
from serving.pages.routes import CONTENT_SECURITY_POLICY
from serving.settings import ServingSettings

HTML = sorted(name for name in web_files() if name.endswith(".html"))


@pytest.fixture(scope="module")
def client() -> TestClient:
    """An application that is not started: the files need neither model nor database."""
    keys = [{"name": "a", "role": "admin", "key": "a-Strong-one-4-tests9"}]
    return TestClient(create_app(ServingSettings(database_url="", follow_registry=False, api_keys=keys)))


@pytest.mark.parametrize("path", ["/", "/ops"])
def test_a_page_needs_no_key_and_has_a_strict_policy(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_file_is_sent_again_only_when_it_changed(client):
    first = client.get("/assets/style.css")
    again = client.get("/assets/style.css", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert client.get("/assets/style.css", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2froutes.py", "%2e%2e", "routes.py"])
def test_only_the_files_of_the_pages_are_sent(client, name):
    assert client.get(f"/assets/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/tracker.js", "/tracker.d.ts"])
def test_the_tracker_may_be_loaded_by_pages_of_other_origins(client, path):
    answer = client.get(path)
    assert answer.headers.get_list("cross-origin-resource-policy") == ["cross-origin"]
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_plain_list_is_guarded_like_the_api_and_says_so_as_a_page(client, method):
    answer = client.request(method, "/plain?user_id=1")
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    assert ("cannot send a key" in answer.text) == (method == "GET")


@pytest.mark.parametrize("name", HTML)
def test_a_page_has_nothing_inline_and_refers_to_files_that_exist(client, name):
    text = web_files()[name].content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)
    for reference in re.findall(r"""(?:src|href)="(/[^"#]*)""", text):
        if reference != "/health/ready":  # needs a service that was started
            assert client.get(reference).status_code == 200, reference


@pytest.mark.parametrize("name", sorted(web_files()))
def test_no_file_names_another_host_or_makes_markup_of_text(name):
    text = web_files()[name].content.decode().replace("http://www.w3.org/2000/svg", "")
    without_examples = re.sub(r'"https?://[a-z.]*\.example"', "", text)
    assert not re.search(r"https?://", without_examples)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


@pytest.mark.parametrize("page", HTML)
def test_a_page_weighs_less_than_60_kilobytes(client, page):
    text = web_files()[page].content.decode()
    parts = set(re.findall(r"""(?:src|href)="(/(?:assets/|tracker)[^"#]*)""", text))
    assert len(text.encode()) + sum(len(client.get(part).content) for part in parts) < 60_000
