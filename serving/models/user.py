"""One user as the models of a version see them."""

from __future__ import annotations

from dataclasses import dataclass

from recstage.data.interactions import Users
from recstage.models.base import Recommender


@dataclass(frozen=True, eq=False)
class UserContext:
    """One user with the current history (`users`) and with the history of training (`trained`).

    Where the current history differs from that of training, `users` is an unknown user (index -1) with a history, for
    models that fold histories in. `categories`: declared preferences, strongest first.
    """

    users: Users
    trained: Users
    categories: tuple[str, ...] = ()

    def users_for(self, model: Recommender) -> Users:
        """The user in the form that the model can use."""
        return self.users if model.folds_in else self.trained
