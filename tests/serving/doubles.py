"""Stand-ins for what the service talks to."""

from __future__ import annotations

from serving.depot import Look, Staged


class HandPointer:
    """A `ProductionPointer` that a test moves."""

    def __init__(self, staged: Staged | None = None) -> None:
        self.staged, self.best, self.dropped, self.asked = staged, None, [], 0
        self.last_look: Look | None = None

    def production(self) -> Staged | None:
        return self.staged

    def good(self) -> Staged | None:
        return self.best

    def keep_as_good(self, staged: Staged) -> None:
        self.best = staged

    def drop(self, version: str) -> None:
        self.dropped.append(version)

    def look(self) -> Look | None:
        return self.last_look

    def ask_for_look(self) -> None:
        self.asked += 1

    def asked_at(self) -> int:
        return self.asked
