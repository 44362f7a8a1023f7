# %% [markdown]
# # Which model, and is the difference real?
#
# **Question:** of two models on the same data, which one is better, for whom, and may it go to Production?
#
# **How:** the steps that `mlflow run` calls; runs are read back into pandas and compared user by user. Everything lands in the tracking store of the repository, wherever this notebook was started from; `make ui` shows the same runs.

# %%
import mlflow
import pandas as pd

from recstage import registry, tracking
from recstage.errors import GateRefused
from recstage.plots import figures
from recstage.steps import train
from recstage.steps.registry import compare, promote

DATA = "synthetic"  # a name of conf/data, or a path to data of your own
MODELS = ("knn", "als")

# %% [markdown]
# ## Train
#
# `settings_from` reads `conf/model` and `conf/data`; any setting can be changed by its name, as on the command line.

# %%
results = {
    model: train.run(train.settings_from(model, DATA, overrides={"register": True, "seed": 42})) for model in MODELS
}
pd.DataFrame({model: result.metrics for model, result in results.items()}).loc[
    ["ndcg_at_10", "hit_rate_at_10", "recall_at_20", "coverage_at_10", "diversity_at_10"]
]

# %% [markdown]
# ## Read the runs
#
# `metrics_of` reads everything that was measured, also what stands in the table of a run and not among its metrics.

# %%
runs = {model: mlflow.get_run(result.run_id) for model, result in results.items()}
measured = {model: tracking.metrics_of(run) for model, run in runs.items()}
names = ("ndcg_at_10", "hit_rate_at_10", "coverage_at_10")
values = {model: {name: found[name] for name in names} for model, found in measured.items()}
intervals = {
    model: {name: (found[f"{name}_low"], found[f"{name}_high"]) for name in names[:2]}
    for model, found in measured.items()
}
figures.compare_models(values, intervals, names)

# %% [markdown]
# ## Who gains?
#
# The value of every test user is an artifact of the run, so two models can be compared user by user.

# %%
per_user = {model: tracking.per_user_of(result.run_id).set_index("user_id") for model, result in results.items()}
difference = per_user["als"]["ndcg_at_10"] - per_user["knn"]["ndcg_at_10"]
difference.groupby(per_user["als"]["segment"]).agg(["mean", "count"]).rename(columns={"mean": "ALS minus KNN, NDCG@10"})

# %% [markdown]
# ## Compare and promote
#
# `compare` shows all registered versions against the current Production; `promote` asks the gate of `conf/promotion.yaml`. A refusal is a result, not an error: it names its reasons, and the version carries them.

# %%
print(compare.run(compare.settings_from()).text)

# %%
try:
    promoted = promote.run(promote.settings_from(["--version", "best", "--reason", "notebook"]))
    was = "already" if promoted.gate == "unchanged" else f"now, gate {promoted.gate}"
    print(f"version {promoted.version} is Production, {was}")
except GateRefused as refusal:
    print(refusal)

# %%
registry.history()[-1]

# %% [markdown]
# **What was found** (on the generated data): the two models differ by less than their intervals are wide, so only the paired difference tells them apart; the gate decides by it, not by the means. A model that stands twice in the table was trained twice: the time at the right tells the runs apart. `make serve` starts the service on the version in Production; promote another one, and it follows within two seconds.
