# %% [markdown]
# # What do the lists look like?
#
# **Question:** would a user take these lists seriously, and where do models differ that have similar figures?
#
# **How:** three models by the library on the same rows; no MLflow run is made. `DATA` is a name of `conf/data` or a path.

# %%
import pandas as pd

import recstage
from recstage.data import dataset
from recstage.evaluation.metrics import exposure, self_information
from recstage.evaluation.trade_off import trade_off
from recstage.plots import figures, interactive_figures
from recstage.steps import train

DATA = "synthetic"

# %%
models = {name: recstage.fit(name, DATA) for name in ("popularity", "als", "transitions")}
models["als"]

# %% [markdown]
# ## One user, three lists
#
# The history first, the latest on top; then what each model makes of it. A reason names what the item follows from.

# %%
user = models["als"].users[0]
models["als"].history(user).head(5)

# %%
models["popularity"].recommend(user, k=5)

# %%
models["als"].recommend(user, k=5)

# %%
models["transitions"].recommend(user, k=5)

# %% [markdown]
# ## Why this item?
#
# The contributions behind the sentence, the largest first.

# %%
first = models["als"].recommend(user, k=1)["item_id"].iloc[0]
why = models["als"].explain(user, first)
print(why.attrs["text"])
why.head()

# %%
models["als"].similar(first, k=5)

# %% [markdown]
# ## Popularity bias
#
# The share of the lists that each tenth of the catalogue gets, beside its share of the training rows.

# %%
als = models["als"]
lists = als.recommend(als.users[:200], k=10, reasons=False)
metrics = {name: model.evaluate().query("users == 'all'").set_index("metric") for name, model in models.items()}
counts = als.model.train_.item_counts
index = als.model.items.index_of(lists["item_id"].tolist())
bits = self_information(counts, len(als.users))[index]
novelty = pd.Series(bits).groupby(lists["user_id"].to_numpy()).mean()
shown = exposure(index.reshape(-1, 1), als.model.n_items)
figures.long_tail(counts, shown, novelty, name="als")

# %% [markdown]
# Item by item: what many chose and no list shows lies on the line at the bottom. Point at an item to see which one it is.

# %%
interactive_figures.popularity_against_exposure(als.model, shown)

# %% [markdown]
# ## A map of the items
#
# What the model takes for alike lies close together. Where the colours (first categories) part, it has found them by itself.

# %%
interactive_figures.item_map(als.model)

# %% [markdown]
# ## What diversity costs
#
# The same lists re-ranked by MMR: from λ = 1 (relevance alone) to the left ever more different items.

# %%
settings = train.settings_from("als", DATA)
held_out = dataset.load(settings.data).split.test
curve = trade_off(als.model, held_out, config=settings.evaluation, progress=False)
figures.mmr_trade_off(curve)

# %% [markdown]
# ## Where it fails
#
# Users whose held-out items are nowhere in their list, the ones with the longest history first: what did they choose, and what were they shown?

# %%
wanted = held_out.to_frame().groupby("user_id")["item_id"].agg(set)
asked = [user for user in wanted.index if user in set(als.users)]
listed = als.recommend(asked, k=10, reasons=False).groupby("user_id")["item_id"].agg(list)
missed = [user for user in asked if not wanted[user] & set(listed[user])]
length = dict(zip(als.model.train_.users.ids, als.model.train_.lengths, strict=True))
worst = sorted(missed, key=lambda user: -length[user])[:3]
title = als.items.set_index("item_id")["title"].where(lambda one: one != "", als.items["item_id"].to_numpy())
print(f"{len(missed)} of {len(asked)} test users find nothing they went on to choose among ten items")
pd.DataFrame(
    {
        "rows": {user: length[user] for user in worst},
        "chose last": {user: ", ".join(als.history(user)["title"].head(3)) for user in worst},
        "went on to choose": {user: ", ".join(title.reindex(sorted(wanted[user])).dropna().head(3)) for user in worst},
        "was shown": {user: ", ".join(title[listed[user][:3]]) for user in worst},
    }
)

# %% [markdown]
# ## How much do they agree, and what do they reach?
#
# The overlap of two lists of ten, and the figures on the rows that were held out, with their intervals.

# %%
some = als.users[:200]
sets = {
    name: model.recommend(some, reasons=False).groupby("user_id")["item_id"].agg(set) for name, model in models.items()
}
pairs = [(a, b) for a in sets for b in sets]
common = {(a, b): sum(len(x & y) for x, y in zip(sets[a], sets[b], strict=True)) / len(some) for a, b in pairs}
pd.Series(common, name="items in common, of ten").unstack()

# %%
names = ["ndcg_at_10", "hit_rate_at_10", "coverage_at_10"]
values = {model: frame["value"].loc[names].to_dict() for model, frame in metrics.items()}
intervals = {
    model: {name: (frame.loc[name, "low"], frame.loc[name, "high"]) for name in names[:2]}
    for model, frame in metrics.items()
}
figures.compare_models(values, intervals, names)

# %% [markdown]
# **What was found** (on ML-100K, temporal split): ALS, transitions and popularity have an NDCG@10 of .344, .341 and .340, with intervals of ±.03: the metric does not tell them apart, the lists do. Of ten items ALS shares 3.5 with popularity and 5.5 with transitions; they cover 20 %, 5 % and 23 % of the catalogue. 72 % of the places in ALS's lists go to the most popular tenth, which has 43 % of the rows, and 1,270 of 1,682 items are in no list. Diversity is nearly free: MMR at λ = .5 raises it from .77 to .88 and costs .344 to .340. 58 of 301 test users find nothing among ten items. Similar items by ALS's vectors are rare films at a cosine of 1.0, as vectors of a few rows point the same way: show them only with a least number of users.
