"""How far a retraining has come, as tags of its run: whoever runs it again after a kill goes on from there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag

from recstage.tracking.store import connect, store_uri, translate_store_errors

WORK = "retrain"
PREFIX = "retrain."
NAME, STATE, IDENTITY = f"{PREFIX}name", f"{PREFIX}state", f"{PREFIX}identity"
OPEN, DONE, FAILED, ABANDONED = "open", "done", "failed", "abandoned"
LOOKED_AT = 200
LONGEST = 4900


@dataclass(frozen=True)
class Past:
    """A retraining that was begun: when (milliseconds since 1970), its state, and what its journal holds."""

    run_id: str
    at: int
    state: str
    identity: str
    entries: dict[str, Any]


class Journal:
    """The journal of one retraining; what is written is there for the next process at once."""

    def __init__(self, run_id: str, entries: dict[str, Any] | None = None) -> None:
        self.run_id, self._entries = run_id, dict(entries or {})

    @classmethod
    def begin(cls, run_id: str, name: str, identity: str, past: Past | None = None) -> Journal:
        """A new journal in a run, going on from an interrupted one where there is one."""
        journal = cls(run_id, {} if past is None else past.entries)
        entries = {_tag_of(key): json.dumps(value)[:LONGEST] for key, value in journal._entries.items()}
        journal._tag({NAME: name, IDENTITY: identity, STATE: OPEN, **entries})
        if past is not None:
            client = MlflowClient()
            client.set_tag(past.run_id, STATE, ABANDONED)
            client.set_tag(past.run_id, f"{PREFIX}resumed-by", run_id)
            client.set_tag(run_id, f"{PREFIX}resumes", past.run_id)
            if client.get_run(past.run_id).info.status == "RUNNING":  # killed before it could say so
                client.set_terminated(past.run_id, "KILLED")
        return journal

    def get(self, key: str) -> Any:
        """What was written under a key; None where nothing was."""
        return self._entries.get(key)

    def put(self, key: str, value: Any) -> None:
        """Write a value (what JSON knows) under a key."""
        self._entries[key] = value
        self._tag({_tag_of(key): json.dumps(value)[:LONGEST]})

    def close(self, state: str) -> None:
        """The retraining is over: `DONE` or `FAILED`."""
        self._tag({STATE: state})

    def _tag(self, tags: dict[str, str]) -> None:
        with translate_store_errors(store_uri()):
            MlflowClient().log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def _tag_of(key: str) -> str:
    return f"{PREFIX}entry.{key}"


def past(name: str) -> list[Past]:
    """The retrainings of a registered model, the newest first."""
    client = connect()
    with translate_store_errors(store_uri()):
        found = client.search_runs(
            [one.experiment_id for one in client.search_experiments()],
            f"tags.`{NAME}` = '{name}'",
            max_results=LOOKED_AT,
            order_by=["attributes.start_time DESC"],
        )
    return [_past(run) for run in found]


def _past(run: Run) -> Past:
    head = f"{PREFIX}entry."
    entries: dict[str, Any] = {}
    for key, value in run.data.tags.items():
        if key.startswith(head):
            try:
                entries[key.removeprefix(head)] = json.loads(value)
            except ValueError:
                continue  # cut off: it is made again
    tags = run.data.tags
    return Past(run.info.run_id, int(run.info.start_time), tags.get(STATE, OPEN), tags.get(IDENTITY, ""), entries)
