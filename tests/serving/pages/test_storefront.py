"""The storefront in a real browser: lists, what a user does with them, and what it says when something is missing."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import replace

import jwt
import pytest

from recstage import bundle
from recstage.models.baselines.popularity import Popularity
from tests.serving.doubles import FakePointer
from tests.serving.pages.browsing import Observed, until

pytestmark = pytest.mark.integration
KEYS = [{"name": "shop", "role": "service", "key": "a-Strong-one-4-tests9"}]
SECRET = "Vq7-kT9xW2mZp4_hR8aD3sYf6uJ1cB5n"
_users = itertools.count()


@pytest.fixture
def user() -> str:
    """A user whom the model was trained on, another one for each test."""
    return f"u{next(_users)}"


def titles(page) -> list[str]:
    page.wait_for_selector(".card:not(.skeleton)")
    return page.locator("button.title").all_inner_texts()


def events_of(api, user: str) -> list[dict]:
    answer = api.get(f"/api/users/{user}/history")
    return answer.json()["events"] if answer.status_code == 200 else []


def test_a_list_shows_titles_as_text_with_reason_score_and_method(visit, url, user):
    page = visit("about:blank")
    seen = Observed.of(page)
    page.goto(f"{url}/?user_id={user}")
    assert len(titles(page)) == 10
    assert all(title.startswith("<b onclick=alert(1)>Title</b> of i") for title in titles(page))
    assert page.locator(".card b").count() == 0
    assert "als of version 7" in page.locator("#method").inner_text()
    assert page.locator(".reason").first.inner_text().startswith("You chose ")
    assert float(page.locator(".score .number").first.inner_text()) > 0
    assert page.locator("#title").inner_text() == f"Recommended for {user}"
    assert {re.match(r"https?://[^/]+", one.url)[0] for one in seen.requests} == {url}
    assert seen.errors == []
    weight = sum(len(one.response().body()) for one in seen.requests if "/api/" not in one.url)
    assert weight < 60_000


@pytest.mark.parametrize("path", ["/", "/?user_id=u58"])
def test_the_first_list_is_requested_once(visit, url, path):
    page = visit("about:blank")
    seen = Observed.of(page)
    page.goto(url + path)
    assert len(titles(page)) == 10
    page.wait_for_selector("#samples .chip")
    page.wait_for_load_state("networkidle")
    asked = [one.url.removeprefix(url).split("?")[0] for one in seen.requests if "/api/" in one.url]
    assert sorted(asked)[:2] == ["/api/recommendations", "/api/session"]
    assert len(asked) == 3  # and whether the user opted out


def test_a_list_that_answers_after_the_session_is_not_asked_for_again(visit, url):
    page = visit("about:blank")
    held = []
    page.route("**/api/recommendations*", lambda route: held.append(route))
    page.goto(f"{url}/?user_id=u58")
    page.wait_for_selector("#samples .chip")  # drawn from the session
    page.wait_for_timeout(300)
    assert len(held) == 1
    held[0].continue_()
    assert len(titles(page)) == 10
    page.wait_for_timeout(300)
    assert len(held) == 1


def test_what_a_user_does_changes_the_list_and_is_stored(visit, url, api, user):
    page = visit(f"{url}/?user_id={user}")
    first, second = titles(page)[:2]
    page.get_by_role("button", name=f"Like: {first}").click()
    page.wait_for_selector(f"#feed :text('Liked {first}')")
    assert first not in titles(page)
    page.get_by_role("button", name=f"Dismiss: {second}").click()
    page.wait_for_selector(f"#feed :text('Dismissed {second}')")
    assert second not in titles(page)
    page.get_by_role("button", name=f"Save: {titles(page)[0]}").click()
    page.wait_for_selector("#feed :text('Saved')")
    page.get_by_role("button", name=f"Use: {titles(page)[0]}").click()
    page.wait_for_selector("#feed :text('Used')")
    kinds = [event["interaction_type"] for event in events_of(api, user)]
    assert kinds == ["implement", "save", "dismiss", "like"]
    assert all(event["request_id"] for event in events_of(api, user))


def test_an_open_item_shows_similar_ones_takes_a_rating_and_counts_as_a_view(visit, url, api, user):
    page = visit(f"{url}/?user_id={user}")
    titles(page)
    page.locator("button.title").first.click()
    assert page.locator(".similar li").count() or page.wait_for_selector(".similar li")
    time.sleep(1.2)  # a view takes a second at least
    page.get_by_role("button", name="4 of 5 stars").click()
    page.wait_for_selector("#feed :text('Rated 4 of 5')")
    page.goto(f"{url}/docs-of-nothing")  # leaving, as users do; a browser may end a closed page before it has sent
    until(lambda: "view" in [event["interaction_type"] for event in events_of(api, user)], "the view is stored")
    events = {event["interaction_type"]: event for event in events_of(api, user)}
    assert events.keys() == {"click", "rate", "view"}
    assert events["rate"]["value"] == 4
    assert events["view"]["value"] >= 1


def test_everything_can_be_done_from_the_keyboard(visit, url, api, user):
    page = visit(f"{url}/?user_id={user}")
    titles(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("button.title").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".similar li")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "act like"
    page.keyboard.press("Space")
    page.wait_for_selector("#feed :text('Liked')")
    assert page.evaluate("document.activeElement.closest('.card') !== null")  # the focus stays in the list


def test_a_new_user_gets_popular_items_and_one_with_preferences_gets_those(visit, url):
    page = visit(f"{url}/?user_id=nobody-knows-1")
    titles(page)
    assert "Nothing is known about this user yet" in page.locator("#notices").inner_text()
    page.get_by_role("button", name="New user").click()
    page.locator("#create-id").fill("with-a-taste")
    page.locator("#create-categories label", has_text="c1").click()
    page.get_by_role("button", name="Create").click()
    page.wait_for_selector("#title:text('Recommended for with-a-taste')")
    page.wait_for_selector("#method strong:text('preferences')")
    assert all(int(title.split(" of i")[1]) % 3 == 1 for title in titles(page)[:5])


def test_a_user_of_the_training_data_is_not_called_unknown_where_the_version_has_popular_items(
    visit, serve, version, interactions, tmp_path
):
    bundle.save(Popularity().fit(interactions), tmp_path / "popularity")
    with serve(FakePointer(replace(version, folder=tmp_path / "popularity"))) as url:
        page = visit(url)
        page.locator("#samples .chip").first.click()
        page.wait_for_selector("#notices :text('the version in Production has no personal list for this user')")
        page.goto(f"{url}/?user_id=nobody")
        page.wait_for_selector("#notices :text('Nothing is known about this user yet')")


def test_nothing_is_sent_about_a_user_who_opted_out(visit, url, api, user):
    page = visit("about:blank")
    seen = Observed.of(page)
    page.goto(f"{url}/?user_id={user}")
    titles(page)
    page.locator("#personal").uncheck()
    page.wait_for_selector("#feed :text('Opted out')")
    page.locator("button.act.like").first.click()
    page.wait_for_selector("#notices :text('This user opted out')")
    page.locator("button.title").first.click()
    page.wait_for_selector(".similar li")
    time.sleep(1.2)
    page.reload()
    titles(page)
    assert not page.locator("#personal").is_checked()
    page.close()
    assert seen.sent_events() == []
    assert events_of(api, user) == []


def test_a_category_of_which_nothing_is_left_and_an_unknown_one_lead_back(visit, url, api):
    events = [
        {"user_id": "saw-all-of-c1", "item_id": f"i{item}", "interaction_type": "view"} for item in range(1, 40, 3)
    ]
    assert api.post("/api/interactions", json={"events": events}).status_code == 201
    page = visit(f"{url}/?user_id=saw-all-of-c1")
    titles(page)
    page.wait_for_selector("#samples .chip")  # categories are filled in with them
    page.locator("#category").select_option("c1")
    page.wait_for_selector("#notices :text('Nothing of the category “c1”')")
    page.get_by_role("button", name="All categories").click()
    assert len(titles(page)) == 10
    page.evaluate("document.getElementById('category').append(new Option('c9'))")
    page.locator("#category").select_option("c9")
    page.wait_for_selector("#notices :text('No item has the category')")
    page.get_by_role("button", name="All categories").click()
    page.wait_for_selector("#notices:empty", state="attached")
    assert len(titles(page)) == 10


def test_a_service_without_a_model_says_so_until_there_is_one(visit, serve, version):
    pointer = FakePointer(None)
    with serve(pointer, database_url="") as url:
        page = visit(f"{url}/?user_id=u1")
        page.wait_for_selector("#notices .error:has-text('looks again every few seconds')")
        pointer.staged = version
        assert len(titles(page)) == 10
        page.wait_for_selector("#notices :text('without a database')")
        page.locator("button.act.like").first.click()
        assert len(titles(page)) == 10


def test_a_guarded_service_asks_for_a_key_and_says_what_is_wrong_with_it(visit, serve, version):
    with serve(FakePointer(version), api_keys=KEYS, jwt_secret=SECRET) as url:
        page = visit("about:blank")
        seen = Observed.of(page)
        page.goto(f"{url}/?user_id=u1")
        key = page.locator("#key")
        key.fill("wrong-key")
        page.get_by_role("button", name="Continue").click()
        page.wait_for_selector("#key-error:text('The API key is unknown.')")
        key.fill(jwt.encode({"role": "client", "exp": time.time() - 60}, SECRET, "HS256"))
        page.get_by_role("button", name="Continue").click()
        page.wait_for_selector("#key-error:text('The token has expired.')")
        key.fill(KEYS[0]["key"])
        page.get_by_role("button", name="Continue").click()
        first = titles(page)[0]
        page.get_by_role("button", name=f"Like: {first}").click()
        page.wait_for_selector("#feed :text('Liked')")
        assert page.evaluate("Object.values(localStorage).join() + document.cookie") == ""
        assert all(KEYS[0]["key"] not in one.url for one in seen.requests)
        page.evaluate("sessionStorage.setItem('recstage-key', 'was-revoked-meanwhile')")
        page.locator("#unseen").uncheck()
        page.wait_for_selector("#signin-why:text('The service refused the key')")


def test_a_slow_service_and_one_that_fails_are_said_and_survived(visit, url, user):
    page = visit("about:blank")
    held = []
    page.route("**/api/recommendations?*", lambda route: held.append(route))
    page.goto(f"{url}/?user_id={user}")
    page.wait_for_selector("#notices :text('Still waiting for the service')")
    held.pop().continue_()
    assert len(titles(page)) == 10
    page.unroute("**/api/recommendations?*")
    page.route("**/api/recommendations?*", lambda route: route.abort())
    page.locator("#unseen").uncheck()
    page.wait_for_selector("#notices .error:has-text('The service does not answer')")
    assert len(titles(page)) == 10  # the last list stays
    page.unroute("**/api/recommendations?*")
    page.wait_for_selector("#notices:empty", state="attached")


def test_without_javascript_a_plain_list_is_offered(visit, url, user):
    page = visit(url, java_script_enabled=False)
    assert "JavaScript is off" in page.locator("noscript").inner_text()
    page.locator("#plain-user").fill(user)
    assert not page.locator("#samples").is_visible()
    page.locator("noscript button").click()
    assert page.locator(".card .name").count() == 10
    assert page.locator(".card .name").first.inner_text().startswith("<b onclick=alert(1)>Title</b> of i")


def test_the_plain_list_says_on_a_page_what_is_wrong(visit, serve):
    with serve(FakePointer(None), database_url="") as url:
        page = visit(f"{url}/plain?user_id=u1", java_script_enabled=False)
        assert page.locator(".notice.error").inner_text()
        assert "again in some seconds" in page.locator("main").inner_text()
        page.locator("#user").fill("u2")
        page.get_by_role("button", name="Show").click()
        assert page.locator("h1").inner_text() == "No list"
        page.goto(f"{url}/plain?user_id=%01")
        assert "control characters" in page.locator(".notice.error").inner_text()


def test_the_theme_is_the_systems_until_it_is_switched(visit, url):
    page = visit(url, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Colour theme: system. Switch").click()
    assert page.evaluate(background) != dark
    page.reload()
    assert page.get_by_role("button", name="Colour theme: light. Switch").is_visible()
