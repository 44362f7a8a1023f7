"""Faults 18 to 22: bodies, paths and events that no honest caller sends, and callers without the right."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from experiments.benchmarks.environment import KEY, Running
from experiments.benchmarks.faults.fault import Outcome, Trials
from experiments.benchmarks.faults.traffic import told

ROLE_KEYS = {role: f"a-key-for-{role}-in-the-trials" for role in ("client", "service", "admin")}
METHODS = ("get", "post", "put", "patch", "delete")
MEGABYTE = 2**20


def bodies(trials: Trials) -> Outcome:
    """18: bodies that are too large, too deep, of wrong types, not UTF-8, or no JSON."""
    event = {"user_id": "1", "item_id": "1", "interaction_type": "view"}
    deep: object = {}
    for _ in range(200):
        deep = {"a": deep}
    sent: dict[str, bytes] = {
        "3 MB": json.dumps({"events": [{**event, "context": {"a": "x" * 3 * MEGABYTE}}]}).encode(),
        "200 levels": json.dumps({**event, "context": deep}).encode(),
        "a million brackets": b"[" * 900_000,
        "not UTF-8": b'{"user_id": "\xff\xfe", "item_id": "1", "interaction_type": "view"}',
        "no JSON": b"user_id=1",
        "nothing": b"",
        "NaN": b'{"user_id": "1", "item_id": "1", "interaction_type": "rate", "value": NaN}',
        "1e999": b'{"user_id": "1", "item_id": "1", "interaction_type": "rate", "value": 1e999}',
        "a long number": b'{"user_id": "1", "item_id": "1", "interaction_type": "rate", "value": ' + b"9" * 5000 + b"}",
        "a lone surrogate": b'{"user_id": "\\ud800", "item_id": "1", "interaction_type": "view"}',
        "10,000 events": json.dumps({"events": [event] * 10_000}).encode(),
    }
    for name, wrong in {
        "number": 5,
        "list": [],
        "object": {},
        "null": None,
        "boolean": True,
        "long": "x" * 1000,
    }.items():
        for field in event:
            sent[f"{field}: {name}"] = json.dumps({**event, field: wrong}).encode()
    found: Counter[int] = Counter()
    problems = []
    with trials.service("bodies") as service:
        for kind, body in sent.items():
            status, answer, media = _send(service, "POST", "/api/interactions", body)
            found[status] += 1
            if not 400 <= status < 500 or not media.startswith("application/problem+json"):
                problems.append(f"{kind}: {status} {answer[:80]!r}")
        if service.status(f"/api/recommendations?user_id={trials.environment.users[0]}") != 200:
            problems.append("no list afterwards")
    return Outcome(f"{len(sent)} bodies: {told(found)}", tuple(problems))


def fuzz(trials: Trials) -> Outcome:
    """19: requests generated from the OpenAPI document for every operation, by schemathesis, seeded."""
    examples = trials.of(20, 2)
    with trials.service("fuzz", max_batch=20) as service:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{service.port}/openapi.json"]
        command += ["--checks", "not_a_server_error", "--max-examples", str(examples), "--seed", str(trials.seed)]
        command += ["--phases", "examples,fuzzing", "--suppress-health-check", "all", "-H", f"X-API-Key: {KEY}"]
        command += ["--exclude-path-regex", "/stream|/events$|/classify$"]  # without a classifier the last is 503
        command += ["--request-timeout", "30"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=trials.folder)
        live = service.status("/health/live")
    summary = [line.strip() for line in done.stdout.splitlines() if "generated" in line or "Tested" in line]
    named = (line.strip(" _") for line in done.stdout.splitlines() if line.startswith(("- ", "___")))
    problems = [] if done.returncode == 0 else list(named)[:6]
    if done.returncode and not problems:
        problems = [" ".join((done.stdout + done.stderr).split())[-400:]]
    if live != 200:
        problems.append("not live afterwards")
    return Outcome("; ".join(summary) or f"{examples} examples an operation", tuple(problems))


def roles(trials: Trials) -> Outcome:
    """20: every operation, without a key, with a wrong one, and by each role."""
    keys = [{"name": role, "role": role, "key": key} for role, key in ROLE_KEYS.items()]
    keys.append({"name": "benchmark", "role": "admin", "key": KEY})
    callers: dict[str, Mapping[str, str]] = {role: {"X-API-Key": key} for role, key in ROLE_KEYS.items()}
    problems, asked = [], 0
    with trials.service("roles", api_keys=json.dumps(keys)) as service:
        document = json.loads(service.call("GET", "/openapi.json")[1])
        for method, path in _operations(document):
            if not path.startswith("/api/") or path.endswith("/webhook"):
                continue
            url = path.replace("{user_id}", "nobody").replace("{item_id}", "nothing")
            for caller, wrong in {"nobody": {}, "a wrong key": {"X-API-Key": "wrong-" * 5}}.items():
                asked += 1
                status = _send(service, method.upper(), url, b"{}", wrong)[0]
                if status not in (401, 429):
                    problems.append(f"{method} {path} by {caller}: {status}")
            allowed = []
            for role, headers in callers.items():
                asked += 1
                status = _send(service, method.upper(), url, b"{}", headers)[0]
                if status >= 500 and status != 503:
                    problems.append(f"{method} {path} by {role}: {status}")
                allowed.append(status != 403)
            if sorted(allowed) != allowed:
                problems.append(f"{method} {path}: a weaker role may do what a stronger one may not")
    return Outcome(f"{asked} requests", tuple(problems))


def paths(trials: Trials) -> Outcome:
    """21: ids in paths that point elsewhere, or are no text."""
    ids = [
        "../../etc/passwd",
        "..\\..\\x",
        "\x00",
        "a\nb",
        "%2e%2e",
        "x" * 300,
        "a/b",
        "/",
        "é\u202e",
        ";id",
        "' OR 1=1 --",
    ]
    encoded = [quote(one, safe="") for one in ids] + [
        "%ff%fe",
        "%c0%ae%c0%ae",
        "%",
        "%zz",
        "..%2f..%2fetc%2fpasswd",
        ".",
    ]
    found: Counter[int] = Counter()
    problems = []
    with trials.service("paths") as service:
        document = json.loads(service.call("GET", "/openapi.json")[1])
        templates = [path for method, path in _operations(document) if method == "get" and "{" in path]
        for template in templates:
            for one in encoded:
                place = template.replace("{user_id}", one).replace("{item_id}", one)
                status, answer, _ = _send(service, "GET", place)
                found[status] += 1
                if status == 0 or status >= 500 or b"root:" in answer:
                    problems.append(f"GET {place[:60]}: {status}")
    return Outcome(f"{len(templates)} paths x {len(encoded)} ids: {told(found)}", tuple(problems))


def poisoned(trials: Trials) -> Outcome:
    """22: one user floods, many push one item, times lie in the future or far in the past."""
    name, problems = "poisoned", []
    pushed, quiet = trials.items[-1], trials.environment.users[-20:]
    floods = trials.of(20, 4)
    now = int(time.time())
    with trials.service(name) as service:
        before = {user: _items_of(service, user) for user in quiet}
        flood = [{"user_id": "flooder", "item_id": pushed, "interaction_type": "like"}] * 500
        crowd = [{"user_id": f"pusher-{n}", "item_id": pushed, "interaction_type": "like"} for n in range(500)]
        answers = Counter(service.call("POST", "/api/interactions", {"events": flood})[0] for _ in range(floods))
        answers[service.call("POST", "/api/interactions", {"events": crowd})[0]] += 1
        if set(answers) - {201, 429}:
            problems.append(f"events were answered {told(answers)}")
        times = {"an hour ahead": (now + 3600, 422), "year 2500": (16725225600, 422), "1970": (1, 201), "-1": (-1, 422)}
        for kind, (moment, expected) in times.items():
            stamp = "1969-12-31T23:59:59Z" if moment < 0 else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
            event = {"user_id": "clock", "item_id": pushed, "interaction_type": "like", "occurred_at": stamp}
            status = service.call("POST", "/api/interactions", event)[0]
            if status not in (expected, 422):
                problems.append(f"an event of {kind}: {status}")
        changed = [user for user in quiet if _items_of(service, user) != before[user]]
        if changed:
            problems.append(f"lists of {len(changed)} users changed who did nothing")
        if not _items_of(service, "flooder") or pushed in _items_of(service, "flooder"):
            problems.append("the flooder's list is empty or repeats the item")
    return Outcome(f"{floods * 500} events of one user, 500 users for one item, 4 odd times", tuple(problems))


def _items_of(service: Running, user: str) -> list[str]:
    status, body = service.call("GET", f"/api/recommendations?user_id={user}&limit=20")
    return [one["item_id"] for one in json.loads(body)["items"]] if status == 200 else []


def _operations(document: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Iterator[tuple[str, str]]:
    for path, operations in document["paths"].items():
        yield from ((method, path) for method in operations if method in METHODS)


def _send(
    service: Running, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, bytes, str]:
    """Status, body and media type of one request; status 0: no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    given = {"X-API-Key": KEY} if headers is None else dict(headers)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {**given, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        if response.headers.get_content_type() == "text/event-stream":  # it does not end by itself
            return response.status, b"", "text/event-stream"
        return response.status, response.read(), response.headers.get("content-type", "")
    except (OSError, http.client.HTTPException):
        return 0, b"", ""
    finally:
        connection.close()
