"""Makes a small, complete installation of recstage and records what it answers.

Run with the code of the version to be recorded, never with newer code; README.md says how. It trains every model of
`MODELS` on generated data, registers and promotes, runs the service on SQLite, posts what users do, erases one and opts
one out, precomputes lists, and writes what the service then answers to `answers.json`.
"""

from __future__ import annotations

import json
import lzma
import os
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pandas as pd

from recstage import tracking
from recstage.config import root

HOME = Path.cwd()
PORT = 8731
DATA = ["--data.source.users", "40", "--data.source.items", "30", "--data.source.interactions", "1200"]
SMALL_ALS = {"model": "als", "params": {"factors": 8, "iterations": 3}}
SMALL_TOWER = {"model": "two-tower", "params": {"factors": 8, "heads": 2, "layers": 1, "window": 20, "epochs": 2}}
COMPONENTS = [SMALL_TOWER, "transitions", SMALL_ALS, "graph", "content", "popularity"]
MODELS: dict[str, list[str]] = {
    "popularity": [],
    "als": ["--model.params.factors", "8"],
    "knn": [],
    "graph": [],
    "content": [],
    "transitions": [],
    "random": [],
    "ncf": ["--model.params.factors", "8", "--model.params.epochs", "2"],
    "ncf neumf": ["--model.params.variant", "neumf", "--model.params.factors", "8", "--model.params.epochs", "2"],
    "two-tower": [
        word for key, value in SMALL_TOWER["params"].items() for word in (f"--model.params.{key}", str(value))
    ],
    "lambdarank": ["--model.params.retrievers", json.dumps(["transitions", SMALL_ALS, "knn", "graph"])],
    "hybrid": ["--model.params.components", json.dumps(COMPONENTS)],
    "reverse-als": ["--model.params.factors", "8"],
}
OLD_SETTINGS = """\
# every setting that had another name in 0.1, and one that still has its own
model_name: recommender
reverse_name: recommender-reverse
bundles: data/serving
own_models_seconds: 20.0
body_seconds: 9.0
precomputed: always
"""
OLD_ENVIRONMENT = {"RECSTAGE_SERVING_STANDING_LAG_MS": "60"}
OWN_MODEL = """\
# a model of the installation's own, with the class names of 0.1
target: recstage.models.als:ALS
params:
  factors: 8
  iterations: 3
"""
WEEK = "2026-11-{day:02d}T12:00:00Z"
ASKED = ["u01", "u08", "u23", "never-seen"]


def main() -> None:
    if root() != HOME:
        raise SystemExit(f"this runs the code of {root()}: start it in the old version, with PYTHONPATH=$PWD/src:$PWD")
    (HOME / "conf" / "serving.yaml").write_text(OLD_SETTINGS)
    (HOME / "conf" / "model" / "our-als.yaml").write_text(OWN_MODEL)
    for model, options in MODELS.items():
        step("train", "--model", model.split()[0], "--data", "synthetic", "--register", "true", *DATA, *options)
    versions = dict(zip(MODELS, range(1, len(MODELS)), strict=False))
    step("promote", "--version", versions["popularity"], "--reason", "the first", "--by", "maker")
    step("promote", "--version", versions["hybrid"], "--reason", "a trial", "--by", "maker", "--force", "true")
    step("promote", "--version", versions["content"], "--by", "maker", allowed=(0, 3))  # refused: the tags are there
    by_hand("lambdarank", versions["lambdarank"])
    step("promote", "--version", versions["als"], "--reason", "the best of us", "--by", "maker", "--force", "true")
    step("promote", "--name", "recommender-reverse", "--version", "1", "--by", "maker")
    with service() as client:
        ask_once(client)
        post_events(client)
    python("-m", "serving.database", "lineage")
    step("precompute", "--limit", "20", "--hours", str(24 * 365 * 50))
    with service() as client:
        answers = recorded(client)
    python("-m", "serving.database", "backup", "data/backups/before-upgrade.db")
    answers["history"] = step("history")
    answers["predictions"] = {name: predictions(number) for name, number in versions.items() if name != "random"}
    answers["versions"] = versions
    answers["environment"] = OLD_ENVIRONMENT
    (HOME / "answers.json").write_text(json.dumps(answers, indent=1, sort_keys=True))


def by_hand(name: str, number: int) -> None:
    """What a user of the MLflow UI does: set the alias, which `history` then knows of."""
    tracking.connect().set_registered_model_alias("recommender", "production", str(number))
    step("history")


def predictions(number: int) -> list[dict[str, Any]]:
    """What a version answers in a notebook."""
    tracking.connect()
    model = mlflow.pyfunc.load_model(f"models:/recommender/{number}")
    return json.loads(model.predict(pd.DataFrame({"user_id": ASKED}), params={"k": 5}).to_json(orient="records"))


def pack(archive: Path) -> None:
    """All that an installation is made of but its code, without the plots of its runs: no test reads those."""
    with sqlite3.connect(HOME / "mlflow.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    with tarfile.open(archive, "w:xz", preset=9 | lzma.PRESET_EXTREME) as packed:
        for name in ("MLproject", "answers.json", "conf", "data", "mlflow.db", "mlruns"):
            packed.add(HOME / name, arcname=name, filter=kept)


def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if "/plots" in member.name or ".locks" in member.name else member


def step(name: str, *options: object, allowed: tuple[int, ...] = (0,)) -> Any:
    """One entry point; its result."""
    return python(f"experiments/{name}.py", *options, allowed=allowed)


def python(*words: object, allowed: tuple[int, ...] = (0,)) -> Any:
    print("$", *words, file=sys.stderr, flush=True)  # noqa: T201
    done = subprocess.run([sys.executable, *map(str, words)], cwd=HOME, stdout=subprocess.PIPE, text=True)
    if done.returncode not in allowed:
        raise SystemExit(f"{words}: exit {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


@contextmanager
def service() -> Iterator[httpx.Client]:
    """The service of the installation, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", "--port", str(PORT)], cwd=HOME, env={**os.environ, **OLD_ENVIRONMENT}
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=30) as client:
            for _ in range(300):
                if is_serving(client):
                    break
                time.sleep(0.2)
            else:
                raise SystemExit("the service did not get ready")
            yield client
            time.sleep(3)  # what was shown is written in batches
    finally:
        process.terminate()
        process.wait(timeout=30)


def is_serving(client: httpx.Client) -> bool:
    try:
        return client.get("/api/model").json().get("version") is not None
    except (httpx.TransportError, ValueError):
        return False


def ask_once(client: httpx.Client) -> None:
    """Lists of all users, so that there are impressions."""
    for number in range(40):
        ok(client.get("/api/recommendations", params={"user_id": f"u{number:02d}", "limit": 5}))


def post_events(client: httpx.Client) -> None:
    """What users do, declare and want forgotten."""
    known = client.get("/api/recommendations", params={"user_id": "u01", "limit": 5}).json()
    kinds = ["view", "click", "like", "save", "share", "implement", "dismiss"]
    events = [
        {
            "user_id": f"u{1 + number % 7:02d}" if number % 3 else f"new-{number % 4}",
            "item_id": known["items"][number % 5]["item_id"],
            "interaction_type": kinds[number % len(kinds)],
            "occurred_at": WEEK.format(day=1 + number % 20),
            "context": {"page": "home", "position": number % 5},
            "idempotency_key": f"event-{number}",
        }
        for number in range(60)
    ]
    ok(client.post("/api/interactions", json={"events": events}))
    rated = {"user_id": "u02", "item_id": known["items"][0]["item_id"], "interaction_type": "rate", "value": 4.5}
    ok(client.post("/api/interactions", json={**rated, "occurred_at": WEEK.format(day=21)}))
    shown = client.get("/api/recommendations", params={"user_id": "u09", "limit": 5}).json()
    time.sleep(1)
    outcome = {"item_id": shown["items"][0]["item_id"], "outcome": "click"}
    ok(client.post("/api/recommendations/feedback", json={"request_id": shown["request_id"], "outcomes": [outcome]}))
    title = {"item_id": "brand-new", "title": "A new item", "categories": ["c1"], "text": "new words about it"}
    ok(client.post("/api/items", json=title))
    ok(client.post("/api/items", json={**title, "item_id": "expired", "expires_at": WEEK.format(day=2)}))
    ok(client.post("/api/items", json={**title, "item_id": "short-lived"}))
    ok(client.delete("/api/items/short-lived"))
    hidden = shown["items"][1]["item_id"]
    ok(client.post("/api/items", json={"item_id": hidden, "title": "Hidden", "categories": ["c2"]}))
    ok(client.patch(f"/api/items/{hidden}", json={"hidden": True}))
    ok(client.put("/api/users/u03/profile", json={"role": "editor", "categories": ["c1", "c2"]}))
    ok(client.put("/api/users/new-1/profile", json={"categories": ["c1"]}))
    ok(client.put("/api/users/u05/profile", json={"opted_out": True}))
    ok(client.delete("/api/users/u06"))


def recorded(client: httpx.Client) -> dict[str, Any]:
    """What the service answers, by request."""
    users = [*(f"u{number:02d}" for number in range(12)), "new-0", "new-1", "new-2", "never-seen"]
    asked = [f"/api/recommendations?user_id={user}&limit=10" for user in users]
    asked += [f"/api/recommendations?user_id={user}&limit=6&explain=true&lambda=0.6" for user in users[:8]]
    asked += [f"/api/recommendations?user_id={user}&limit=6&strategy=popularity&exclude_seen=false" for user in users]
    first = client.get(asked[0]).json()["items"][0]["item_id"]
    asked += [f"/api/items/{first}/recommended-users?limit=10", "/api/items/brand-new"]
    asked += [
        f"/api/users/{user}/{page}" for user in ("u01", "u02", "u03", "u05", "new-1") for page in ("history", "profile")
    ]
    asked += [f"/api/items/{first}/stats"]
    time.sleep(3)  # what was just shown is written, and counted
    answers = {path: client.get(path) for path in reversed(asked)}
    bad = {path: answer.text for path, answer in answers.items() if answer.status_code not in (200, 404)}
    if bad:
        raise SystemExit(f"refused: {bad}")
    model = client.get("/api/model").json()
    return {
        "model": {key: model[key] for key in ("name", "version", "algorithm", "promotion", "trained_until")},
        "answers": {path: [answer.status_code, answer.json()] for path, answer in answers.items()},
    }


def ok(answer: httpx.Response) -> None:
    if not answer.is_success:
        raise SystemExit(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")


if __name__ == "__main__":
    main()
    pack(Path(sys.argv[1]))
