"""Time from the start of a navigation to the storefront until the first card of its list is painted, in Chromium.

The page's own clock is read, so what the driver of the browser needs does not count. A cold visit begins with an empty
browser cache and knows no user, so it asks for the session, then for the list; a warm one comes back in the same tab.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from experiments.benchmarks.environment import KEY, BenchmarkEnvironment
from experiments.benchmarks.report import Measurement, at_most
from recstage.errors import ConfigError

WARM_UP = 3
GOAL_MS = 300.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
SIGNED_IN = f'sessionStorage.setItem("recstage-key", {json.dumps(KEY)});'
CLOCK = """
window.painted = new Promise((resolve) => {
  new MutationObserver((_, observer) => {
    if (!document.querySelector(".card:not(.skeleton)")) return;
    observer.disconnect();
    requestAnimationFrame(() => {  // before the frame with the card; the message arrives once it has been drawn
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve(performance.now());
      port2.postMessage(0);
    });
  }).observe(document, { childList: true, subtree: true });
});
"""


@dataclass(frozen=True)
class Visit:
    """Milliseconds from the start of the navigation until the first card, and of the page's processor time for it."""

    painted: float
    processor: float


def storefront(environment: BenchmarkEnvironment, version: int, visits: int) -> Iterator[Measurement]:
    """Milliseconds until the first card, medians of `visits` with a cold and with a warm browser; no list is cached.

    Raises `ConfigError` where Playwright or a browser is missing.
    """
    drive, executable = _driver(), _browser()
    with environment.service("storefront", cache_size=0) as service, drive() as playwright:
        service.serves(version)
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        address = f"http://127.0.0.1:{service.port}/"
        cold, warm = zip(*(visit_twice(browser, address) for _ in range(WARM_UP + visits)), strict=True)
        browser.close()
    for name, seen in (("cold", cold[WARM_UP:]), ("warm", warm[WARM_UP:])):
        times = [visit.painted for visit in seen]
        note = f"{visits} visits, {min(times):.0f} to {max(times):.0f}; load {os.getloadavg()[0]:.1f}"
        yield Measurement(f"first card painted, {name} browser", median(times), at_most(GOAL_MS), "ms", note)
        yield Measurement("  processor time of the page", median(visit.processor for visit in seen), unit="ms")


def visit_twice(browser: Any, address: str) -> tuple[Visit, Visit]:
    """The first visit of a browser and the second."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        context.add_init_script(SIGNED_IN + CLOCK)
        page = context.new_page()
        inspector = context.new_cdp_session(page)
        inspector.send("Performance.enable", {"timeDomain": "threadTicks"})
        found = []
        for _ in range(2):
            page.goto(address, wait_until="commit")
            painted = page.evaluate("window.painted")
            found.append(Visit(painted, _processor_ms(inspector)))
            page.wait_for_load_state("networkidle")
        return found[0], found[1]
    finally:
        context.close()


def _processor_ms(inspector: Any) -> float:
    """Of the page's main thread since the navigation."""
    metrics = inspector.send("Performance.getMetrics")["metrics"]
    return 1000 * next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def _driver() -> Any:
    try:
        return importlib.import_module("playwright.sync_api").sync_playwright
    except ImportError:
        fix = "pip install -e '.[browser]'"
        raise ConfigError("storefront", rule="this benchmark needs Playwright", fix=fix) from None


def _browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        fix = "Install one: apt-get install chromium"
        raise ConfigError("storefront", rule=f"this benchmark needs one of {', '.join(BROWSERS)}", fix=fix)
    return found
