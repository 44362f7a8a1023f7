"""The tracker in a real browser: batches, outages, refused events, opt-outs."""

from __future__ import annotations

import re

import pytest

from serving.pages.files import web_file
from tests.serving.pages.browsing import Observed, until

SLOW = pytest.mark.slow
START = """async (options) => {
  const { Tracker } = await import("/tracker.js");
  window.tracker = new Tracker(options);
}"""
TRACK = (
    "([from, to]) => { for (let i = from; i < to; i++) tracker.track('click', 'i' + (i % 40), { context: { n: i } }); }"
)


@pytest.fixture
def started(visit, url):
    """A page of the service with a tracker, and what it sends."""

    def start(**options):
        page = visit(f"{url}/docs-of-nothing")
        seen = Observed.of(page)
        page.evaluate(START, options)
        return page, seen

    return start


def numbers(api, user: str) -> list[int]:
    answer = api.get(f"/api/users/{user}/history", params={"limit": 1000})
    return sorted(event["context"]["n"] for event in answer.json()["events"]) if answer.status_code == 200 else []


def test_it_is_small_and_its_types_name_what_it_has():
    code, types = (web_file(name).content.decode() for name in ("tracker.js", "tracker.d.ts"))
    assert len(code.encode()) < 5000
    of_code = set(re.findall(r"^  (?:async )?([a-z]\w*)\(", code, re.MULTILINE))
    of_types = set(re.findall(r"^  ([a-z]\w*)\(", types, re.MULTILINE))
    assert of_code == of_types


@SLOW
def test_twenty_events_are_sent_at_once_and_fewer_after_five_seconds(visit, url, api):
    page = visit(f"{url}/docs-of-nothing")
    seen = Observed.of(page)
    page.clock.install()
    page.evaluate(START, {"userId": "batches"})
    page.evaluate(TRACK, [0, 21])
    until(lambda: numbers(api, "batches") == list(range(21)))
    page.wait_for_load_state("networkidle")
    until(lambda: [len(body["events"]) for body in seen.sent_events()] == [20, 1])
    page.evaluate(TRACK, [21, 23])
    page.clock.run_for(4900)
    assert numbers(api, "batches") == list(range(21))
    page.clock.run_for(200)
    until(lambda: numbers(api, "batches") == list(range(23)))


@SLOW
def test_no_event_is_lost_or_stored_twice_in_thirty_seconds_without_a_network(visit, url, api):
    page = visit(f"{url}/docs-of-nothing")
    page.clock.install()
    page.evaluate(START, {"userId": "offline"})
    page.evaluate(TRACK, [0, 20])
    page.context.set_offline(True)
    for second in range(30):
        page.evaluate(TRACK, [20 + 2 * second, 22 + 2 * second])
        page.clock.run_for(1000)  # retries and their pauses run as well
    assert page.evaluate("tracker.flush()") is False
    page.context.set_offline(False)
    until(lambda: numbers(api, "offline") == list(range(80)), "all events are stored")


@SLOW
def test_events_of_a_page_that_is_left_during_an_outage_are_sent_by_the_next(started, api, url):
    page, _ = started(userId="left")
    page.route("**/api/interactions", lambda route: route.abort())
    page.evaluate(TRACK, [0, 45])
    page.goto(f"{url}/another-page")
    page.unroute("**/api/interactions")
    page.evaluate(START, {"userId": "left"})
    assert page.evaluate("tracker.flush()")
    assert numbers(api, "left") == list(range(45))


@SLOW
def test_a_response_that_is_lost_stores_nothing_twice(started, api):
    page, _ = started(userId="lost-response")

    def swallow(route):
        route.fetch()
        route.abort()

    page.route("**/api/interactions", swallow)
    page.evaluate(TRACK, [0, 5])
    assert page.evaluate("tracker.flush()") is False
    page.unroute("**/api/interactions")
    assert page.evaluate("tracker.flush()")
    assert numbers(api, "lost-response") == list(range(5))


@SLOW
def test_an_event_that_is_refused_holds_up_no_other(started, api):
    page, _ = started(userId="refused")
    page.evaluate(TRACK, [0, 3])
    page.evaluate("tracker.track('rate', 'i1', { value: 17, context: { n: -1 } })")
    page.evaluate(TRACK, [3, 6])
    assert page.evaluate("tracker.flush()")
    assert numbers(api, "refused") == list(range(6))


@SLOW
def test_nothing_is_recorded_or_sent_of_a_user_who_opted_out(started, api):
    page, seen = started(userId="no-thanks", optedOut=True)
    page.evaluate(TRACK, [0, 45])
    assert page.evaluate("tracker.flush()")
    page.evaluate("tracker.identify('changed-mind')")
    page.evaluate(TRACK, [0, 3])
    page.evaluate("tracker.optOut()")
    assert page.evaluate("tracker.flush()")
    assert page.evaluate("localStorage.length") == 0
    page.close()
    assert seen.sent_events() == []


@SLOW
def test_it_stops_where_only_the_service_knows_that_a_user_opted_out(started, api):
    assert api.put("/api/users/elsewhere/profile", json={"opted_out": True}).status_code == 200
    page, seen = started(userId="elsewhere")
    page.evaluate(TRACK, [0, 3])
    assert page.evaluate("tracker.flush()")
    page.evaluate(TRACK, [3, 45])
    assert page.evaluate("tracker.flush()")
    assert len(seen.sent_events()) == 1


@SLOW
def test_what_is_recorded_last_is_sent_when_the_page_is_left(started, api):
    page, _ = started(userId="leaving")
    page.evaluate(TRACK, [0, 3])
    page.close(run_before_unload=False)
    until(lambda: numbers(api, "leaving") == [0, 1, 2], "the beacon arrives")


@SLOW
def test_it_fails_silently(started):
    page, seen = started(userId="silent", url="http://127.0.0.1:9")
    page.evaluate(TRACK, [0, 25])
    assert page.evaluate("tracker.flush()") is False
    assert [error for error in seen.errors if "Content Security Policy" not in error] == []
