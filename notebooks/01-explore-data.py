# %% [markdown]
# # What is in this data set?
#
# **Question:** is there enough here to recommend from: how much does each user and item have, how long is the tail, does time mean anything, and what will be tested?
#
# **How:** the data set as every step sees it, after cleaning, weighing and splitting; nothing is trained. `DATA` is a name of `conf/data`, or a path to data of your own.

# %%
import numpy as np
import pandas as pd

from recstage.data import dataset
from recstage.data.segments import segments_of
from recstage.plots import data_figures
from recstage.steps import train

DATA = "synthetic"  # a name of conf/data, or a path to data of your own
settings = train.settings_from("popularity", DATA)
data = dataset.load(settings.data)

# %% [markdown]
# ## What was read, and what was left out
#
# Nothing is dropped unsaid: `dropped` counts rows by reason, `left_out` pairs that belong to no part of the split.

# %%
facts = (
    "rows",
    "kept",
    "events",
    "pairs",
    "users",
    "items",
    "items_described",
    "ordered",
    "train",
    "validation",
    "test",
)
summary = pd.Series({name: data.report[name] for name in facts}, name=data.name)
shares = {"density": data.report["distributions"]["density"], "gini of items": data.report["distributions"]["gini"]}
left = {f"dropped: {why}": n for why, n in data.report["dropped"].items()}
left |= {f"left out: {why}": n for why, n in data.report["left_out"].items()}
pd.concat([summary, pd.Series(shares | left, dtype=object)]).to_frame("value")

# %%
pd.Series(data.report["distributions"]["types"], name="events by type").to_frame()

# %% [markdown]
# ## Who has how much
#
# Sparsity is not one number: the median user decides what a model can learn, not the mean.

# %%
train_rows = data.split.train
data_figures.activity(train_rows.lengths, train_rows.item_counts)

# %%
data_figures.concentration(train_rows.item_counts)

# %%
most = np.argsort(-train_rows.item_counts, kind="stable")[:10]
catalogue = data.catalogue.to_frame()[["item_id", "title", "categories"]]
catalogue.iloc[most].assign(users=train_rows.item_counts[most])

# %% [markdown]
# ## Segments
#
# The same thresholds as the evaluation's (`conf/evaluation.yaml`): every metric is also reported for each of them. What the final model is fitted on counts, training and validation.

# %%
known = data.split.train_and_validation
evaluation = settings.evaluation
segments = segments_of(known.lengths, evaluation.cold_below, evaluation.hot_from)
tested = np.isin(np.arange(known.n_users), data.split.test.user_index)
table = pd.DataFrame({"segment": segments, "rows": known.lengths, "tested": tested}).groupby("segment")
table.agg(users=("rows", "size"), median_rows=("rows", "median"), test_users=("tested", "sum"))

# %% [markdown]
# ## Time
#
# A temporal split cuts at one moment for all users; a leave-one-out split takes each user's last one, whenever it was.

# %%
parts = {"training": data.split.train, "validation": data.split.validation, "test": data.split.test}
data_figures.over_time({name: rows.timestamp for name, rows in parts.items()}, clock=data.time_is_clock)

# %%
GAP_MINUTES = 30
rows = train_rows.union(data.split.validation).to_frame()
gaps = rows.groupby("user_id")["timestamp"].diff()
starts = gaps.isna() | (gaps > 60 * GAP_MINUTES)
session = rows.groupby(starts.cumsum().to_numpy()).size()
data_figures.sessions(gaps.dropna(), session, gap_minutes=GAP_MINUTES)

# %% [markdown]
# ## Is the test fair?
#
# Test users and items that training does not know: no collaborative model can rank such an item, and such a user gets what an unknown user gets.

# %%
test = data.split.test
new_users = float((known.lengths[np.unique(test.user_index)] == 0).mean())
new_items = float((known.item_counts[test.item_index] == 0).mean())
unknown = pd.Series({"test users without history": new_users, "test rows of items without history": new_items})
unknown.to_frame("share").style.format("{:.1%}")

# %% [markdown]
# **What was found** (on ML-100K, temporal split): the median user of the training rows has 66 of them and the most popular fifth of the items 64 %: there is enough to learn from, and popularity is a baseline to beat. But 193 of the 301 test users (64 %) have no history before the cut, so the figures over all users are mostly those of cold-start users: read the metrics by segment, or test on a leave-one-out split. Users rate in one sitting (2,174 sessions of 37 rows, most pauses under a minute), so what came first within a session says little. 1 % of the test rows are of items that training does not know. On the generated data of `DATA = "synthetic"` all of this differs: run it on yours.
