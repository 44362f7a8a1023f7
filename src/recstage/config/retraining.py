"""Schema of `conf/retraining.yaml`: when a retraining is due, what it trains, and who is told of failures."""

from __future__ import annotations

from pydantic import Field, model_validator

from recstage.config.schemas import Schema


class ScheduleTrigger(Schema):
    """So long after the last training."""

    days: float = Field(7.0, gt=0)


class InteractionsTrigger(Schema):
    """The interactions have grown since the last training."""

    ratio: float = Field(2.0, gt=1, description="interactions now, as a multiple of those of the last training")


class QualityTrigger(Schema):
    """`below` of the last `windows` windows have a click-through below the line."""

    hours: float = Field(24.0, gt=0, description="length of a window")
    windows: int = Field(4, ge=1)
    below: int = Field(3, ge=1)
    least_lists: int = Field(100, ge=1, description="a window with fewer shown lists says nothing")
    line: float | None = Field(
        None, ge=0, le=1, description="share of lists that led to an event; none: `ratio` decides"
    )
    ratio: float = Field(0.8, gt=0, lt=1, description="of the click-through of Production's windows before these")

    @model_validator(mode="after")
    def _n_of_m(self) -> QualityTrigger:
        if self.below > self.windows:
            raise ValueError(f"below = {self.below} of {self.windows} windows can never be")
        return self


class DriftTrigger(Schema):
    """What users do, and with which items, is no longer what the last training saw."""

    line: float = Field(0.25, gt=0, description="population stability index; above .25 two distributions differ")
    least_events: int = Field(200, ge=1, description="fewer events since the last training say nothing")


class Triggers(Schema):
    """Any of them makes a retraining due; none: never."""

    schedule: ScheduleTrigger | None = ScheduleTrigger()
    interactions: InteractionsTrigger | None = InteractionsTrigger()
    quality: QualityTrigger | None = QualityTrigger()
    drift: DriftTrigger | None = DriftTrigger()


class ReverseTriggers(Schema):
    """As `Triggers`, without the click-through of lists, which says nothing of a model from items to users."""

    schedule: ScheduleTrigger | None = ScheduleTrigger()
    interactions: InteractionsTrigger | None = InteractionsTrigger()
    drift: DriftTrigger | None = None


class ReverseConfig(Schema):
    """What differs where the model from items to users is retrained (`direction` reverse)."""

    challengers: tuple[str, ...] = Field(("reverse-als",), min_length=1, description="names of conf/model")
    triggers: ReverseTriggers = ReverseTriggers()


class NotifyConfig(Schema):
    """Who is told when a retraining or the main job fails."""

    webhook: str = Field("", pattern=r"^(https?://.*)?$", description="URL that gets a POST with JSON")
    command: str = Field("", description="program with arguments; it reads the same JSON from standard input")
    metrics_file: str = Field("", description="text file for Prometheus' node exporter; empty: none")


class RetrainingConfig(Schema):
    """`conf/retraining.yaml`."""

    data: str = Field("service", description="a name of conf/data")
    challengers: tuple[str, ...] = Field(("als", "knn"), min_length=1, description="names of conf/model")
    trials: int = Field(
        0, ge=0, description="of each challenger's search; the first tries the last version's parameters"
    )
    warm_start: bool = True
    stage: bool = Field(True, description="stage the winner as Staging")
    least_test_users: int = Field(30, ge=1, description="fewer in the fresh test window: nothing is compared")
    keep_snapshots: int = Field(3, ge=1)
    prune: bool = Field(
        True, description="afterwards, delete all but the last `keep` (conf/promotion.yaml) versions of each algorithm"
    )
    triggers: Triggers = Triggers()
    reverse: ReverseConfig | None = Field(None, description="the other direction; none: it is not retrained")
    notify: NotifyConfig = NotifyConfig()
    check_minutes: float = Field(60.0, gt=0)
    update_hours: float = Field(0.0, ge=0, description="of `schedule`: an update at most so often; 0: never")
