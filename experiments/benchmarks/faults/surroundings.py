"""Faults 23, 24, 26 and 27: Redis, clocks, erasure in the middle of everything, dependencies and secrets."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packaging.requirements import Requirement

from experiments.benchmarks.environment import API_KEYS, KEY, Running, free_port, start_service
from experiments.benchmarks.faults.fault import Outcome, Trials
from experiments.benchmarks.faults.traffic import Traffic, told
from recstage.config import root

CLOCK_SECONDS = 120
INSTALLERS = {"pip", "setuptools", "wheel"}
"""What a virtual environment comes with; `pip freeze` does not name them."""
SECRETS = re.compile(rf"{KEY}|a-key-for-\w+-in-the-trials", re.ASCII)
SHIFT = '''"""Shifts the clock of this process by CLOCK_SHIFT seconds."""
import os, time
_shift = float(os.environ["CLOCK_SHIFT"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _shift
time.time_ns = lambda: _time_ns() + int(_shift * 1e9)
'''


def redis(trials: Trials) -> Outcome:
    """23: the shared cache is emptied, hangs, and is gone."""
    name, seconds, problems = "redis", trials.of(8, 2), []
    if shutil.which("redis-server") is None:
        return Outcome("nothing", ("there is no redis-server on this machine",))
    with (
        _redis() as (process, port),
        trials.service(name, redis_url=f"redis://127.0.0.1:{port}/0") as service,
        Traffic(trials, service) as traffic,
    ):
        time.sleep(seconds)
        subprocess.run(["redis-cli", "-p", str(port), "flushall"], capture_output=True, check=False)
        time.sleep(seconds)
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        time.sleep(seconds)
        process.kill()
        time.sleep(seconds)
    if traffic.failed_reads:
        problems.append(f"{traffic.failed_reads} lists failed")
    tried = f"flushed, stopped, killed; lists {told(traffic.reads)}, slowest {traffic.slowest * 1000:.0f} ms"
    return Outcome(tried, tuple(problems), traffic.lost(trials.database(name)))


def clocks(trials: Trials) -> Outcome:
    """24: two services on one database, the clock of one two minutes ahead."""
    name, problems = "clocks", []
    folder = trials.folder / "clock"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SHIFT)
    variables = {
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
        "CLOCK_SHIFT": str(CLOCK_SECONDS),
        "MLFLOW_TRACKING_URI": trials.environment.uri,
    }
    user = trials.environment.users[0]
    settings = {"database_url": f"sqlite:///{trials.database(name)}", "api_keys": API_KEYS}
    with trials.service(name) as right, start_service(trials.folder, "clocks-ahead", variables, **settings) as ahead:
        ahead.serves(trials.versions[0])
        with Traffic(trials, right) as one, Traffic(trials, ahead) as other:
            time.sleep(trials.of(10, 2))
        for number, (service, look) in enumerate(((ahead, right), (right, ahead), (right, right))):
            item = trials.items[number]
            event = {"user_id": user, "item_id": item, "interaction_type": "like"}
            status, _ = service.call("POST", "/api/interactions", event)
            listed = json.loads(look.call("GET", f"/api/recommendations?user_id={user}&limit=100")[1])["items"]
            if status != 201:
                problems.append(f"an event was answered {status}")
            if item in {found["item_id"] for found in listed}:
                problems.append("an event of one is not in the other's next list")
    if one.failed_reads or other.failed_reads:
        problems.append(f"lists {told(one.reads + other.reads)}")
    lost = one.lost(trials.database(name)) + other.lost(trials.database(name))
    return Outcome(f"{CLOCK_SECONDS} s apart; events {told(one.writes + other.writes)}", tuple(problems), lost)


def erasure(trials: Trials) -> Outcome:
    """26: users are erased while lists, events, precomputing and a training snapshot go on."""
    name, problems = "erasure", []
    users = trials.environment.users[: trials.of(50, 5)]
    unknown: list[str] = []
    with trials.service(name) as service, Traffic(trials, service) as traffic, _jobs(trials, name) as failed:
        unknown = _items(service, "somebody-never-seen")
        slowest = 0.0
        for user in users:
            service.call("POST", "/api/interactions", _like(user, trials.items[0]))
            began = time.perf_counter()
            status, _ = service.call("DELETE", f"/api/users/{user}")
            slowest = max(slowest, time.perf_counter() - began)
            if status not in (200, 202, 204):
                problems.append(f"DELETE was answered {status}")
            late = {**_like(user, trials.items[0]), "occurred_at": "2020-01-01T00:00:00Z"}
            receipt = json.loads(service.call("POST", "/api/interactions", late)[1])
            if receipt.get("stored"):
                problems.append("an event from before the erasure was stored")
            history = service.call("GET", f"/api/users/{user}/history")
            if history[0] == 200 and json.loads(history[1]).get("events"):
                own = [one for one in json.loads(history[1])["events"] if one.get("occurred_at", "") < "2021"]
                if own:
                    problems.append("the history of an erased user is not empty")
        if not unknown:
            problems.append("unknown users get no list")
    problems += failed
    if traffic.failed_reads:
        problems.append(f"{traffic.failed_reads} lists failed")
    return Outcome(f"{len(users)} users, slowest answer {slowest:.2f} s; lists {told(traffic.reads)}", tuple(problems))


def dependencies(trials: Trials) -> Outcome:
    """27: every installed package is the pinned one, its files unaltered, its licence known; no secret in a log."""
    problems, licences = [], set()
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (root() / "constraints.txt").read_text(), re.MULTILINE))
    needed = sorted(_closure("recstage") - INSTALLERS)
    for name in needed:
        found = importlib.metadata.distribution(name)
        pin = {_plain(key): value for key, value in pins.items()}.get(_plain(name))
        if pin is None:
            problems.append(f"{name} is not pinned")
        elif found.version.partition("+")[0] != pin:
            problems.append(f"{name} is {found.version}, pinned {pin}")
        altered = _altered(found)
        if altered:
            problems.append(f"{name}: {altered} differs from its record")
        licence = _licence(found)
        licences.add(licence)
        if licence == "":
            problems.append(f"{name} states no licence")
    leaks = [path.name for path in trials.folder.glob("*.log") if SECRETS.search(path.read_text(errors="replace"))]
    problems += [f"a key is in {name}" for name in leaks]
    logs = len(list(trials.folder.glob("*.log")))
    tried = f"{len(needed)} packages against pins and recorded SHA-256, {len(licences)} licences, {logs} logs"
    return Outcome(tried, tuple(problems))


@contextmanager
def _redis() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield process, port
    finally:
        process.kill()
        process.wait()


@contextmanager
def _jobs(trials: Trials, name: str) -> Iterator[list[str]]:
    """Precompute lists and take training snapshots, over and over, while the body runs; yields what failed."""
    from serving.store.db.connection import parse_url
    from serving.store.training import batch_recommendations

    url = parse_url(f"sqlite:///{trials.database(name)}")
    failed: list[str] = []
    stopped = threading.Event()
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = trials.environment.uri

    def work() -> None:
        import mlflow

        mlflow.set_tracking_uri(trials.environment.uri)
        while not stopped.is_set():
            try:
                batch_recommendations.precompute(url, "recommender", limit=20, hours=1)
            except Exception as error:
                failed.append(f"precompute: {type(error).__name__}: {error}")
                return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield failed
    finally:
        stopped.set()
        thread.join(timeout=60)
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _items(service: Running, user: str) -> list[str]:
    status, body = service.call("GET", f"/api/recommendations?user_id={user}")
    return [one["item_id"] for one in json.loads(body)["items"]] if status == 200 else []


def _like(user: str, item: str) -> dict[str, str]:
    return {"user_id": user, "item_id": item, "interaction_type": "like"}


def _closure(name: str) -> set[str]:
    """The names of all packages that one needs, without extras."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for text in importlib.metadata.requires(waiting.pop()) or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if _plain(requirement.name) not in found:
                found.add(_plain(requirement.name))
                waiting.append(requirement.name)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _altered(found: importlib.metadata.Distribution) -> str:
    """The first file of a package that is not what its record says; empty where there is none."""
    for file in found.files or ():
        if file.hash is None or file.hash.mode != "sha256":
            continue
        path = Path(str(file.locate()))
        if not path.is_file():
            return str(file)
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        if digest != file.hash.value:
            return str(file)
    return ""


def _licence(found: importlib.metadata.Distribution) -> str:
    about = found.metadata
    stated = [*(about.get_all("License-Expression") or ()), *(about.get_all("License") or ())]
    classifiers = about.get_all("Classifier") or ()
    classified = [one.rpartition("::")[2].strip() for one in classifiers if one.startswith("License")]
    files = [str(file) for file in found.files or () if "licen" in str(file).lower() or "copying" in str(file).lower()]
    told = [line for text in stated for line in text.strip().splitlines()]
    return (told or classified or files or [""])[0]
