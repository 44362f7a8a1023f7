"""A page about a trained model for those who decide on it, written from what the run knows.

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from recstage import markdown
from recstage.data.dataset import Dataset
from recstage.data.segments import SEGMENTS
from recstage.evaluation.protocol import Evaluation
from recstage.models.base import Recommender

HEADLINES = ("ndcg_at_10", "hit_rate_at_10", "recall_at_20", "mrr_at_10", "map_at_10")
BEYOND = ("coverage_at_10", "gini_at_10", "novelty_at_10", "diversity_at_10", "latency_p50_ms", "latency_p95_ms")


def render(
    model: Recommender, data: Dataset, result: Evaluation, seconds: Mapping[str, float], registered_name: str
) -> str:
    """Markdown: what the model is, what it was trained and tested on, its metrics over all users and by segment, its
    limits."""
    train, test = model.train_, data.split.test
    about = inspect.getdoc(type(model)) or model.name
    lines = [
        f"# {model.name}",
        "",
        about,
        "",
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
        "By training interactions of the user (cold, warm, hot):",
        "",
        markdown.table(("segment", "users", "ndcg_at_10"), _segments(result)),
        "Beyond accuracy:",
        "",
        markdown.table(
            ("metric", "value"), [(name, f"{result.metrics[name]:.4g}") for name in _present(result, BEYOND)]
        ),
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


def _hyperparameters(model: Recommender) -> list[tuple[str, str, str]]:
    values = model.params.model_dump()
    return [
        (name, f"`{values[name]}`", field.description or "") for name, field in type(model.params).model_fields.items()
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
