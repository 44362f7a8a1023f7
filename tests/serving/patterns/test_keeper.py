"""How much of the service's time the refreshes of patterns may take."""

from __future__ import annotations

import asyncio

import pytest

from recstage.errors import StoreError
from serving.patterns.keeper import REFRESH_SECONDS, SHARE_OF_TIME, PatternKeeper, pause_after


class Refreshed(PatternKeeper):
    """Notes who is refreshed; of `broken` users the database is unavailable."""

    def __init__(self, broken: tuple[str, ...] = ()) -> None:
        super().__init__(store=None, service=None)
        self.users: list[str] = []
        self._broken = broken

    async def of(self, user_id: str):
        self.users.append(user_id)
        if user_id in self._broken:
            raise StoreError(user_id, rule="the database is unavailable", fix="Wait")


def test_a_step_refreshes_only_the_user_who_waits_longest():
    keeper = Refreshed()
    keeper.touched(["ann", "bob", "cid", "ann"])
    for expected in (["ann"], ["ann", "bob"], ["ann", "bob", "cid"], ["ann", "bob", "cid"]):
        asyncio.run(keeper.step())
        assert keeper.users == expected


def test_an_unavailable_database_does_not_keep_the_others_from_being_refreshed():
    keeper = Refreshed(broken=("ann",))
    keeper.touched(["ann", "bob"])
    for _ in range(3):
        asyncio.run(keeper.step())
    assert keeper.users == ["ann", "bob"]


@pytest.mark.parametrize("took", [0.0, 0.001, 0.02, 1.5])
def test_refreshes_take_a_bounded_share_of_the_time(took):
    assert took <= SHARE_OF_TIME * pause_after(took) * (1 + 1e-9)
    assert pause_after(took) >= REFRESH_SECONDS
