"""One user as the models of a version see them."""

from __future__ import annotations

from dataclasses import dataclass

from recstage.data.interactions import Users
from recstage.models.base import Recommender


@dataclass(frozen=True, eq=False)
class UserContext:
    """One person, twice: `users` with all that he did until now, a stranger (index -1) to the model where that says
    more than training knew; and `trained`, as training saw him. Models that fold histories in are asked with the first.
    `categories` are his declared preferences, strongest first."""

    users: Users
    trained: Users
    categories: tuple[str, ...] = ()

    def users_for(self, model: Recommender) -> Users:
        """The person as a model can use him."""
        return self.users if model.folds_in else self.trained
