"""The service's database with lists of two versions, written as the service writes them."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from serving.store.admin import migrate
from serving.store.db.connection import parse_url


@dataclass
class LiveDatabase:
    """Lists and outcomes, by plain SQL."""

    path: Path
    lists: int = 0

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def show(
        self,
        version: int,
        users: int,
        lists_each: int,
        rate: float,
        *,
        arm: str | None = None,
        experiment: str | None = None,
        chance: float = 0.5,
        method: str = "als",
        items: tuple[str, ...] = ("i1", "i2"),
        milliseconds: float = 2.0,
        at: float | None = None,
        seed: int = 0,
        teams: list[int] | None = None,
        user_ids: tuple[str, ...] = (),
        propensity: float = 1.0,
    ) -> None:
        """`users` users get `lists_each` lists each, of which a share `rate` is clicked."""
        rng, at = np.random.default_rng([seed, version]), int((time.time() if at is None else at) * 1000)
        shown, clicked = [], []
        for user in range(users):
            for _ in range(lists_each):
                self.lists += 1
                request_id = f"r{self.lists}"
                row = [[item, 1.0, propensity] for item in items]
                user_id = user_ids[user % len(user_ids)] if user_ids else f"v{version}-u{user}"
                about = (request_id, user_id, json.dumps(row), method, str(version), at, experiment, arm)
                shown.append((*about, chance, None if teams is None else json.dumps(teams), milliseconds))
                if items and rng.random() < rate:
                    clicked.append((request_id, items[-1], user_id, "click", None, at, at))
        with sqlite3.connect(self.path) as connection:
            columns = "request_id, user_id, items, method, model_version, shown_at, experiment, arm, chance, teams"
            connection.executemany(
                f"INSERT INTO recommendation_impressions ({columns}, milliseconds) VALUES ({', '.join('?' * 11)})",
                shown,
            )
            columns = "request_id, item_id, user_id, outcome, value, occurred_at, received_at"
            connection.executemany(
                f"INSERT INTO recommendation_feedback ({columns}) VALUES ({', '.join('?' * 7)})", clicked
            )
        connection.close()


@pytest.fixture
def live(tmp_path: Path) -> LiveDatabase:
    """An empty database of the service."""
    path = tmp_path / "service.db"
    migrate.upgrade(parse_url(f"sqlite:///{path}"))
    return LiveDatabase(path)
