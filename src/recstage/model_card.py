"""A page about a trained model for those who decide on it, written from what the run knows.

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recstage import markdown
from recstage.data.dataset import Dataset
from recstage.data.segments import SEGMENTS
from recstage.evaluation.metrics import TARGETS, target_met
from recstage.evaluation.protocol import Evaluation
from recstage.models.base import Recommender

HEADLINES = ("ndcg_at_10", "hit_rate_at_10", "recall_at_20", "mrr_at_10", "map_at_10")
BEYOND = (
    *("coverage_at_10", "gini_at_10", "novelty_at_10", "novelty_share_at_10", "diversity_at_10"),
    *("latency_p50_ms", "latency_p95_ms"),
)
BRIEF = ("ndcg_at_10", "hit_rate_at_10", "recall_at_20", "sampled_ndcg_at_10", "coverage_at_10", "latency_p95_ms")


@dataclass(frozen=True)
class Provenance:
    """Which run a card is about. `production` names the version that was Production then ('' where nothing was, or
    nothing that was tested on the same rows), `production_metrics` its figures, `difference` how the primary metric
    differs from it, in words; `examples` are lines of Markdown about a few lists."""

    run_id: str
    date: str
    seed: int
    commit: str
    production: str = ""
    production_metrics: Mapping[str, float] | None = None
    difference: str = ""
    examples: Sequence[str] = ()

    @property
    def line(self) -> str:
        return f"{self.date}, seed {self.seed}, commit `{self.commit[:10]}`, run `{self.run_id}`"


def render(
    model: Recommender,
    data: Dataset,
    result: Evaluation,
    seconds: Mapping[str, float],
    registered_name: str,
    about_run: Provenance,
) -> str:
    """Markdown: what the model is, what it was trained and tested on, its metrics over all users and by segment, beside
    those of Production, its limits."""
    train, test = model.train_, data.split.test
    about = inspect.getdoc(type(model)) or model.name
    lines = [
        f"# {model.name}",
        "",
        about,
        "",
        f"Made {about_run.line}.",
        "",
        *((f"Ranks {model.ranking_note}.", "") if model.ranking_note else ()),
        "## Data",
        "",
        f"`{data.name}`, fingerprint `{data.fingerprint}`, split {data.split.method}: {len(train):,} training rows of "
        f"{train.n_users:,} users and {train.n_items:,} items, {len(test):,} test rows of "
        f"{len(result.per_user):,} users.",
        "",
        "## Hyperparameters",
        "",
        markdown.table(("name", "value", "meaning"), _hyperparameters(model)),
        "## Quality on the test rows",
        "",
        markdown.table(
            ("metric", "value", "confidence interval"),
            [_measured(result, name) for name in _present(result, HEADLINES)],
        ),
        *_beside_production(result, about_run, HEADLINES),
        "By training interactions of the user (cold, warm, hot):",
        "",
        markdown.table(("segment", "users", "ndcg_at_10"), _segments(result)),
        "Beyond accuracy:",
        "",
        markdown.table(
            ("metric", "value", "target"),
            [(name, f"{result.metrics[name]:.4g}", _target(name, result)) for name in _present(result, BEYOND)],
        ),
        *(("## Lists", "", *about_run.examples, "") if about_run.examples else ()),
        "## Cost",
        "",
        markdown.table(("stage", "seconds"), [(name, f"{value:.1f}") for name, value in seconds.items()]),
        "## Use",
        "",
        "```python",
        f'model = mlflow.pyfunc.load_model("models:/{registered_name}/Production")',
        'model.predict(pd.DataFrame({"user_id": ["..."]}), params={"k": 10})',
        "```",
        "",
        "## Limits",
        "",
        _limits(model),
        "",
    ]
    return "\n".join(lines)


def description(
    model: Recommender, data: Dataset, result: Evaluation, seconds: Mapping[str, float], about_run: Provenance
) -> str:
    """The same in short, for the page of the run and of the version: what, data, figures, lists."""
    train = model.train_
    first = (inspect.getdoc(type(model)) or model.name).split("\n\n")[0].replace("\n", " ")
    lines = [
        f"**{model.name}** on `{data.name}`. {first}",
        "",
        f"Trained on {len(train):,} rows of {train.n_users:,} users and {train.n_items:,} items, tested once on "
        f"{len(result.per_user):,} users (split {data.split.method}, fingerprint `{data.fingerprint}`), fitted in "
        f"{seconds.get('fit', 0.0):.1f} s. {about_run.line}.",
        "",
        markdown.spaced_table(
            ("figure", "value", "interval", *((about_run.production,) if about_run.production else ())),
            [
                (*_measured(result, name), *((_of_production(about_run, name),) if about_run.production else ()))
                for name in _present(result, BRIEF)
            ],
        ),
    ]
    if model.ranking_note:
        lines += [f"Ranks {model.ranking_note}.", ""]
    if about_run.difference:
        lines += [f"Paired by user, {about_run.difference}.", ""]
    targets = [f"{name} {result.metrics[name]:.2f} ({_target(name, result)})" for name in _present(result, (*TARGETS,))]
    if targets:
        lines += [f"Spread over the catalogue: {', '.join(targets)}.", ""]
    if about_run.examples:
        lines += ["**Lists**", "", *about_run.examples, ""]
    settings = ", ".join(f"{name} {markdown.words(value)}" for name, value in model.params.model_dump().items())
    lines += [f"Settings: {settings[:800]}", "", "More: `model_card.md`, `plots`, `evaluation/metrics.csv` of the run."]
    return "\n".join(lines)


def _beside_production(result: Evaluation, about_run: Provenance, names: tuple[str, ...]) -> list[str]:
    if not about_run.production:
        return []
    rows = [
        (name, f"{result.metrics[name]:.4f}", _of_production(about_run, name))
        for name in _present(result, names)
        if name in (about_run.production_metrics or {})
    ]
    return [
        f"Beside what was Production when it was trained, {about_run.production}, on the same test rows:",
        "",
        markdown.table(("metric", "this model", about_run.production), rows),
        *((f"Paired by user, {about_run.difference}.", "") if about_run.difference else ()),
    ]


def _of_production(about_run: Provenance, name: str) -> str:
    value = (about_run.production_metrics or {}).get(name)
    return "" if value is None else f"{value:.4f}"


def _target(name: str, result: Evaluation) -> str:
    if name not in TARGETS:
        return ""
    side, bound = TARGETS[name]
    return f"{side} {bound:g}: {'met' if target_met(name, result.metrics[name]) else 'not met'}"


def _hyperparameters(model: Recommender) -> list[tuple[str, str, str]]:
    values = model.params.model_dump()
    return [
        (name, f"`{markdown.words(values[name])}`", field.description or "")
        for name, field in type(model.params).model_fields.items()
    ]


def _measured(result: Evaluation, name: str) -> tuple[str, str, str]:
    interval = result.intervals.get(name)
    return name, f"{result.metrics[name]:.4f}", "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _segments(result: Evaluation) -> list[tuple[str, str, str]]:
    users = result.per_user["segment"].value_counts()
    return [
        (name, f"{users[name]:,}", f"{result.metrics[f'{name}_ndcg_at_10']:.4f}")
        for name in SEGMENTS
        if name in users and f"{name}_ndcg_at_10" in result.metrics
    ]


def _limits(model: Recommender) -> str:
    unknown_users = (
        "Users who arrived after training are served from their own history, and by popularity while they have none."
        if model.folds_in
        else "Users who arrived after training are served by popularity until the next training."
    )
    return (
        f"{unknown_users} The figures above describe past behaviour, which earlier recommendations and the popularity "
        "of items have shaped; only an experiment with users shows what a promotion changes."
    )


def _present(result: Evaluation, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name in result.metrics]
